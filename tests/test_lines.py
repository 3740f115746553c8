"""Printed lines and creases are erased; what is written across them stays."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import read_digit
from generated_digits import draw_digit, draw_number
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from digits.reading.lines import erase_lines
from digits.reading.mnist_format import find_digits


def draw_lines(*lines: tuple[int, int, int, int], width: int = 3) -> np.ndarray:
    """Return ink (240, 320), 1 on straight lines (x, y, x, y), 0 elsewhere, with soft edges."""
    picture = Image.new("L", (320, 240))
    for line in lines:
        ImageDraw.Draw(picture).line(line, fill=255, width=width)
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(0.7))) / 255


@pytest.mark.parametrize("line", [(0, 90, 319, 110), (0, 10, 319, 230), (40, 0, 260, 239), (150, 0, 150, 239)])
def test_lines_of_all_directions_are_erased(line):
    """But for slivers thinner than the line."""
    ink = draw_lines(line)
    assert ink.sum() > 600 and erase_lines(ink, 0.3).sum() < 0.12 * ink.sum()


@pytest.mark.parametrize("line", [(0, 90, 200, 100), (60, 60, 260, 180)])
def test_strokes_that_end_on_the_page_stay(line):
    ink = draw_lines(line)
    assert (erase_lines(ink, 0.3) == ink).all()


@pytest.mark.parametrize("num_parallels", [0, 2, 3])
def test_short_lines_go_with_their_parallels(num_parallels):
    """One that cuts off a corner may be a stroke, unless three longer ones show that the page is ruled so."""
    corner = (0, 45, 135, 0)
    parallels = [(0, 160 + 40 * number, 320, 53 + 40 * number) for number in range(num_parallels)]
    left = erase_lines(draw_lines(corner, *parallels), 0.3)
    share = left[:40, :130].sum() / draw_lines(corner)[:40, :130].sum()
    assert share < 0.05 if num_parallels == 3 else share == 1


@pytest.mark.parametrize("has_parallel", [True, False])
def test_lines_that_a_digit_hides_go_with_their_parallels(has_parallel):
    """Without any, it may be a stroke from border to border."""
    parallels = [(100, 0, 90, 239)] * has_parallel
    line, digit = draw_lines((200, 0, 190, 239)), draw_lines((197, 40, 192, 180), width=30)
    left = erase_lines(np.maximum.reduce([line, digit, draw_lines(*parallels)]), 0.3)
    share = (left.sum() - digit.sum()) / np.maximum(line - digit, 0).sum()
    assert abs(share) < 0.05 if has_parallel else share > 0.95


@pytest.mark.parametrize("gap, has_parallel", [(30, True), (80, True), (30, False)])
def test_lines_with_a_gap_go_with_their_parallels(gap, has_parallel):
    """As where the edge of a shadow hides a part of one, an eighth of it at most."""
    parallels = [(0, 40, 319, 60)] * has_parallel
    broken = (0, 140, 160, 150), (160 + gap, 150 + gap // 16, 319, 160)
    left = erase_lines(draw_lines(*broken, *parallels), 0.3)
    share = left[100:].sum() / draw_lines(*broken).sum()
    assert share < 0.12 if gap == 30 and has_parallel else share > 0.999


@pytest.mark.parametrize("zoom", [1, 4])
def test_strokes_fill_pictures_of_few_pixels(zoom):
    """A 7 that does so stays whole; in a larger picture, where they are as thin, its strokes might be lines."""
    picture = Image.new("L", (36 * zoom, 28 * zoom))
    corners = [place * zoom for place in (0, 5, 25, 0, 17, 27)]
    ImageDraw.Draw(picture).line(corners, fill=255, width=3)
    ink = np.asarray(picture) / 255
    assert (erase_lines(ink, 0.3) == ink).all() == (zoom == 1)


def test_wide_bars_are_no_lines():
    ink = draw_lines((0, 120, 319, 120), width=40)
    assert (erase_lines(ink, 0.3) == ink).all()


def test_strokes_across_a_line_stay_whole():
    line, stroke = (0, 120, 319, 120), (160, 60, 160, 180)
    ink = draw_lines(line, stroke, width=5)
    left = erase_lines(ink, 0.3)
    assert left[60:180, 158:163].sum() > 0.98 * ink[60:180, 158:163].sum()
    assert left[:, :150].sum() + left[:, 170:].sum() < 0.01 * ink.sum()


def test_strokes_along_a_line_stay():
    """Each swallows its share of the light that the other leaves; so do two lines, where they cross."""
    line, other_line, stroke = (0, 120, 319, 120), (250, 0, 250, 239), (60, 120, 160, 120)
    lines = 1 - (1 - 0.5 * draw_lines(line)) * (1 - 0.5 * draw_lines(other_line))
    ink = 1 - (1 - lines) * (1 - 0.6 * draw_lines(stroke))
    left = erase_lines(ink, 0.2)
    assert left[119:122, 60:161].sum() > 0.98 * ink[119:122, 60:161].sum()
    assert left[:, :50].sum() + left[:, 170:].sum() < 0.01 * ink.sum()


@pytest.mark.parametrize("lines", ["ruled", "squared"])
@pytest.mark.parametrize("number", ["5", "38", "4072"])
def test_printed_lines_are_no_ink(number, lines, shipped_model):
    picture = draw_number(number)
    pencil = ImageDraw.Draw(picture)
    for y in range(25, 240, 50):
        pencil.line((0, y, 640, y + 8), fill=110, width=2)
    for x in range(25, 640, 50) if lines == "squared" else ():
        pencil.line((x, 0, x - 4, 240), fill=110, width=2)
    digits = find_digits(picture)
    assert "".join(str(read_digit(shipped_model, digit.image)) for digit in digits) == number


@pytest.mark.parametrize("digit", [4, 7, 9])
def test_stem_from_border_to_border_is_no_printed_line(digit, shipped_model):
    """A strip of paper that was cut close above and below its digit."""
    picture = ImageOps.invert(draw_digit(digit, (640, 180), (280, 5, 380, 175), pen=9))
    (found,) = find_digits(picture)
    assert read_digit(shipped_model, found.image) == digit
