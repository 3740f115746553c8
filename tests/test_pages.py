"""Random pages: the same from one seed, with strokes and digits where they are recorded."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from PIL import Image

from digits.reading.pages import layout
from digits.reading.pages import page as page_module
from digits.reading.pages.__main__ import main as draw_sheet
from digits.reading.pages.canvas import Canvas, sample_view
from digits.reading.pages.layout import lay_out, lay_out_lines
from digits.reading.pages.marks import write_around, write_marks, write_signs
from digits.reading.pages.page import Page, draw_page, is_readable
from digits.reading.pages.paper import print_text
from digits.reading.pages.shapes import Shape, lift_bar, trace
from digits.reading.pages.things import draw_things, sample_photograph
from digits.reading.pages.writing import LEAN, place, write_digits
from tests.helpers import draw_digit, draw_images


@pytest.fixture(scope="module")
def shapes() -> list[Shape]:
    return trace(*draw_images(40, seed=1))


def test_middle_lines(shapes):
    """A vertical bar becomes a line as high as the digit, and all shapes are 1 high with joined points."""
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 4:24, 12:16] = 255
    (bar,) = trace(image, np.zeros(1))
    assert np.ptp(bar.points[:, 1]) == pytest.approx(1) and np.ptp(bar.points[:, 0]) < 0.1
    for shape in shapes:
        assert abs(shape.points).max() <= 1.5 and shape.edges.max() == len(shape.points) - 1


def test_the_loop_of_a_bold_digit_stays_open():
    image = np.array(draw_digit(0, (28, 28), (10, 10, 18, 18), 6))
    image[13:15, 13:15] = 120  # a hole that is half as light as the stroke
    (ring,) = trace(image[np.newaxis], np.zeros(1))
    assert np.hypot(*ring.points.T).min() > 0.1


def test_the_bar_of_a_5_stands_apart():
    """It is moved up, or to the side, and nothing joins it to the rest; the digit is 1 high as before."""
    image = np.asarray(draw_digit(5, (28, 28), (6, 4, 22, 24), 2.5))
    (whole,), rng = trace(image[np.newaxis], np.zeros(1)), np.random.default_rng(0)
    lifted = [lift_bar(rng, whole) for _ in range(20)]
    for shape in lifted:
        assert np.ptp(shape.points[:, 1]) == pytest.approx(1) and 0 < len(shape.edges) < len(whole.edges)
    assert len({shape.points.tobytes() for shape in lifted}) == 20


def test_photographs_differ():
    photographs = [sample_photograph(np.random.default_rng(seed), 96, 64) for seed in range(5)]
    assert all(picture.shape == (64, 96, 3) for picture in photographs)
    assert all(picture.min() >= 0 and picture.max() <= 255 and picture.std() > 5 for picture in photographs)
    assert len({picture.tobytes() for picture in photographs}) == 5


def test_one_seed_gives_the_same_pages(shapes):
    for seed in range(3):
        first, second = (draw_page(np.random.default_rng(seed), shapes, 96, 64) for _ in range(2))
        assert all(np.array_equal(*pair) for pair in zip(first, second))
        assert first.picture.shape == (64, 96, 3) and first.ink.shape == (64, 96)


def test_pages_are_of_many_kinds(shapes):
    drawn = [draw_page(np.random.default_rng(seed), shapes, 128, 128) for seed in range(150)]
    counts = [len(page.boxes) for page in drawn]
    assert min(counts) == 0 and max(counts) >= 6 and 30 <= counts.count(1) <= 90
    is_dark = [np.median(page.picture) < 100 for page in drawn]
    assert 0.1 < np.mean(is_dark) < 0.7
    for page in drawn:
        for left, top, right, bottom in page.boxes.astype(int):
            assert 0 <= left < right <= 128 and 0 <= top < bottom <= 128
            assert page.ink[top : bottom + 1, left : right + 1].max() > 100
        assert page.owners.max() <= len(page.boxes)
        for number, (left, top, right, bottom) in enumerate(page.boxes, start=1):
            rows, columns = np.nonzero((page.owners == number) & (page.ink > 127))
            margin = 2 + 0.05 * (right - left)
            assert left - margin < columns.min() <= columns.max() < right + margin
            assert top - margin < rows.min() <= rows.max() < bottom + margin


def test_ink_is_where_the_pen_was(shapes):
    """On plain paint the pen's colour differs from the background where there is ink, and nowhere else."""
    rng = np.random.default_rng(4)
    canvas = Canvas(128, 128, np.eye(3))
    (box,) = write_digits(rng, shapes, [(64, 64, 80)], 0.1, canvas)
    rows, columns = np.nonzero(canvas.to_array() > 0.5)
    found = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    assert abs(found - box).max() <= 2 and 60 <= found[3] - found[1] <= 110


