"""A random picture as people make them, and where strokes and digits are in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from digits.reading.pages.camera import light_page, smooth_noise, take_picture
from digits.reading.pages.canvas import Canvas, Limits, Rng, log_uniform, sample_view
from digits.reading.pages.layout import lay_out
from digits.reading.pages.marks import write_marks, write_signs
from digits.reading.pages.paper import print_page, sample_colours, surround, wear_ink
from digits.reading.pages.shapes import Shape
from digits.reading.pages.things import draw_things, sample_photograph
from digits.reading.pages.writing import write_digits

PAINT = 0.35  # drawn on a screen: flat colours and sharp edges, no paper and no light
NO_PAGE, PHOTOGRAPH = 0.5, 0.6  # of the pictures without a digit, no page; of those, a photograph instead of things
THINGS = 0.35  # of the other pictures, things on the page
INVERTED = 0.06  # light and dark exchanged in all of the picture
SURROUNDINGS = 0.18  # a desk around the sheet, or a window around the canvas
MARKS, ONLY_MARKS = 0.4, 0.7  # a pen has also written, or has only written, what is no digit
SIGNS, SIGN = 0.2, 0.35  # signs among the digits; of the digits there, signs instead
PEN_WIDTH: Limits = (0.02, 0.3)  # relative to the height of a digit
MIN_CONTRAST, MIN_SIGNAL = 15.0, 1.2  # of 255; relative to the noise: no digit is fainter


class Page(NamedTuple):
    """A picture, and where strokes and digits are in it."""

    picture: np.ndarray  # (height, width, 3), uint8
    ink: np.ndarray  # (height, width), uint8: how much of each pixel a pen has covered, out of 255
    owners: np.ndarray  # (height, width), uint8: number of the digit that a pixel of ink belongs to, from 1; 0: none
    boxes: np.ndarray  # (number of digits, 4), float32: left, top, right and bottom in pixels


def is_readable(page: Page) -> bool:
    """Tell whether each digit of a page can be seen in its picture: whether its ink stands out from what is around."""
    for left, top, right, bottom in page.boxes.astype(int):
        around = np.s_[max(0, top - 2) : bottom + 3, max(0, left - 2) : right + 3]
        is_ink, values = page.ink[around] > 127, page.picture[around].astype(np.float32)
        if is_ink.all() or not is_ink.any():
            return False
        contrast = np.abs(values[is_ink].mean(axis=0) - values[~is_ink].mean(axis=0)).max()
        if contrast < max(MIN_CONTRAST, MIN_SIGNAL * values[~is_ink].std(axis=0).mean()):
            return False
    return True


def draw_page(rng: Rng, shapes: list[Shape], width: int, height: int) -> Page:
    """Return a random page with digits of random shapes, all of which can be seen, or none."""
    is_paint = rng.random() < PAINT
    view = np.eye(3) if is_paint else sample_view(rng, width, height)
    slots, pen = lay_out(rng, width, height), log_uniform(rng, PEN_WIDTH)
    written = Canvas(width, height, view)
    is_sign = rng.random(len(slots)) < SIGN * (rng.random() < SIGNS)
    write_signs(rng, [slot for slot, chosen in zip(slots, is_sign) if chosen], pen, written)
    slots = [slot for slot, chosen in zip(slots, is_sign) if not chosen]
    chosen = [shapes[number] for number in rng.integers(len(shapes), size=len(slots))]
    boxes = write_digits(rng, chosen, slots, pen, written)
    if rng.random() < (MARKS if slots else ONLY_MARKS):
        write_marks(rng, slots, boxes, pen, written)
    printed = Canvas(width, height, view)
    print_page(rng, slots, boxes, printed, is_paint)
    page = render_page(rng, written, printed, boxes, is_paint)
    return page if is_readable(page) else draw_page(rng, shapes, width, height)


def render_page(rng: Rng, written: Canvas, printed: Canvas, boxes: np.ndarray, is_paint: bool) -> Page:
    """Return a picture of what is written and printed: drawn on a screen (`is_paint`), or on paper and photographed."""
    ink, (width, height) = written.to_array(), (written.width, written.height)
    background, pen_colour = sample_colours(rng, is_paint)
    colours = np.ones((height, width, 3), np.float32) * background
    if not is_paint:
        for num_cells in (max(width, height), 60, 12):
            grain = rng.exponential(0.012) * (rng.random() < 0.5)
            colours *= 1 + grain * smooth_noise(rng, height, width, num_cells)[..., np.newaxis]
    is_light = background.mean() > pen_colour.mean()
    print_colour = background * rng.uniform(0.3, 0.8, 3) if is_light else background + rng.uniform(30, 150, 3)
    colours += rng.uniform(0.15, 0.9) * printed.to_array()[..., np.newaxis] * (print_colour - colours)
    colours += wear_ink(rng, ink)[..., np.newaxis] * (pen_colour - colours)
    if rng.random() < SURROUNDINGS:
        colours, ink = surround(rng, colours, ink, boxes, is_paint)
    if rng.random() < (THINGS if len(boxes) else NO_PAGE):
        if not len(boxes) and rng.random() < PHOTOGRAPH:
            colours, ink = sample_photograph(rng, width, height), np.zeros_like(ink)
        else:
            colours, ink = draw_things(rng, colours, ink, boxes, is_paint)
    if not is_paint:
        colours = light_page(rng, colours)
    picture = take_picture(rng, colours, boxes, is_paint)
    if rng.random() < INVERTED:
        picture = 255 - picture
    return Page(picture, np.rint(255 * ink).astype(np.uint8), written.owners, boxes)
