"""How far the augmentation changes an image."""

from __future__ import annotations

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from digits.deskewing import deskew
from digits.training import augmentation
from digits.training.augmentation import add_strokes, augment
from tests.helpers import draw_images

LIMITS = ("MAX_ROTATION", "MAX_SCALING", "MAX_SHEAR", "MAX_SHIFT", "ELASTICITY")  # augmentation.py's, of augment()


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
    torch.testing.assert_close(augment(images, torch.zeros(5)), deskew(images), rtol=0, atol=1e-5)


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


@pytest.mark.parametrize("name", ["MAX_SCALING", "MAX_SHEAR"])
def test_scaling_and_shear_keep_their_limits(name, monkeypatch):
    """A dot 10 pixels above the middle comes as far away as 10 / (1 - 0.2), or to the side by 10 times 0.2."""
    for other in LIMITS:
        monkeypatch.setattr(augmentation, other, 0.2 if other == name else 0)
    torch.manual_seed(0)
    images = torch.zeros(500, 1, 28, 28)
    images[:, :, 3:5, 13:15] = 1
    moved, places = augment(images, torch.zeros(500))[:, 0], torch.arange(28) - 13.5
    x, y = ((moved.sum(dim=axis) * places).sum(dim=1) / moved.sum(dim=(1, 2)) for axis in (1, 2))
    if name == "MAX_SCALING":
        assert -12.7 < y.min() < -11.9 and -8.6 < y.max() < -8.1 and x.abs().max() < 0.1
    else:
        assert 1.8 < x.max() < 2.1 and -2.1 < x.min() < -1.8 and (y + 10).abs().max() < 0.1


def draw_one(slant: float, width: int = 2) -> torch.Tensor:
    """Return an image (1, 1, 28, 28) of a stroke from row 4 to row 23 that leans `slant` pixels to the right."""
    image = torch.zeros(1, 1, 28, 28)
    for row in range(4, 24):
        column = round(14 + slant * (13.5 - row) / 20)
        image[0, 0, row, column : column + width] = 1
    return image


@pytest.mark.parametrize("slant, column", [(0, 14.5), (-4, 12.5)])
def test_strokes_lead_to_the_top_from_the_left(slant, column, monkeypatch):
    monkeypatch.setattr(augmentation, "LEAD_IN_FRACTION", 1)
    monkeypatch.setattr(augmentation, "SERIF_FRACTION", 0)
    monkeypatch.setattr(augmentation, "LEAD_IN_ANGLE", (20, 65))
    monkeypatch.setattr(augmentation, "LEAD_IN_LENGTH", (0.25, 0.65))
    monkeypatch.setattr(augmentation, "LEAD_IN_BEND", (0, 0))
    torch.manual_seed(0)
    images = draw_one(slant).repeat(500, 1, 1, 1) * 0.9
    written = add_strokes(images, torch.ones(500, dtype=torch.long))
    assert (written >= images).all() and written.max() <= 1
    added = (written - images)[:, 0]
    assert (added.amax(dim=(1, 2)) > 0.3).all()
    # None is higher than its pen is wide, lower than 0.65 cos(20 degrees) of the height of 20, or right of the stroke.
    rows, columns = torch.nonzero(added.amax(dim=0)).unbind(dim=1)
    assert rows.min() >= 4 - 2 and 4 + 20 * 0.65 * 0.94 - 2 < rows.max() <= 4 + 20 * 0.65 * 0.94 + 2
    assert column - 20 * 0.65 * 0.91 - 2 <= columns.min() < column - 20 * 0.65 * 0.91 + 2
    assert columns.max() <= column + 2
    # The farthest pixel of each lies at its length and angle.
    y, x = torch.arange(28)[:, None] - 4, torch.arange(28) - column
    distances = torch.where(added > 0.5, torch.hypot(x, y), torch.tensor(0.0)).amax(dim=(1, 2))
    assert 20 * 0.25 - 1.5 <= distances.min() < 20 * 0.25 + 2 and 20 * 0.65 - 1.5 < distances.max() <= 20 * 0.65 + 1.5


