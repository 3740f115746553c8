"""The finder: its size, its outputs, how overlapping boxes are suppressed, and its training, for a few steps."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch
from torchvision.ops import nms

from digits.command_line import PROJECT_DIR
from digits.reading.finder import STRIDE, Finder, decode_boxes, find_positions, look, suppress
from digits.reading.finder_loss import MAX_WEIGHT, OTHER_INK, TYPICAL_POSITIONS, assign, centre_loss, compute_loss
from digits.weights import load_finder


def test_size_and_outputs():
    finder = Finder().eval()
    assert sum(parameter.numel() for parameter in finder.parameters()) < 800_000
    ink, centres, digits, distances = finder(torch.rand(2, 3, 64, 96) * 255)
    assert ink.shape == (2, 1, 64, 96) and centres.shape == (2, 2, 64, 96)
    assert digits.shape == (2, 1, 16, 24) and distances.shape == (2, 4, 16, 24) and (distances > 0).all()
    columns, rows = centres.mean(dim=(0, 2)), centres.mean(dim=(0, 3))  # untrained, they are near the pixels themselves
    assert (columns[0] - torch.arange(0.5, 96)).abs().max() < 20 and (rows[1] - torch.arange(0.5, 64)).abs().max() < 20


def test_any_size_and_brightness():
    """Sizes need not be multiples of anything, and a picture in half the light looks almost the same."""
    finder, picture = Finder().eval(), torch.rand(3, 50, 71) * 255
    ink, centres, boxes, scores = look(finder, picture)
    assert ink.shape == (50, 71) and centres.shape == (2, 50, 71) and boxes.shape == (len(scores), 4)
    assert (look(finder, picture / 2)[0] - ink).abs().max() < 0.1


def test_boxes_of_distances():
    distances = torch.zeros(1, 4, 2, 3)
    distances[0, :, 1, 2] = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert decode_boxes(distances)[0, 1, 2].tolist() == [9, 4, 13, 10]  # around (10, 6)


def test_overlapping_boxes_are_suppressed():
    """Boxes of one size that overlap by more or by less than half, as torchvision does it with the same limit."""
    corners = torch.rand(40, 2, generator=torch.Generator().manual_seed(0)) * 60
    boxes, scores = torch.cat([corners, corners + 20], dim=1), torch.linspace(1, 0, 40)
    assert suppress(boxes, scores).tolist() == nms(boxes, scores, iou_threshold=0.5 / 1.5).tolist()
    inner = torch.tensor([[0.0, 0.0, 40.0, 40.0], [10.0, 10.0, 20.0, 20.0]])
    assert suppress(inner, torch.tensor([0.6, 0.9])).tolist() == [1]
    assert suppress(torch.zeros(0, 4), torch.zeros(0)).tolist() == []


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(generated_mnist, tmp_path):
    files = []
    for name in ("first.pth", "second.pth"):
        command = [sys.executable, "-m", "digits.reading.train_finder", "--steps", "2", "--seed", "5"]
        command += ["--data-dir", generated_mnist, "--finder-path", tmp_path / name, "--figures-dir", tmp_path]
        result = subprocess.run(list(map(str, command)), cwd=PROJECT_DIR, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1] and (tmp_path / "finder_curves.png").exists()
    assert re.match(r"Step 2/2: loss \d+\.\d+; validation pages: ink ", result.stdout)
    load_finder(tmp_path / "first.pth")


def test_centres_of_ink():
    """Ink of a digit is to have the centre of its box, other ink itself; errors are relative to the digit's size."""
    boxes, ink, owners = torch.zeros(2, 3, 4), torch.zeros(2, 1, 16, 16), torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    boxes[1, 1] = torch.tensor([2.0, 4.0, 6.0, 12.0])  # its centre is (4, 8)
    ink[1, 0, 5, 3], owners[1, 0, 5, 3] = 1, 2
    centres = torch.zeros(2, 2, 16, 16)
    centres[1, :, 5, 3] = torch.tensor([4.0, 8.0])
    assert centre_loss(centres, ink, owners, boxes) == 0
    centres[1, :, 5, 3] = torch.tensor([5.0, 6.0])
    assert centre_loss(centres, ink, owners, boxes).item() == pytest.approx((1 + 2) / 8)
    ink[0, 0, 1, 9] = 1  # of no digit
    centres[0, :, 1, 9] = torch.tensor([9.5, 1.5])
    assert centre_loss(centres, ink, owners, boxes).item() == pytest.approx(3 / 8 / (1 + OTHER_INK))
    assert centre_loss(centres, torch.zeros_like(ink), owners, boxes) == 0


