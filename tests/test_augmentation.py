"""How far the augmentation changes an image."""

from __future__ import annotations

import pytest
import torch
from generated_digits import draw_images
from torch.utils._python_dispatch import TorchDispatchMode

from digits.training import augmentation
from digits.training.augmentation import add_strokes, augment

LIMITS = ("MAX_ROTATION", "MAX_SCALING", "MAX_SHIFT", "MAX_WARP", "ELASTICITY")


def test_augment_draws_for_each_image():
    torch.manual_seed(0)
    image = torch.from_numpy(draw_images(1, seed=0)[0][:, None]).float() / 255
    images = augment(image.expand(50, 1, 28, 28), torch.zeros(50))
    assert images.shape == (50, 1, 28, 28) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    assert len({image.numpy().tobytes() for image in images}) == 50
    assert augment(torch.ones(50, 1, 28, 28), torch.zeros(50))[:, :, 0, 0].min() == 0  # black comes in from outside
    # 12 % in width and height change the amount of ink by a quarter at most, but for the blur of small strokes.
    ink = images.sum(dim=(1, 2, 3)) / image.sum()
    assert ink.min() > 0.65 and ink.max() < 1.35


def test_augment_without_limits_changes_nothing(monkeypatch):
    for name in LIMITS:
        monkeypatch.setattr(augmentation, name, 0)
    images = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(augment(images, torch.zeros(5)), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name, limit, farthest", [("MAX_SHIFT", 3, 3.0), ("MAX_ROTATION", 30, 5.0)])
def test_augment_keeps_its_limits(name, limit, farthest, monkeypatch):
    """A dot 10 pixels above the middle moves by at most 3 pixels, or to the side by 10 sin(30 degrees)."""
    for other in LIMITS:
        monkeypatch.setattr(augmentation, other, limit if other == name else 0)
    torch.manual_seed(0)
    images = torch.zeros(500, 1, 28, 28)
    images[:, :, 3:5, 13:15] = 1
    columns = torch.arange(28) - 13.5
    moved = augment(images, torch.zeros(500)).sum(dim=(1, 2))
    distances = (moved * columns).sum(dim=1) / moved.sum(dim=1)
    assert 0.8 * farthest < distances.abs().max() < farthest + 0.3


def test_elasticity_bends_a_line(monkeypatch):
    """A vertical line stays in its place on the whole, yet its rows move apart: by about the elasticity."""
    for name in LIMITS:
        monkeypatch.setattr(augmentation, name, 0)
    monkeypatch.setattr(augmentation, "ELASTICITY", 0.8)
    torch.manual_seed(0)
    images = torch.zeros(500, 1, 28, 28)
    images[:, :, :, 13:15] = 1
    bent = augment(images, torch.zeros(500))[:, 0, 4:24]  # black may come in from above and below
    columns = (bent * (torch.arange(28) - 13.5)).sum(dim=2) / bent.sum(dim=2)  # (N, 20): where the line is in each row
    assert columns.mean().abs() < 0.1
    assert columns[:, 3].std() == pytest.approx(0.8, rel=0.15)  # row 7 is at one of the 5x5 points
    assert columns.std(dim=1).mean() > 0.3
    assert (columns[:, 1:] - columns[:, :-1]).abs().max() < 1  # smooth: no row jumps


@pytest.mark.parametrize("row, column", [(3, 13), (13, 3)])
def test_rotation_keeps_distances(row, column, monkeypatch):
    for name in LIMITS:
        monkeypatch.setattr(augmentation, name, 45 if name == "MAX_ROTATION" else 0)
    torch.manual_seed(0)
    images = torch.zeros(200, 1, 28, 28)
    images[:, :, row : row + 2, column : column + 2] = 1
    turned, places = augment(images, torch.zeros(200))[:, 0], torch.arange(28) - 13.5
    x, y = ((turned.sum(dim=axis) * places).sum(dim=1) / turned.sum(dim=(1, 2)) for axis in (1, 2))
    distances = (x**2 + y**2).sqrt()
    assert distances.min() > 9.8 and distances.max() < 10.2


def test_scaling_keeps_its_limit(monkeypatch):
    """A dot 10 pixels above the middle comes as far away as 10 / (1 - 0.2), and as near as 10 / (1 + 0.2)."""
    for other in LIMITS:
        monkeypatch.setattr(augmentation, other, 0.2 if other == "MAX_SCALING" else 0)
    torch.manual_seed(0)
    images = torch.zeros(500, 1, 28, 28)
    images[:, :, 3:5, 13:15] = 1
    moved, places = augment(images, torch.zeros(500))[:, 0], torch.arange(28) - 13.5
    x, y = ((moved.sum(dim=axis) * places).sum(dim=1) / moved.sum(dim=(1, 2)) for axis in (1, 2))
    assert -12.7 < y.min() < -11.9 and -8.6 < y.max() < -8.1 and x.abs().max() < 0.1


def draw_one(slant: float, width: int = 2) -> torch.Tensor:
    """Return an image (1, 1, 28, 28) of a stroke from row 4 to row 23 that leans `slant` pixels to the right."""
    image = torch.zeros(1, 1, 28, 28)
    for row in range(4, 24):
        column = round(14 + slant * (13.5 - row) / 20)
        image[0, 0, row, column : column + width] = 1
    return image


def strokes_added(digit: int, images: torch.Tensor, monkeypatch, **limits: object) -> torch.Tensor:
    """Return what add_strokes() adds to images (N, 1, 28, 28) of a digit, (N, 28, 28), with these limits."""
    position = limits.get("position", 0)
    ((angles, lengths),) = (row[3:] for row in augmentation.ADDED_STROKES if row[0] == digit and row[2] == position)
    row = digit, 1, position, limits.get("angles", angles), limits.get("lengths", lengths)
    monkeypatch.setattr(augmentation, "ADDED_STROKES", (row,))
    monkeypatch.setattr(augmentation, "MAX_BEND", limits.get("bend", augmentation.MAX_BEND))
    torch.manual_seed(0)
    return (add_strokes(images, torch.full((len(images),), digit)) - images)[:, 0]


@pytest.mark.parametrize("slant, column", [(0, 14.5), (-4, 12.5)])
@pytest.mark.parametrize("digit, side", [(1, -1), (6, 1)])
def test_strokes_start_at_the_top_and_lead_to_one_side(digit, side, slant, column, monkeypatch):
    """To the left of a 1 and to the right of a 6, no farther than they are long."""
    longest = {row[0]: row[4][1] for row in augmentation.ADDED_STROKES}[digit]
    added = strokes_added(digit, draw_one(slant).repeat(500, 1, 1, 1), monkeypatch)
    columns = (torch.arange(28) - column) * side
    assert added.min() >= 0 and added[:, :, columns < -2].max() == 0
    reach = torch.where(added.amax(dim=1) > 0.5, columns, torch.tensor(-9.0)).amax(dim=1)
    assert 0.5 * longest * 20 < reach.max() < longest * 20 + 3
    assert reach.min() < reach.max() / 2  # of different lengths and angles
    assert added[:, 23:].max() == 0


@pytest.mark.parametrize("angle, dx, dy", [(-90, -6, 0), (0, 0, 6), (90, 6, 0), (-45, -4.2, 4.2)])
def test_angles_of_added_strokes(angle, dx, dy, monkeypatch):
    image = torch.zeros(1, 1, 28, 28)
    image[0, 0, 4:24, 13:15] = 1
    added = strokes_added(1, image, monkeypatch, angles=(angle, angle), lengths=(0.3, 0.3), bend=0)[0]
    end_x, end_y = 13.5 + dx, 4 + dy
    whole = torch.maximum(image[0, 0], added)
    assert whole[round(end_y), round(end_x)] > 0.4
    distances = torch.hypot(torch.arange(28) - end_x, torch.arange(28)[:, None] - end_y)
    toward = (torch.arange(28) - end_x) * dx + (torch.arange(28)[:, None] - end_y) * dy
    assert added[(distances > 2) & (toward > 0)].max() == 0  # nothing beyond its end


def test_added_strokes_bend(monkeypatch):
    """A long stroke to the left, as a chord and at its middle: it is bent to both sides, by chance."""
    images = draw_one(0).repeat(300, 1, 1, 1)
    added = strokes_added(1, images, monkeypatch, angles=(-90, -90), lengths=(0.6, 0.6), bend=20)
    rows = torch.arange(28)
    middle, end = ((added[:, :, c] * rows).sum(dim=1) / added[:, :, c].sum(dim=1).clamp(min=1e-6) for c in (9, 4))
    sag = (middle - (4 + end) / 2)[added[:, :, 4].sum(dim=1) > 0.5]
    assert sag.max() > 0.4 and sag.min() < -0.4


@pytest.mark.parametrize("width", [2, 4])
def test_added_strokes_are_about_as_wide_as_the_digit(width, monkeypatch):
    images = draw_one(0, width).repeat(300, 1, 1, 1)
    added = strokes_added(1, images, monkeypatch, angles=(-90, -90), lengths=(0.5, 0.5), bend=0)
    widths = torch.maximum(images[:, 0], added)[:, :, 9].sum(dim=1)
    low, high = augmentation.RELATIVE_WIDTH
    assert low * width - 0.2 < widths.min() < (low + 0.1) * width + 0.2
    assert (high - 0.1) * width - 0.2 < widths.max() < high * width + 0.2


@pytest.mark.parametrize("slant, column", [(0, 14.5), (6, 11.5)])
def test_serifs_are_centred_on_the_lower_end(slant, column, monkeypatch):
    images = draw_one(slant).repeat(500, 1, 1, 1)
    added = strokes_added(1, images, monkeypatch, position=1, angles=(90, 90), bend=0)
    rows, columns = (added.amax(dim=axis) > 0.3 for axis in (2, 1))
    assert rows.any(dim=0).nonzero().min() >= 21
    right = torch.arange(28) - column
    sides = [torch.where(columns, side * right, torch.tensor(0.0)).amax(dim=1) for side in (-1, 1)]
    assert (sides[0] - sides[1]).abs().max() <= 1.5
    assert (
        20 * 0.4 / 2 - 1 <= sides[1].min() < 20 * 0.4 / 2 + 1.5
        and 20 * 0.9 / 2 - 1 < sides[1].max() <= 20 * 0.9 / 2 + 1.5
    )


def test_a_fraction_of_the_digits_in_the_table_gets_strokes():
    torch.manual_seed(0)
    images, labels = draw_one(0).repeat(5000, 1, 1, 1), torch.arange(5000) % 10
    before = images.clone()
    is_changed = (add_strokes(images, labels) != images).flatten(1).any(dim=1)
    assert torch.equal(images, before)
    fractions = {1: 0.5, 6: 0.3}
    assert set(labels[is_changed].tolist()) == set(fractions)
    for digit, fraction in fractions.items():
        assert abs(is_changed[labels == digit].float().mean() - fraction) < 0.08


def test_strokes_of_other_digits_and_of_empty_images():
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(add_strokes(images, torch.tensor([0, 7, 9])), images)
    assert add_strokes(images[:0], torch.zeros(0, dtype=torch.long)).shape == (0, 1, 28, 28)
    assert add_strokes(torch.zeros(30, 1, 28, 28), torch.ones(30, dtype=torch.long)).isfinite().all()


def test_augment_adds_strokes(monkeypatch):
    for name in LIMITS:
        monkeypatch.setattr(augmentation, name, 0)
    images = draw_one(0).repeat(100, 1, 1, 1)
    torch.manual_seed(0)
    is_changed = {n: (augment(images, torch.full((100,), n)) - images).abs().amax() > 0.5 for n in (1, 4, 6)}
    assert is_changed == {1: True, 4: False, 6: True}


def test_warp_curves_a_line(monkeypatch):
    """A vertical line becomes a parabola: its ends move to one side together, by at most the limit."""
    for name in LIMITS:
        monkeypatch.setattr(augmentation, name, 0)
    monkeypatch.setattr(augmentation, "MAX_WARP", 0.2)
    torch.manual_seed(0)
    images = torch.zeros(500, 1, 28, 28)
    images[:, :, :, 13:15] = 1
    warped = augment(images, torch.zeros(500))[:, 0]
    columns = (warped * (torch.arange(28) - 13.5)).sum(dim=2) / warped.sum(dim=2).clamp(min=1e-6)
    assert columns[:, 13:15].abs().max() < 0.2  # the middle stays
    top, bottom = columns[:, 4], columns[:, 23]
    torch.testing.assert_close(top, bottom, rtol=0, atol=0.5)
    farthest = 0.2 * (9.5 / 14) ** 2 * 14
    assert 0.8 * farthest < top.max() < farthest + 0.4 and -farthest - 0.4 < top.min() < -0.8 * farthest


def test_no_bicubic_operation():
    """Apple's GPUs have none before PyTorch 2.6 (upsample_bicubic2d)."""
    operations = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            operations.append(str(func))
            return func(*args, **(kwargs or {}))

    with Recorder():
        augment(torch.rand(3, 1, 28, 28), torch.tensor([1, 6, 8]))
    assert any("grid_sampler" in name for name in operations)
    assert not any("bicubic" in name for name in operations)