@pytest.mark.parametrize("bend, steep, flat", [(0, 45, 45), (20, 25, 65), (-20, 65, 25)])
def test_strokes_are_bent_in_the_middle(bend, steep, flat, monkeypatch):
    for name, value in {"FRACTION": 1, "LENGTH": (0.6, 0.6), "ANGLE": (45, 45), "BEND": (bend, bend)}.items():
        monkeypatch.setattr(augmentation, f"LEAD_IN_{name}", value)
    monkeypatch.setattr(augmentation, "SERIF_FRACTION", 0)
    torch.manual_seed(0)
    images = draw_one(0)
    added = (add_strokes(images, torch.ones(1, dtype=torch.long)) - images)[0, 0]
    # Each half is 6 pixels long. Nothing left of the 1 lies farther from them than half a stroke is wide.
    x, y = 14.5, 4.0
    points = []
    for angle in (steep, flat):
        step = 6 / 60 * torch.arange(61)
        points.append(torch.stack([y + step * math.cos(math.radians(angle)), x - step * math.sin(math.radians(angle))]))
        y, x = points[-1][:, -1].tolist()
    places = torch.cat(points, dim=1).T
    distances = torch.cdist(torch.cartesian_prod(torch.arange(28.0), torch.arange(28.0)), places).amin(dim=1)
    distances = distances.reshape(28, 28)[:, :14]
    assert (added[:, :14][distances > 0.55 * 2 + 0.6] == 0).all() and (added[:, :14][distances < 0.3 * 2] > 0.4).all()


@pytest.mark.parametrize("slant, column", [(0, 14.5), (6, 11.5)])
def test_feet_lie_across_the_lower_end(slant, column, monkeypatch):
    monkeypatch.setattr(augmentation, "LEAD_IN_FRACTION", 1)
    monkeypatch.setattr(augmentation, "SERIF_FRACTION", 1)
    monkeypatch.setattr(augmentation, "SERIF_ANGLE", (90, 90))
    torch.manual_seed(0)
    images = draw_one(slant).repeat(500, 1, 1, 1)
    added = (add_strokes(images, torch.ones(500, dtype=torch.long)) - images)[:, 0]
    # Below the longest upstroke there is nothing but the foot: around row 23, as far to the left as to the right.
    lower = added[:, 21:].amax(dim=0).nonzero()
    assert lower[:, 0].min() + 21 >= 22 and lower[:, 0].max() + 21 <= 24
    columns = torch.arange(28) - column
    left, right = (torch.where(added[:, 23] > 0.5, side * columns, torch.tensor(0.0)).amax(dim=1) for side in (-1, 1))
    assert (left - right).abs().max() <= 1
    assert 20 * 0.4 / 2 - 1 <= right.min() < 20 * 0.4 / 2 + 1 and 20 * 0.9 / 2 - 1 < right.max() <= 20 * 0.9 / 2 + 1


@pytest.mark.parametrize("width", [2, 4])
def test_feet_are_about_as_wide_as_the_stroke(width, monkeypatch):
    monkeypatch.setattr(augmentation, "LEAD_IN_FRACTION", 1)
    monkeypatch.setattr(augmentation, "SERIF_FRACTION", 1)
    monkeypatch.setattr(augmentation, "SERIF_ANGLE", (90, 90))
    torch.manual_seed(0)
    images = draw_one(0, width).repeat(500, 1, 1, 1)
    written = add_strokes(images, torch.ones(500, dtype=torch.long))
    widths = written[:, 0, 14:, 14 + width].sum(dim=1)  # right of the stroke
    assert 0.6 * width - 0.1 < widths.min() < 0.7 * width and width < widths.max() < 1.1 * width + 0.1


def test_feet_rise_and_fall(monkeypatch):
    monkeypatch.setattr(augmentation, "LEAD_IN_FRACTION", 1)
    monkeypatch.setattr(augmentation, "SERIF_FRACTION", 1)
    monkeypatch.setattr(augmentation, "SERIF_LENGTH", (0.8, 0.8))
    torch.manual_seed(0)
    images = draw_one(0).repeat(500, 1, 1, 1)
    right = add_strokes(images, torch.ones(500, dtype=torch.long))[:, 0, 16:, 20]  # 5.5 columns from the middle
    rises = 23 - (right * torch.arange(16, 28)).sum(dim=1) / right.sum(dim=1)
    farthest = 5.5 * math.tan(math.radians(20))
    assert farthest - 0.5 < rises.max() < farthest + 0.3 and -farthest - 0.3 < rises.min() < -farthest + 0.5