def test_where_digits_are_to_be_found():
    """Near the middle of the nearest digit, on a grid of 4 pixels; a thin 1 is not missed."""
    boxes = torch.zeros(2, 5, 4)
    boxes[0, 0], boxes[0, 1] = torch.tensor([8.0, 8.0, 40.0, 40.0]), torch.tensor([47.0, 10.0, 49.0, 60.0])
    is_digit, weights, nearest = assign(boxes, 64, 64)
    assert is_digit.shape == (2, 16, 16) and not is_digit[1].any()
    assert is_digit[0, 6, 6] and nearest[0, 6, 6].tolist() == [8, 8, 40, 40]
    assert is_digit[0, 8, 11:13].all() and nearest[0, 8, 12].tolist() == [47, 10, 49, 60]
    assert not is_digit[0, 2, 2] and not is_digit[0, 3, 6] and not is_digit[0, 15, 15]
    assert (weights[~is_digit] == 1).all()


def test_each_digit_counts_the_same():
    """The weights of its positions add up to as much, be it small or large, but for the smallest and the largest."""
    boxes = torch.zeros(5, 2, 4)
    for page, size in enumerate((6.0, 20.0, 30.0, 60.0, 120.0)):
        boxes[page, 1] = torch.tensor([62 - size / 2, 62 - size / 2, 62 + size / 2, 62 + size / 2])
    is_digit, weights, _ = assign(boxes, 128, 128)
    smallest, *others, largest = (weights * is_digit).sum(dim=(1, 2)).tolist()
    assert others == pytest.approx([TYPICAL_POSITIONS] * 3, rel=0.2)
    assert weights.max() == MAX_WEIGHT and smallest == MAX_WEIGHT and largest > 2 * TYPICAL_POSITIONS


def test_the_smallest_digit_is_to_be_found_wherever_it_is():
    corners = 10 + 40 * torch.rand(50, 1, 2, generator=torch.Generator().manual_seed(0))
    is_digit, _, _ = assign(torch.cat([corners, corners + torch.tensor([2.0, 9.0])], dim=2), 64, 64)
    assert is_digit.flatten(1).any(dim=1).all()


def test_loss(monkeypatch):
    """Next to nothing if all outputs are right, and much if one of them is wrong."""
    pictures, boxes = torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.zeros(1, 3, 4)
    ink, owners = torch.zeros(2, 1, 1, 64, 64, dtype=torch.uint8)
    ink[:, :, 20:44, 24:40], owners[:, :, 20:44, 24:40], boxes[0, 0] = 255, 1, torch.tensor([24.0, 20.0, 40.0, 44.0])
    is_digit, _, _ = assign(boxes, 64, 64)
    x, y = torch.broadcast_tensors(*find_positions(64, 64, STRIDE, torch.device("cpu")))
    right: list[torch.Tensor] = [
        torch.where(ink > 0, 20.0, -20.0),
        torch.full((1, 2, 64, 64), 32.0),
        torch.where(is_digit, 20.0, -20.0)[:, None],
        torch.stack([x - 24, y - 20, 40 - x, 44 - y])[None],
    ]

    finder = Finder()

    def loss_of(outputs: list[torch.Tensor]) -> float:
        monkeypatch.setattr(finder, "forward", lambda pictures: outputs)
        return float(compute_loss(finder, pictures, ink, owners, boxes))

    assert 0 <= loss_of(right) < 0.01
    for number, wrong in enumerate((-right[0], right[1] + 4, -right[2], right[3] + 4)):
        assert loss_of([*right[:number], wrong, *right[number + 1 :]]) > 0.2
    ink, owners, boxes = torch.zeros_like(ink), torch.zeros_like(owners), torch.zeros_like(boxes)
    assert 0 < loss_of(right) < 1000  # on a page without digits there is no box to learn