@pytest.mark.parametrize("width, height", [(32, 96), (128, 40)])
def test_a_single_digit_fits_into_a_narrow_picture(width, height, shapes):
    rng = np.random.default_rng(0)
    for _ in range(20):
        canvas = Canvas(width, height, sample_view(rng, width, height))
        boxes = write_digits(rng, shapes, [(width / 2, height / 2, 90)], 0.05, canvas)
        ((left, top, right, bottom),) = boxes.tolist()
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
        assert right - left > 0.7 * width or bottom - top > 0.7 * height


def test_a_digit_keeps_its_form_unless_it_is_deformed():
    """A bar, as high as its slot, becomes up to a third longer, or bent, in pages to learn from alone."""
    rng, heights = np.random.default_rng(0), {}
    bar = Shape(
        np.stack([np.zeros(20), np.linspace(-0.5, 0.5, 20)], axis=1), np.stack([np.arange(19), np.arange(1, 20)], 1)
    )
    for is_deformed in (False, True):
        canvas, slots = Canvas(200, 200, np.eye(3)), [(60.0, 100.0, 80.0), (140.0, 100.0, 80.0)]
        boxes = np.concatenate([write_digits(rng, [bar, bar], slots, 0.05, canvas, is_deformed) for _ in range(40)])
        heights[is_deformed] = boxes[:, 3] - boxes[:, 1]
    assert heights[False].min() > 72 and heights[False].max() < 92 and heights[True].max() > 95


def test_digits_are_laid_out_as_often_as_the_constants_say():
    rng = np.random.default_rng(0)
    layouts = [np.array(lay_out(rng, 320, 240)).reshape(-1, 3) for _ in range(2000)]
    counts = np.array([len(slots) for slots in layouts])
    assert np.mean(counts == 0) == pytest.approx(layout.NO_DIGIT, abs=0.03)
    assert np.mean(counts == 1) == pytest.approx(layout.ONE_DIGIT + layout.ONE_NUMBER / 8, abs=0.03)
    x, y, height = np.concatenate([slots for slots in layouts if len(slots) == 1]).T
    is_centred = (abs(x - 160) < 0.15 * height) & (abs(y - 120) < 0.1 * height) & (height >= 120)
    assert is_centred.mean() == pytest.approx(layout.CENTRED, abs=0.06) and 9 <= height.min() < height.max() <= 240
    several = [slots for slots in layouts if len(slots) > 1]
    medians = np.array([np.median(slots[:, 2]) for slots in several])
    assert ((medians > 28) & (medians < 70)).mean() > 0.65  # half at the close look's size, others by chance
    assert min(slots[:, 2].min() for slots in several) < 9 and max(slots[:, 2].max() for slots in several) < 130
    assert 0.22 < sum(np.ptp(slots[:, 1]) > slots[:, 2].max() for slots in several) / 2000 < 0.32


