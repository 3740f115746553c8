"""The finder: its size, its outputs, and how overlapping boxes are suppressed."""

from __future__ import annotations

import torch
from torchvision.ops import nms

from digits.reading.finder import Finder, decode_boxes, look, suppress


def test_size_and_outputs():
    finder = Finder().eval()
    assert sum(parameter.numel() for parameter in finder.parameters()) < 800_000
    ink, digits, distances = finder(torch.rand(2, 3, 64, 96) * 255)
    assert ink.shape == (2, 1, 64, 96) and digits.shape == (2, 1, 16, 24) and distances.shape == (2, 4, 16, 24)
    assert (distances > 0).all()


def test_any_size_and_brightness():
    """Sizes need not be multiples of anything, and a picture in half the light looks almost the same."""
    finder, picture = Finder().eval(), torch.rand(3, 50, 71) * 255
    ink, boxes, scores = look(finder, picture)
    assert ink.shape == (50, 71) and boxes.shape == (len(scores), 4)
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
