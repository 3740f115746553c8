"""How far the augmentation changes an image."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from digits.training import augmentation
from digits.training.augmentation import add_strokes, augment
from tests.helpers import draw_images

LIMITS = ("MAX_ROTATION", "MAX_SCALING", "MAX_SHIFT", "ELASTICITY")  # augmentation.py's, of augment()


def set_limits(monkeypatch: pytest.MonkeyPatch, **limits: float) -> None:
    """Set some limits of augment(), and the others to 0."""
    for name in LIMITS:
        monkeypatch.setattr(augmentation, name, limits.get(name, 0))


def centre_of_ink(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean x and y of the ink of images (N, 1, 28, 28), in pixels from the middle."""
    images, positions = images[:, 0], torch.arange(28) - 13.5
    x, y = ((images.sum(dim=axis) * positions).sum(dim=1) / images.sum(dim=(1, 2)) for axis in (1, 2))
    return x, y


def draw_dots(row: int = 3, column: int = 13) -> torch.Tensor:
    """Return 500 images (500, 1, 28, 28) of a dot, 10 pixels above the middle unless told otherwise."""
    images = torch.zeros(500, 1, 28, 28)
    images[:, :, row : row + 2, column : column + 2] = 1
    return images


def test_each_image_is_changed_in_its_own_way():
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


def test_without_limits_strokes_are_added_and_no_more(monkeypatch):
    set_limits(monkeypatch)
    images, labels = draw_ones(100, slant=4), torch.arange(100) % 10
    torch.manual_seed(0)
    expected = add_strokes(images, labels)
    torch.manual_seed(0)
    torch.testing.assert_close(augment(images, labels), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "name, limit, largest_x, largest_y",
    [
        ("MAX_SHIFT", 3, (2.4, 3.3), (-7.6, -6.7)),
        ("MAX_ROTATION", 30, (4, 5.3), (-8.9, -8.4)),  # 10 sin(30 degrees); -10 cos(30 degrees)
        ("MAX_SCALING", 0.2, (0, 0.1), (-8.6, -8.1)),  # -10 / (1 + 0.2)
    ],
)
def test_limits_are_kept(name, limit, largest_x, largest_y, monkeypatch):
    """Of a dot 10 pixels above the middle: how far it comes to either side, and down."""
    set_limits(monkeypatch, **{name: limit})
    torch.manual_seed(0)
    x, y = centre_of_ink(augment(draw_dots(), torch.zeros(500)))
    assert largest_x[0] <= x.max() <= largest_x[1] and largest_x[0] <= -x.min() <= largest_x[1]
    assert largest_y[0] <= y.max() <= largest_y[1]


@pytest.mark.parametrize("row, column", [(3, 13), (13, 3)])
def test_rotation_keeps_distances(row, column, monkeypatch):
    set_limits(monkeypatch, MAX_ROTATION=45)
    torch.manual_seed(0)
    distances = torch.hypot(*centre_of_ink(augment(draw_dots(row, column), torch.zeros(500))))
    assert distances.min() > 9.8 and distances.max() < 10.2


def test_elasticity_bends_a_line(monkeypatch):
    """A vertical line stays where it is on average, yet its rows move apart: by about the elasticity."""
    set_limits(monkeypatch, ELASTICITY=0.8)
    torch.manual_seed(0)
    images = torch.zeros(500, 1, 28, 28)
    images[:, :, :, 13:15] = 1
    bent = augment(images, torch.zeros(500))[:, 0, 4:24]  # black may come in from above and below
    columns = (bent * (torch.arange(28) - 13.5)).sum(dim=2) / bent.sum(dim=2)  # (N, 20): where the line is in each row
    assert columns.mean().abs() < 0.1
    assert columns[:, 3].std() == pytest.approx(0.8, rel=0.15)  # row 7 is at one of the 5x5 points
    assert columns.std(dim=1).mean() > 0.3
    assert (columns[:, 1:] - columns[:, :-1]).abs().max() < 1  # smooth: no row jumps