def test_what_a_pen_writes_that_is_no_digit(shapes, monkeypatch):
    """Signs instead of digits, marks beside digits, marks alone: none without their constant, on most pages with it."""

    def count(**fractions: float) -> tuple[int, int, int]:
        """Return how many pages with and without digits have other ink, and how many have digits."""
        for name, value in {**dict.fromkeys(("SIGNS", "MARKS", "ONLY_MARKS", "NO_PAGE"), 0), **fractions}.items():
            monkeypatch.setattr(page_module, name, value)
        pages = [draw_page(np.random.default_rng(seed), shapes, 96, 64) for seed in range(40)]
        marked = [bool(len(page.boxes)) for page in pages if ((page.ink > 127) & (page.owners == 0)).any()]
        return sum(marked), len(marked) - sum(marked), sum(len(page.boxes) > 0 for page in pages)

    assert count()[:2] == (0, 0)
    with_digits, alone, num_digits = count(MARKS=1)
    assert with_digits > 0.8 * num_digits > 16 and alone < 4  # pages whose digits had no room
    with_digits, alone, num_digits = count(ONLY_MARKS=1)
    assert with_digits == 0 and alone > 0.7 * (40 - num_digits) > 2
    with_digits, alone, num_digits = count(SIGNS=1, SIGN=1)
    assert with_digits == num_digits == 0 and alone > 25


def test_some_pages_are_columns():
    rng = np.random.default_rng(0)
    pages = [np.array(lay_out_lines(rng, 200, 200, 4, 30)) for _ in range(200)]
    columns = [page for page in pages if len(page) == 4 and np.ptp(page[:, 0]) < 30]
    assert 10 <= len(columns) <= 50 and all((np.diff(page[:, 1]) > 15).all() for page in columns)


def test_digits_of_a_line_stand_side_by_side():
    """Some touch, some stand far apart; the line runs to the right, level or as stairs."""
    rng = np.random.default_rng(0)
    lines = [np.array(lay_out_lines(rng, 400, 200, 1, 30)) for _ in range(300)]
    steps = np.concatenate([np.diff(line[:, 0]) for line in lines]) / 30
    assert 0.4 <= steps.min() < 0.5 and 0.2 < np.mean(steps > 1.4) < 0.35
    climbs = np.concatenate([abs(np.diff(line[:, 1])) for line in lines]) / 30
    assert np.median(climbs) < 0.15 and 0.3 < np.quantile(climbs, 0.95) < 0.7


def test_a_digit_is_written_at_its_slot():
    """An L is neither mirrored nor turned over: as high as its slot, leaning to the right where it slants."""
    rng, corners = np.random.default_rng(0), np.array([(-0.3, -0.5), (-0.3, 0.5), (0.3, 0.5)])
    for slant in (0.0, 0.4):
        top, corner, end = np.mean([place(rng, corners, (100, 60, 40), slant) for _ in range(300)], axis=0)
        assert (top - corner) == pytest.approx((40 * slant, -40), abs=1.5)
        assert (end - corner) == pytest.approx((24, 0), abs=1.5)
        assert (top + end) / 2 == pytest.approx((100, 60), abs=1)
    turns = [np.subtract(*place(rng, corners, (100, 60, 40), 0)[2:0:-1]) for _ in range(300)]
    assert np.rad2deg(np.std([np.arctan2(y, x) for x, y in turns])) == pytest.approx(LEAN / 3**0.5, abs=0.8)


def test_marks_around_digits():
    """Of a third each a line, four of five below, a ring, and a box, around two digits or one; never through both."""
    rng, boxes = np.random.default_rng(0), np.array([[50.0, 60, 70, 100], [80, 60, 100, 100]])
    num_above = num_below = num_boxes = num_wide = 0
    for _ in range(300):
        canvas = Canvas(160, 160, np.eye(3))
        write_around(rng, boxes, 40, 3, canvas)
        is_ink = canvas.to_array() > 0.5
        rows, columns = np.nonzero(is_ink)
        top, bottom, left = rows.min(), rows.max(), columns.min()
        num_above, num_below = num_above + int(bottom < 62), num_below + int(top > 98)
        num_wide += int(np.ptp(columns) > 45)
        num_boxes += int(top < 62 and bottom > 98 and is_ink[top : top + 8, left : left + 8].any())
        assert not (is_ink[75:85, 55:65].any() and is_ink[75:85, 85:95].any())
    assert 10 <= num_above <= 30 and 60 <= num_below <= 100 and 70 <= num_boxes <= 130 and 160 < num_wide < 260


