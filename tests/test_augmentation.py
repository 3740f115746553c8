"""How far the augmentation changes an image."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from digits.training import augmentation
from digits.training.augmentation import add_strokes, augment, change_widths
from tests.helpers import draw_images


def set_limits(monkeypatch: pytest.MonkeyPatch, **limits: float) -> None:
    """Set some limits of augment(), and the others to 0."""
    for name in ("MAX_ROTATION", "MAX_SCALING", "MAX_SHIFT", "ELASTICITY", "CHANGED_WIDTHS"):
        monkeypatch.setattr(augmentation, name, limits.get(name, 0))
    torch.manual_seed(0)


def move_dot(row: int, column: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Augment 500 images of a dot of 2x2 pixels; return x and y (500,) of its centre, in pixels from the middle."""
    images, positions = torch.zeros(500, 1, 28, 28), torch.arange(28) - 13.5
    images[:, :, row : row + 2, column : column + 2] = 1
    images = augment(images, torch.zeros(500))[:, 0]
    x, y = ((images.sum(dim=axis) * positions).sum(dim=1) / images.sum(dim=(1, 2)) for axis in (1, 2))
    return x, y


def draw_ones(num_images: int, slant: float = 0, width: int = 2) -> torch.Tensor:
    """Return images (N, 1, 28, 28) of a stroke from row 4 to row 23 that leans `slant` pixels to the right."""
    image = torch.zeros(1, 1, 28, 28)
    for row in range(4, 24):
        column = round(14 + slant * (13.5 - row) / 20)
        image[0, 0, row, column : column + width] = 1
    return image.repeat(num_images, 1, 1, 1)


def add_one_stroke(monkeypatch: pytest.MonkeyPatch, stroke: tuple, ones: torch.Tensor, bend: float = 0) -> torch.Tensor:
    """Return what a stroke of the table of ADDED_STROKES adds to images (N, 1, 28, 28), as (N, 28, 28)."""
    monkeypatch.setattr(augmentation, "ADDED_STROKES", [stroke])
    monkeypatch.setattr(augmentation, "MAX_BEND", bend)
    torch.manual_seed(0)
    return (add_strokes(ones, torch.full((len(ones),), stroke[0])) - ones)[:, 0]


def test_each_image_is_changed_in_its_own_way(monkeypatch):
    monkeypatch.setattr(augmentation, "CHANGED_WIDTHS", 0)
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


@pytest.mark.parametrize(
    "name, limit, largest_x, largest_y",
    [
        ("MAX_SHIFT", 3, (2.4, 3.3), (-7.6, -6.7)),
        ("MAX_ROTATION", 30, (4, 5.3), (-8.9, -8.4)),  # 10 sin(30 degrees); -10 cos(30 degrees)
        ("MAX_SCALING", 0.2, (0, 0.1), (-8.6, -8.1)),  # -10 / (1 + 0.2)
    ],
)
def test_limits_are_kept(name, limit, largest_x, largest_y, monkeypatch):
    """Of a dot 10 pixels above the middle, or to the left of it: how far it comes to either side, and inwards."""
    set_limits(monkeypatch, **{name: limit})
    (x, y), (beside_x, beside_y) = move_dot(3, 13), move_dot(13, 3)
    for across, inwards in ((x, y), (beside_y, beside_x)):
        assert largest_x[0] <= across.max() <= largest_x[1] and largest_x[0] <= -across.min() <= largest_x[1]
        assert largest_y[0] <= inwards.max() <= largest_y[1]
    if name == "MAX_ROTATION":  # neither sheared nor scaled
        assert abs(torch.cat([torch.hypot(x, y), torch.hypot(beside_x, beside_y)]) - 10).max() < 0.2


def test_elasticity_bends_a_line(monkeypatch):
    """A vertical line stays where it is on average, yet its rows move apart: by about the elasticity."""
    set_limits(monkeypatch, ELASTICITY=0.8)
    images = torch.zeros(500, 1, 28, 28)
    images[:, :, :, 13:15] = 1
    bent = augment(images, torch.zeros(500))[:, 0, 4:24]  # black may come in from above and below
    columns = (bent * (torch.arange(28) - 13.5)).sum(dim=2) / bent.sum(dim=2)  # (N, 20): where the line is in each row
    assert columns.mean().abs() < 0.1
    assert columns[:, 3].std() == pytest.approx(0.8, rel=0.15)  # row 7 is at one of the 5x5 points
    assert columns.std(dim=1).mean() > 0.3
    assert (columns[:, 1:] - columns[:, :-1]).abs().max() < 1  # smooth: no row jumps


def test_elastic_shifts_are_interpolated_bicubically(monkeypatch):
    """As PyTorch's own operation does it, which Apple's GPUs lack before PyTorch 2.6."""
    set_limits(monkeypatch, ELASTICITY=1)
    points, images = torch.randn(1, 2, 5, 5), torch.rand(1, 1, 28, 28)
    monkeypatch.setattr(torch, "randn", lambda *size, device: points)
    bent = augment(images, torch.zeros(1))
    shifts = F.interpolate(points * 2 / 28, size=(28, 28), mode="bicubic", align_corners=True)
    grid = F.affine_grid(torch.eye(3)[None, :2], [1, 1, 28, 28], align_corners=False) + shifts.permute(0, 2, 3, 1)
    torch.testing.assert_close(bent, F.grid_sample(images, grid, align_corners=False), rtol=0, atol=1e-4)