def test_elastic_shifts_are_interpolated_bicubically(monkeypatch):
    """As PyTorch's own operation does it. Apple's GPUs have none before 2.6: only a 5x5 matrix is interpolated so."""
    set_limits(monkeypatch, ELASTICITY=1)
    torch.manual_seed(0)
    points, images, shapes = torch.randn(1, 2, 5, 5), torch.rand(1, 1, 28, 28), []

    class Recorder(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if "bicubic" in str(func):
                shapes.append((tuple(args[0].shape), args[0].device.type))
            return func(*args, **(kwargs or {}))

    monkeypatch.setattr(torch, "randn", lambda *size, device: points)
    with Recorder():
        bent = augment(images, torch.zeros(1))
    assert set(shapes) <= {((1, 1, 5, 5), "cpu")}
    shifts = torch.nn.functional.interpolate(points * 2 / 28, size=(28, 28), mode="bicubic", align_corners=True)
    grid = torch.nn.functional.affine_grid(torch.eye(3)[None, :2], [1, 1, 28, 28], align_corners=False)
    grid = grid + shifts.permute(0, 2, 3, 1)
    expected = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    torch.testing.assert_close(bent, expected, rtol=0, atol=1e-4)


def draw_ones(num_images: int, slant: float = 0, width: int = 2) -> torch.Tensor:
    """Return images (N, 1, 28, 28) of a stroke from row 4 to row 23 that leans `slant` pixels to the right."""
    image = torch.zeros(1, 1, 28, 28)
    for row in range(4, 24):
        column = round(14 + slant * (13.5 - row) / 20)
        image[0, 0, row, column : column + width] = 1
    return image.repeat(num_images, 1, 1, 1)


@pytest.mark.parametrize("slant, column", [(0, 14.5), (-4, 12.5)])
@pytest.mark.parametrize("angles, lengths", [((-70, -20), (0.25, 0.65)), ((60, 100), (0.2, 0.4))])
def test_strokes_start_at_the_top(angles, lengths, slant, column, monkeypatch):
    """They keep their angle, 0 being down and 90 right, and their length, relative to the height of 20 pixels."""
    monkeypatch.setattr(augmentation, "ADDED_STROKES", [(6, 1, 0, angles, lengths)])
    monkeypatch.setattr(augmentation, "MAX_BEND", 0)
    torch.manual_seed(0)
    images = 0.9 * draw_ones(500, slant)
    before = images.clone()
    written = add_strokes(images, torch.full((500,), 6))
    assert torch.equal(images, before) and (written >= images).all() and written.max() <= 1
    added = (written - images)[:, 0] > 0.5
    y, x = torch.arange(28)[:, None] - 4.0, torch.arange(28) - column
    distances = torch.where(added, torch.hypot(x, y), torch.tensor(0.0)).flatten(1).amax(dim=1)
    assert 20 * lengths[0] - 1.5 <= distances.min() < 20 * lengths[0] + 2
    assert 20 * lengths[1] - 1.5 < distances.max() <= 20 * lengths[1] + 1.5
    is_far = added & (torch.hypot(x, y) > 4)
    directions = torch.rad2deg(torch.atan2(x.expand(28, 28), y.expand(28, 28))).expand(500, 28, 28)[is_far]
    assert angles[0] - 20 < directions.min() and directions.max() < angles[1] + 20
    assert directions.max() - directions.min() > 0.6 * (angles[1] - angles[0])


def test_strokes_are_bent(monkeypatch):
    """The ends of a stroke of 12 pixels, turned by 20 degrees to either side, are off the straight line by a pixel."""
    monkeypatch.setattr(augmentation, "ADDED_STROKES", [(1, 1, 0, (-90, -90), (0.6, 0.6))])
    torch.manual_seed(0)
    added = (add_strokes(draw_ones(500), torch.ones(500)) - draw_ones(500))[:, 0, :, :14]
    heights = (added * torch.arange(28)[:, None]).sum(dim=1) / added.sum(dim=1).clamp(min=0.1)  # (500, 14)
    middle, ends = heights[:, 8], (heights[:, 4] + heights[:, 12]) / 2
    sagging = (middle - ends)[added[:, :, 4].sum(dim=1) > 0.5]
    assert 0.3 < sagging.max() < 1.5 and -1.5 < sagging.min() < -0.3


@pytest.mark.parametrize("slant, column", [(0, 14.5), (6, 11.5)])
@pytest.mark.parametrize("width", [2, 4])
def test_strokes_across_the_lower_end(width, slant, column, monkeypatch):
    """As far to the left as to the right, and about as wide as the 1 itself."""
    monkeypatch.setattr(augmentation, "ADDED_STROKES", [(1, 1, 1, (90, 90), (0.4, 0.9))])
    monkeypatch.setattr(augmentation, "MAX_BEND", 0)
    torch.manual_seed(0)
    images = draw_ones(500, slant, width)
    added = (add_strokes(images, torch.ones(500)) - images)[:, 0]
    assert added[:, :18].max() == 0
    columns = torch.arange(28) - column - (width - 2) / 2
    left, right = (torch.where(added[:, 23] > 0.5, side * columns, torch.tensor(0.0)).amax(dim=1) for side in (-1, 1))
    assert (left - right).abs().max() <= 1
    assert 20 * 0.4 / 2 - 1 <= right.min() < 20 * 0.4 / 2 + 1 and 20 * 0.9 / 2 - 1 < right.max() <= 20 * 0.9 / 2 + 1
    widths = added[:, :, round(column + width)].sum(dim=1)
    assert 0.6 * width - 0.4 < widths.min() < 0.75 * width and 0.95 * width < widths.max() < 1.1 * width + 0.3


def test_some_of_the_digits_get_strokes():
    """The fractions of the table, and no digit that is not in it."""
    torch.manual_seed(0)
    images, labels = draw_ones(20_000), torch.arange(20_000) % 10
    is_changed = (add_strokes(images, labels) != images).flatten(1).any(dim=1)
    fractions = torch.tensor([is_changed[labels == digit].float().mean() for digit in range(10)])
    expected = torch.zeros(10)
    for digit, fraction, *_ in augmentation.ADDED_STROKES:
        expected[digit] = max(expected[digit], fraction)  # whoever writes a serif writes a lead-in stroke too
    torch.testing.assert_close(fractions, expected, rtol=0, atol=0.05)


def test_strokes_of_none_and_of_black_images():
    assert add_strokes(torch.zeros(0, 1, 28, 28), torch.zeros(0)).shape == (0, 1, 28, 28)
    assert add_strokes(torch.zeros(30, 1, 28, 28), torch.ones(30)).isfinite().all()