def test_only_a_share_of_the_strokes_comes_with_a_foot(monkeypatch):
    monkeypatch.setattr(augmentation, "LEAD_IN_FRACTION", 1)
    torch.manual_seed(0)
    written = add_strokes(draw_one(0).repeat(1000, 1, 1, 1), torch.ones(1000, dtype=torch.long))
    share = (written[:, 0, 23, 17] > 0).float().mean()
    assert 0.8 * augmentation.SERIF_FRACTION < share < 1.2 * augmentation.SERIF_FRACTION


def test_only_a_share_of_the_ones_gets_an_upstroke():
    torch.manual_seed(0)
    images, labels = draw_one(0).repeat(5000, 1, 1, 1), torch.arange(5000) % 10
    before = images.clone()
    is_changed = (add_strokes(images, labels) != images).flatten(1).any(dim=1)
    assert torch.equal(images, before)
    assert set(labels[is_changed].tolist()) == {1}
    assert (
        0.7 * augmentation.LEAD_IN_FRACTION
        < is_changed[labels == 1].float().mean()
        < 1.3 * augmentation.LEAD_IN_FRACTION
    )


def test_strokes_of_no_ones_and_of_none_to_be_seen(monkeypatch):
    monkeypatch.setattr(augmentation, "LEAD_IN_FRACTION", 1)
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(add_strokes(images, torch.tensor([0, 7, 9])), images)
    assert add_strokes(images[:0], torch.zeros(0, dtype=torch.long)).shape == (0, 1, 28, 28)
    assert add_strokes(torch.zeros(3, 1, 28, 28), torch.ones(3, dtype=torch.long)).isfinite().all()


def test_augment_adds_strokes_and_then_deskews(monkeypatch):
    for name in LIMITS:
        monkeypatch.setattr(augmentation, name, 0)
    monkeypatch.setattr(augmentation, "SERIF_FRACTION", 1)
    images, labels = draw_one(4).repeat(100, 1, 1, 1), torch.arange(100) % 10
    torch.manual_seed(0)
    expected = deskew(add_strokes(images, labels))
    torch.manual_seed(0)
    torch.testing.assert_close(augment(images, labels), expected, rtol=0, atol=1e-5)


def test_no_bicubic_operation_but_on_the_cpu():
    """Apple's GPUs have none before PyTorch 2.6 (upsample_bicubic2d): only a matrix of 5x5 is interpolated so."""
    shapes = []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "bicubic" in str(func):
                shapes.append((tuple(args[0].shape), args[0].device.type))
            return func(*args, **(kwargs or {}))

    with Recorder():
        augment(torch.rand(3, 1, 28, 28), torch.tensor([1, 6, 8]))
    assert set(shapes) <= {((1, 1, 5, 5), "cpu")}


def test_elastic_shifts_are_interpolated_bicubically(monkeypatch):
    """As PyTorch's own operation does it, on a line that is bent by known shifts."""
    for name in LIMITS:
        monkeypatch.setattr(augmentation, name, 0)
    monkeypatch.setattr(augmentation, "ELASTICITY", 1)
    torch.manual_seed(0)
    points = torch.randn(1, 2, 5, 5)
    monkeypatch.setattr(torch, "randn", lambda *size, device: points)
    images = torch.rand(1, 1, 28, 28)
    shifts = torch.nn.functional.interpolate(points * 2 / 28, size=(28, 28), mode="bicubic", align_corners=True)
    identity = torch.eye(3)[None, :2]
    grid = torch.nn.functional.affine_grid(identity, [1, 1, 28, 28], align_corners=False) + shifts.permute(0, 2, 3, 1)
    expected = torch.nn.functional.grid_sample(deskew(images), grid, align_corners=False)
    torch.testing.assert_close(augment(images, torch.zeros(1)), expected, rtol=0, atol=1e-4)
