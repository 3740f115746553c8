"""Connected parts of the ink: which are digits, which belong to one, and which are none."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import prepare, read_digit
from generated_digits import draw_number
from PIL import Image, ImageDraw

from digits.reading.mnist_format import find_digits
from digits.reading.parts import label_parts


def test_label_parts():
    """Against a search from pixel to pixel, on random masks and on a spiral."""
    generator = np.random.default_rng(0)
    masks = [generator.random((17, 23)) < density for density in (0, 0.1, 0.3, 0.5, 1)]
    spiral = np.zeros((19, 19), dtype=bool)
    for ring in range(0, 9, 2):
        spiral[ring, ring : 19 - ring] = spiral[ring : 19 - ring, 18 - ring] = True
        spiral[18 - ring, ring : 19 - ring] = spiral[ring + 2 : 19 - ring, ring] = True
        spiral[ring + 2, ring : ring + 3] = True
    for mask in [*masks, spiral]:
        labels = label_parts(mask)
        assert ((labels > 0) == mask).all()
        unseen, parts = set(zip(*np.nonzero(mask))), 0
        while unseen:
            open_pixels = [unseen.pop()]
            label = labels[open_pixels[0]]
            parts += 1
            while open_pixels:
                y, x = open_pixels.pop()
                assert labels[y, x] == label
                near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & unseen
                unseen -= near
                open_pixels += near
        assert len(np.unique(labels[mask])) == parts


def find_boxes(*boxes: tuple[int, int, int, int], size: int = 200) -> list[tuple[int, ...]]:
    """Return the boxes of the digits that are found where black boxes (left, top, right, bottom) lie on white."""
    picture = Image.new("RGB", (size, size), "white")
    for box in boxes:
        picture.paste("black", box)
    return [digit.box for digit in find_digits(picture)]


def test_parts_near_the_largest_belong_to_the_digit():
    """Near is up to 0.35 of its longer side: 28 of 80 pixels beside it, 13 of 38 below it."""
    tall, wide = (96, 60, 108, 140), (29, 41, 67, 55)
    for part, near in (((130, 90, 136, 112), True), ((142, 90, 148, 112), False)):
        assert len(find_boxes(tall, part)) == 1
        assert (find_boxes(tall, part)[0][2] > 120) == near
    for part, near in (((43, 64, 54, 68), True), ((43, 70, 54, 74), False)):
        assert (find_boxes(wide, part, size=96)[0][3] > 60) == near


def test_what_lies_is_a_line():
    """No digit is more than three times as wide as high."""
    ((left, _, right, _),) = find_boxes((29, 41, 67, 55), size=96)
    assert right - left == pytest.approx(38, abs=2)
    with pytest.raises(ValueError, match="no digit found"):
        find_boxes((29, 42, 67, 54), size=96)


def test_in_photographs_digits_are_higher_than_the_window():
    """A bar that lies there may be the light between two shadows, as no window lower than it shows it."""
    with pytest.raises(ValueError, match="no digit found"):
        find_boxes((60, 86, 140, 114), size=200)


def test_parts_at_the_border():
    """They belong to the digit only where it lies at the border itself, and do not become it as long as another can."""
    middle, at_border = (96, 80, 108, 160), (96, 170, 120, 200)
    ((_, _, _, bottom),) = find_boxes(middle, at_border)
    assert bottom < 165
    with pytest.raises(ValueError, match="no digit found"):
        find_boxes(at_border)
    assert len(find_boxes((96, 20, 108, 200))) == 1  # it fills the picture


def test_loose_parts_belong_to_the_digit():
    """A 5 whose bar hangs in the air keeps it, as wide as it is; without the bar the rest would fill the image."""
    picture = Image.new("L", (200, 200), 255)
    pencil = ImageDraw.Draw(picture)
    pencil.line((70, 52, 70, 95), fill=0, width=8)
    pencil.arc((55, 90, 120, 155), 200, 500, fill=0, width=8)
    without = prepare(picture)
    pencil.line((85, 50, 135, 50), fill=0, width=8)
    image = prepare(picture)
    assert image[:8, 16:].max() > 250 and without[:8, 16:].max() == 0


@pytest.mark.parametrize("number", ["42", "407", "1234", "56789"])
@pytest.mark.parametrize("pen", [4, 9, 14])
def test_several_digits_from_left_to_right(number, pen, shipped_model):
    digits = find_digits(draw_number(number, pen))
    assert "".join(str(read_digit(shipped_model, digit.image)) for digit in digits) == number
    for place, digit in enumerate(digits):
        left, top, right, bottom = digit.box
        middle = 60 + place * 90 + 35
        assert abs((left + right) / 2 - middle) < 15 and abs(top - 70) < 15 and abs(bottom - 170) < 15


def test_numbers_may_climb():
    """As on a sheet that lies askew: the last digit no longer stands beside the first, but each beside the next."""
    picture = draw_number("40725").rotate(18, expand=True, fillcolor=255)
    digits = find_digits(picture)
    assert digits[0].box[1] > digits[-1].box[3]
    assert len(digits) == 5