@pytest.mark.parametrize("shade, noise, expected", [(180, 0, True), (197, 0, False), (180, 30, False), (60, 30, True)])
def test_digits_can_be_seen(shade, noise, expected):
    """On paper of shade 200 a stroke needs some contrast, and more where there is noise."""
    ink, box = np.zeros((64, 64), np.uint8), np.array([[20, 10, 30, 50]], np.float32)
    ink[10:50, 22:28] = 255
    picture = np.where(ink > 0, shade, 200)[..., np.newaxis] + np.random.default_rng(0).normal(0, noise, (64, 64, 3))
    assert is_readable(Page(picture.clip(0, 255).astype(np.uint8), ink, ink // 255, box)) == expected


def test_things_cover_no_digit(shapes):
    rng, boxes = np.random.default_rng(0), np.array([[40, 40, 60, 80], [70, 40, 90, 80]], np.float32)
    colours, ink = np.full((128, 128, 3), 200, np.float32), np.ones((128, 128), np.float32)
    num_changed = 0
    for is_paint in (False, True) * 10:
        picture, left = draw_things(rng, colours, ink, boxes, is_paint)
        for x, y, end_x, end_y in boxes.astype(int).tolist():
            assert abs(picture[y:end_y, x:end_x] - 200).max() < 1 and left[y:end_y, x:end_x].min() > 0.99
        is_thing = abs(picture - 200).max(axis=2) > 20
        num_changed += int(is_thing.any())
        assert left[is_thing].max(initial=0) < 1  # no pen has written there
    assert num_changed > 5


def test_text_is_printed_beside_the_digits():
    rng, rows = np.random.default_rng(0), np.zeros(128, bool)
    for _ in range(50):
        canvas = Canvas(128, 128, np.eye(3))
        print_text(rng, np.array([[20.0, 50, 60, 90], [70, 55, 90, 80]]), canvas)
        rows |= (canvas.to_array() > 0.5).any(axis=1)
    assert rows[:50].sum() > 25 and rows[90:].sum() > 20 and not rows[52:88].any()


def test_marks_are_no_digits(shapes):
    """Signs among the digits take their slots, and marks change nothing about the boxes."""
    rng, canvas = np.random.default_rng(1), Canvas(128, 128, np.eye(3))
    for _ in range(20):
        canvas = Canvas(128, 128, np.eye(3))
        write_signs(rng, [(64, 64, 60)], 0.1, canvas)
        rows, columns = np.nonzero(canvas.to_array() > 0.5)
        assert len(rows) and abs(columns - 64).max() <= 50 and abs(rows - 64).max() <= 50
        write_marks(rng, [(64, 64, 60)], np.array([[40.0, 34, 88, 94]]), 0.1, canvas)
    assert canvas.to_array().mean() < 0.8


def test_a_sheet_to_look_at(generated_mnist, tmp_path, monkeypatch, capsys):
    arguments = ["--data-dir", generated_mnist, "--figures-dir", tmp_path / "figures"]
    monkeypatch.setattr(sys, "argv", ["pages.py", *map(str, arguments)])
    draw_sheet()
    assert capsys.readouterr().out == f"Sheet saved to {tmp_path / 'figures' / 'pages.png'}\n"
    with Image.open(tmp_path / "figures" / "pages.png") as sheet:
        assert min(sheet.size) >= 1000
