"""Pictures of digits drawn here: where they are, in which lines, and what is left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageChops, ImageDraw, ImageOps

from digits.formatting import join_digits
from digits.reading import looking
from digits.reading.digits import Digit, find_digits, find_lines, separate_digits
from digits.reading.looking import View, look_closely
from tests.helpers import STROKES, draw_digit, read_picture_of


def draw_digits(*digits: tuple[int, float, float, float], size: tuple[int, int] = (640, 480)) -> Image.Image:
    """Return a picture (mode RGB, dark on light) of digits, each (digit, left, top, height)."""
    picture = Image.new("L", size)
    for digit, left, top, height in digits:
        box = (left, top, left + 0.7 * height, top + height)
        picture = ImageChops.lighter(picture, draw_digit(digit, size, box, pen=0.1 * height))
    return ImageOps.invert(picture).convert("RGB")


@pytest.mark.parametrize("digit", STROKES)
@pytest.mark.parametrize("invert", [False, True])
def test_a_digit_is_read(digit, invert, shipped_model, shipped_finder):
    picture = draw_digit(digit, (150, 200), (40, 50, 110, 160), pen=9)
    picture = ImageOps.invert(picture) if invert else picture
    assert read_picture_of(shipped_finder, shipped_model, picture) == str(digit)


@pytest.mark.parametrize("size", [28, 90, 1200])
@pytest.mark.parametrize("pen", [0.03, 0.08, 0.13])
@pytest.mark.slow
def test_sizes_and_pens(size, pen, shipped_model, shipped_finder):
    """Small and large pictures, thin and thick pens: the same digits."""
    for digit in (0, 2, 3, 4, 7, 8):
        box = (0.3 * size, 0.2 * size, 0.7 * size, 0.8 * size)
        picture = draw_digit(digit, (size, size), box, pen=max(1.2, pen * size))
        assert read_picture_of(shipped_finder, shipped_model, picture) == str(digit), digit


def test_boxes_and_lines(shipped_finder):
    expected = [(4, 60, 60, 90), (0, 170, 66, 90), (7, 80, 260, 90)]
    digits, left_out = find_digits(draw_digits(*expected), shipped_finder)
    assert [digit.line for digit in digits] == [0, 0, 1] and left_out < 0.05
    for digit, (_, left, top, height) in zip(digits, expected):
        box = np.array([left, top, left + 0.7 * height, top + height])
        assert abs(np.array(digit.box) - box).max() <= 0.25 * height


def test_layouts(shipped_model, shipped_finder):
    """Numbers, lines and columns, as they are written."""
    row = [(digit, 60 + 100 * index, 150, 110) for index, digit in enumerate((3, 2, 0, 7, 4))]
    assert read_picture_of(shipped_finder, shipped_model, draw_digits(*row)) == "32074"
    lines = [(digit, 60 + 90 * (n % 4), 50 + 150 * (n // 4), 90) for n, digit in enumerate((3, 2, 0, 7, 4, 8, 5, 2))]
    assert read_picture_of(shipped_finder, shipped_model, draw_digits(*lines)) == "3207 / 4852"
    column = [(digit, 300, 20 + 110 * index, 85) for index, digit in enumerate((3, 2, 0, 7))]
    assert read_picture_of(shipped_finder, shipped_model, draw_digits(*column)) == "3 / 2 / 0 / 7"


def test_a_note_on_a_desk(shipped_model, shipped_finder):
    grain = np.random.default_rng(0).normal(0, 4, (480, 640, 1))
    picture = Image.fromarray((np.array((110, 70, 40)) + grain).clip(0, 255).astype(np.uint8))
    picture.paste((235, 232, 225), (100, 80, 540, 400))
    picture.paste((30, 30, 60), (200, 150), draw_digit(3, (200, 200), (50, 30, 150, 170), pen=14))
    assert read_picture_of(shipped_finder, shipped_model, picture) == "3"


def test_what_is_no_digit_is_left_out(shipped_model, shipped_finder):
    picture = draw_digits((4, 200, 150, 120), (2, 320, 150, 120))
    ImageDraw.Draw(picture).line((170, 310, 450, 316), (0, 0, 0), 10)
    assert read_picture_of(shipped_finder, shipped_model, picture) == "42"
    _, left_out = find_digits(picture, shipped_finder)
    assert 0.1 < left_out < 0.6


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_no_digit(colour, shipped_finder):
    with pytest.raises(ValueError, match="no digit found"):
        find_digits(Image.new("RGB", (300, 200), (colour, colour, colour)), shipped_finder)


@pytest.mark.parametrize("height, widths", [(0.2, [256]), (0.05, [256, 880]), (0.9, [256, 96, 49]), (3, [256, 96])])
def test_how_often_and_from_where_is_looked(height, widths, monkeypatch, shipped_finder):
    """From afar, further away where nothing is found, and closely where digits, 44 pixels high, have another size."""
    looks = []

    def look(finder, picture):
        """Find a digit of this height, relative to the picture's width, if it is from 12 to 200 pixels high."""
        looks.append(picture.shape[2])
        bottom = height * looks[-1]
        boxes = torch.tensor([[0, 0, 10, bottom]])[: int(12 < bottom < 200)]
        return torch.zeros(picture.shape[1:]), torch.zeros(2, *picture.shape[1:]), boxes, torch.ones(len(boxes))

    monkeypatch.setattr(looking, "look", look)
    look_closely(Image.new("RGB", (1000, 500)), shipped_finder)
    assert looks == widths


def test_ink_is_of_the_digit_that_it_points_to():
    """Where boxes overlap, the centres of the ink decide; a ring, which points to itself, is of no digit."""
    ink, (y, x) = np.zeros((40, 60), np.float32), np.mgrid[:40, :60] + 0.5
    ink[10:30, 10:40], ink[5] = 1, 1
    centres = np.stack([np.where(y + x < 45, 20.0, 32.0), np.full((40, 60), 20.0)])
    centres[:, 5] = x[5], y[5]
    boxes = np.array([[10, 10, 30, 30], [24, 10, 40, 30]], float)
    first, second = separate_digits(View(ink, centres, boxes, np.ones(2), (0, 0), 1))
    assert np.array_equal(first, (ink == 1) & (y > 10) & (y + x < 45))
    assert np.array_equal(second, (ink == 1) & (y > 10) & (y + x >= 45))


def test_lines_of_boxes():
    """Lines that slant are followed, and the digits of another line left alone."""
    boxes = [(40 * x, 10 * x + 100 * y, 40 * x + 30, 10 * x + 100 * y + 60) for y in range(3) for x in range(6)]
    order = np.random.default_rng(0).permutation(len(boxes))
    lines = find_lines(np.array(boxes, float)[order])
    assert [lines[position] for position in np.argsort(order)] == [0] * 6 + [1] * 6 + [2] * 6


def test_digits_joined():
    image = np.zeros((28, 28), np.uint8)
    digits = [Digit(image, (left, 0, left + 10, 20), line) for left, line in ((0, 0), (12, 0), (45, 0), (0, 1), (5, 2))]
    assert join_digits(digits, np.array([1, 2, 3, 4, 5])) == "12 3 / 4 / 5"