def test_strokes_become_wider_or_thinner(monkeypatch):
    """By up to 2 pixels, as often as thinner, in as many images as the constant says; augment() does so too."""
    set_limits(monkeypatch, CHANGED_WIDTHS=0.3)
    images = draw_ones(2000, width=4)
    changed = change_widths(images)
    assert torch.equal(images, draw_ones(2000, width=4)) and changed.min() >= 0 and changed.max() <= 1
    is_changed = (changed != images).flatten(1).any(dim=1)
    assert is_changed.float().mean() == pytest.approx(0.3, abs=0.05)
    widths, lengths = changed[is_changed, 0, 13].sum(dim=1), changed[is_changed, 0, :, 15].sum(dim=1)
    torch.testing.assert_close(widths + 16, lengths)  # strokes of 4x20 pixels, in both directions
    assert widths.min() >= 2 and widths.max() <= 6  # and evenly in between
    assert widths.mean() == pytest.approx(4, abs=0.2) and widths.std() == pytest.approx(4 / 12**0.5, abs=0.1)
    monkeypatch.setattr(augmentation, "add_strokes", lambda images, labels: images)
    torch.manual_seed(0)
    torch.testing.assert_close(augment(images, torch.zeros(2000)), changed, rtol=0, atol=1e-5)


@pytest.mark.parametrize("slant, column", [(0, 14.5), (-4, 12.5)])
@pytest.mark.parametrize("angles, lengths", [((-70, -20), (0.25, 0.65)), ((60, 100), (0.2, 0.4))])
def test_strokes_start_at_the_top(angles, lengths, slant, column, monkeypatch):
    """They keep their angle, 0 being down and 90 right, and their length, relative to the height of 20 pixels."""
    ones = 0.9 * draw_ones(500, slant)
    before = ones.clone()
    added = add_one_stroke(monkeypatch, (6, 1, 0, angles, lengths), ones)
    assert torch.equal(ones, before) and added.min() >= 0 and (added + ones[:, 0]).max() <= 1
    is_added = added > 0.5
    y, x = torch.arange(28)[:, None] - 4.0, torch.arange(28) - column
    distances = torch.where(is_added, torch.hypot(x, y), torch.tensor(0.0)).flatten(1).amax(dim=1)
    assert 20 * lengths[0] - 1.5 <= distances.min() < 20 * lengths[0] + 2
    assert 20 * lengths[1] - 1.5 < distances.max() <= 20 * lengths[1] + 1.5
    is_far = is_added & (torch.hypot(x, y) > 4)
    directions = torch.rad2deg(torch.atan2(x.expand(28, 28), y.expand(28, 28))).expand(500, 28, 28)[is_far]
    assert angles[0] - 20 < directions.min() and directions.max() < angles[1] + 20
    assert directions.max() - directions.min() > 0.6 * (angles[1] - angles[0])


def test_strokes_are_bent(monkeypatch):
    """The ends of a stroke of 12 pixels, turned by 20 degrees to either side, are off the straight line by a pixel."""
    added = add_one_stroke(monkeypatch, (1, 1, 0, (-90, -90), (0.6, 0.6)), draw_ones(500), bend=20)[:, :, :14]
    heights = (added * torch.arange(28)[:, None]).sum(dim=1) / added.sum(dim=1).clamp(min=0.1)  # (500, 14)
    sagging = (heights[:, 8] - (heights[:, 4] + heights[:, 12]) / 2)[added[:, :, 4].sum(dim=1) > 0.5]
    assert 0.3 < sagging.max() < 1.5 and -1.5 < sagging.min() < -0.3


@pytest.mark.parametrize("slant, column", [(0, 14.5), (6, 11.5)])
@pytest.mark.parametrize("width", [2, 4])
def test_strokes_across_the_lower_end(width, slant, column, monkeypatch):
    """As far to the left as to the right, and about as wide as the 1 itself."""
    added = add_one_stroke(monkeypatch, (1, 1, 1, (90, 90), (0.4, 0.9)), draw_ones(500, slant, width))
    assert added[:, :18].max() == 0
    columns = torch.arange(28) - column - (width - 2) / 2
    left, right = (torch.where(added[:, 23] > 0.5, side * columns, torch.tensor(0.0)).amax(dim=1) for side in (-1, 1))
    assert (left - right).abs().max() <= 1
    assert 20 * 0.4 / 2 - 1 <= right.min() < 20 * 0.4 / 2 + 1 and 20 * 0.9 / 2 - 1 < right.max() <= 20 * 0.9 / 2 + 1
    widths = added[:, :, round(column + width)].sum(dim=1)
    assert 0.6 * width - 0.4 < widths.min() < 0.75 * width and 0.95 * width < widths.max() < 1.1 * width + 0.3


def test_some_of_the_digits_get_strokes(monkeypatch):
    """The fractions of the table, and no digit that is not in it; augment() adds them too, and black images bear it."""
    torch.manual_seed(0)
    images, labels = draw_ones(20_000), torch.arange(20_000) % 10
    is_changed = (add_strokes(images, labels) != images).flatten(1).any(dim=1)
    fractions = torch.tensor([is_changed[labels == digit].float().mean() for digit in range(10)])
    expected = torch.zeros(10)
    for digit, fraction, *_ in augmentation.ADDED_STROKES:
        expected[digit] = max(expected[digit], fraction)  # whoever writes a serif writes a lead-in stroke too
    torch.testing.assert_close(fractions, expected, rtol=0, atol=0.05)
    set_limits(monkeypatch)
    augmented, images = augment(images[:100], labels[:100]), images[:100]
    torch.manual_seed(0)
    torch.testing.assert_close(augmented, add_strokes(images, labels[:100]), rtol=0, atol=1e-5)
    assert add_strokes(torch.zeros(0, 1, 28, 28), torch.zeros(0)).shape == (0, 1, 28, 28)
    assert add_strokes(torch.zeros(30, 1, 28, 28), torch.ones(30)).isfinite().all()
