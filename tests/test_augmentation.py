"""How far the augmentation changes an image."""

from __future__ import annotations

import pytest
import torch
from generated_digits import draw_images

from digits import augmentation
from digits.augmentation import augment

LIMITS = ("MAX_ROTATION", "MAX_SCALING", "MAX_SHEAR", "MAX_SHIFT", "ELASTICITY")  # augmentation.py's, of augment()


def test_augment_draws_for_each_image():
    torch.manual_seed(0)
    image = torch.from_numpy(draw_images(1, seed=0)[0][:, None]).float() / 255
    images = augment(image.expand(50, 1, 28, 28))
    assert images.shape == (50, 1, 28, 28) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    assert len({image.numpy().tobytes() for image in images}) == 50
    assert augment(torch.ones(50, 1, 28, 28))[:, :, 0, 0].min() == 0  # black comes in from outside
    # 12 % in width and height change the amount of ink by a quarter at most, but for the blur of small strokes.
    ink = images.sum(dim=(1, 2, 3)) / image.sum()
    assert ink.min() > 0.65 and ink.max() < 1.35


def test_augment_without_limits_changes_nothing(monkeypatch):
    for name in LIMITS:
        monkeypatch.setattr(augmentation, name, 0)
    images = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(augment(images), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name, limit, farthest", [("MAX_SHIFT", 3, 3.0), ("MAX_ROTATION", 30, 5.0)])
def test_augment_keeps_its_limits(name, limit, farthest, monkeypatch):
    """A dot 10 pixels above the middle moves by at most 3 pixels, or to the side by 10 sin(30 degrees)."""
    for other in LIMITS:
        monkeypatch.setattr(augmentation, other, limit if other == name else 0)
    torch.manual_seed(0)
    images = torch.zeros(500, 1, 28, 28)
    images[:, :, 3:5, 13:15] = 1
    columns = torch.arange(28) - 13.5
    moved = augment(images).sum(dim=(1, 2))
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
    bent = augment(images)[:, 0, 4:24]  # black may come in from above and below
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
    turned, places = augment(images)[:, 0], torch.arange(28) - 13.5
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
    moved, places = augment(images)[:, 0], torch.arange(28) - 13.5
    x, y = ((moved.sum(dim=axis) * places).sum(dim=1) / moved.sum(dim=(1, 2)) for axis in (1, 2))
    if name == "MAX_SCALING":
        assert -12.7 < y.min() < -11.9 and -8.6 < y.max() < -8.1 and x.abs().max() < 0.1
    else:
        assert 1.8 < x.max() < 2.1 and -2.1 < x.min() < -1.8 and (y + 10).abs().max() < 0.1
