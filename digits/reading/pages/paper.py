"""A page before it is photographed: print, colours of paper and pen, worn ink, and what lies around it."""

from __future__ import annotations

import numpy as np

from digits.reading.pages.camera import smooth_noise
from digits.reading.pages.canvas import OVERSAMPLING, Canvas, Limits, Rng, Slot, log_uniform
from digits.reading.pages.marks import load_font, sample_text
from digits.reading.pages.things import sample_photograph

# Fractions of the pages
LIGHT_ON_DARK = 0.2  # of the papers and boards
PRINT, FRAME, FORM, TEXT, CREASE, SPECKS = 0.5, 0.1, 0.08, 0.3, 0.08, 0.15
GRAIN, GAPS = 0.3, 0.15  # in strokes
PHOTOGRAPHED_DESK = 0.3  # of the desks; the others are of one colour

RULING: Limits = (0.04, 0.4)  # distance of ruled lines, relative to the shorter side
RULING_WIDTH: Limits = (0.5, 2.2)  # pixels
LETTER_HEIGHT: Limits = (0.04, 0.3)  # of printed text, relative to the shorter side
MIN_LETTER_HEIGHT = 7  # pixels


def print_page(rng: Rng, slots: list[Slot], boxes: np.ndarray, canvas: Canvas, is_paint: bool) -> None:
    """Draw what is printed on a page: lines, dots, frames, boxes of a form, text; and creases and dust."""
    width, height, side = canvas.width, canvas.height, min(canvas.width, canvas.height)
    if rng.random() < PRINT * (0.15 if is_paint else 1):
        distance, line_width = side * log_uniform(rng, RULING), rng.uniform(*RULING_WIDTH)
        rows = np.arange(-0.2 * height + rng.uniform(0, distance), 1.2 * height, distance)
        columns = np.arange(-0.2 * width + rng.uniform(0, distance), 1.2 * width, distance)
        style = rng.random()
        if style < 0.85:
            ends = np.full(len(rows), 1.2 * width)
            canvas.draw_lines(np.stack([-0.2 * ends, rows], axis=1), np.stack([ends, rows], axis=1), line_width)
        if style < 0.4:
            ends = np.full(len(columns), 1.2 * height)
            canvas.draw_lines(np.stack([columns, -0.2 * ends], axis=1), np.stack([columns, ends], axis=1), line_width)
        if style >= 0.85 and len(rows) * len(columns) < 2000:
            dots = np.stack(np.meshgrid(columns, rows), axis=2).reshape(-1, 2)
            canvas.draw_lines(dots, dots + np.array([0.6, 0]), line_width + 0.6)
        if rng.random() < 0.2:  # a margin
            x = rng.uniform(0, 0.3) * width
            canvas.draw_curve(np.array([(x, -0.2 * height), (x, 1.2 * height)]), line_width)
    if rng.random() < FRAME:
        low, high = (boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)) if len(boxes) else ((side,) * 2, (0, 0))
        room = max(0, min(*low, width - high[0], height - high[1]) - 4)
        left, top, right, bottom = rng.uniform(0, min(room, 0.15 * side), 4)
        corners = [(left, top), (width - right, top), (width - right, height - bottom), (left, height - bottom)]
        for start, end in zip(corners, corners[1:] + corners[:1]):
            if rng.random() < 0.85:
                canvas.draw_curve(np.array([start, end]), rng.uniform(1, 0.03 * side + 1), rng.uniform(120, 255))
    if rng.random() < FORM:
        for x, y, size in slots:
            reach = size * rng.uniform(0.6, 0.8)
            corners = reach * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]) + (x, y)
            canvas.draw_curve(corners, rng.uniform(1, 3), rng.uniform(120, 255))
    if rng.random() < CREASE:
        for _ in range(int(rng.integers(1, 5))):
            canvas.draw_curve(rng.uniform(0, 1, (2, 2)) * (width, height), 1, rng.uniform(60, 220))
    if rng.random() < SPECKS:
        specks = rng.uniform(0, 1, (int(rng.integers(1, 20)), 2)) * (width, height)
        canvas.draw_lines(specks, specks + rng.normal(0, 0.7, specks.shape), rng.uniform(0.5, 3, len(specks)))
    if rng.random() < TEXT:
        print_text(rng, boxes, canvas)


def print_text(rng: Rng, boxes: np.ndarray, canvas: Canvas) -> None:
    """Print lines of text above or below the digits in boxes (N, 4), as high as there is room, or anywhere."""
    top, bottom = 0.0, float(canvas.height)
    if len(boxes):
        top, bottom = [(top, float(boxes[:, 1].min())), (float(boxes[:, 3].max()), bottom)][int(rng.integers(2))]
    letter_height = min(canvas.width, canvas.height) * log_uniform(rng, LETTER_HEIGHT)
    letter_height = max(MIN_LETTER_HEIGHT, min(letter_height, 0.8 * (bottom - top)))
    bottom = max(bottom, top + 1.2 * letter_height)  # one line always has room
    font, shade = load_font(rng, OVERSAMPLING * letter_height), int(rng.uniform(150, 255))
    y = top + rng.random() * (bottom - 1.2 * letter_height - top)
    left = rng.uniform(-0.1, 0.6) * canvas.width
    for _ in range(int(rng.integers(1, 4))):
        if y + letter_height > bottom:
            break
        canvas.pencil.text((OVERSAMPLING * left, OVERSAMPLING * y), sample_text(rng, 24), shade, font)
        y += 1.3 * letter_height


def sample_colours(rng: Rng, is_paint: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours (3,) of background and pen, in 0..255."""
    is_dark = rng.random() < LIGHT_ON_DARK
    if is_paint:
        style = rng.random()
        if style < 0.6:  # black on white, or the reverse
            background, pen = np.full(3, rng.uniform(225, 255)), np.full(3, rng.uniform(0, 50))
            return (pen, background) if rng.random() < 0.4 else (background, pen)
        background, pen = rng.uniform(0, 255, (2, 3))
        while np.abs(background - pen).max() < 60:
            background, pen = rng.uniform(0, 255, (2, 3))
        strength = rng.uniform(0.2, 1) if style > 0.85 else 1
        return background, background + strength * (pen - background)
    if is_dark:
        return rng.uniform(15, 100) * rng.uniform(0.7, 1.3, 3), rng.uniform(150, 250) * rng.uniform(0.9, 1, 3)
    background = rng.uniform(90, 240, 3) if rng.random() < 0.15 else rng.uniform(165, 255) * rng.uniform(0.88, 1, 3)
    pen = rng.uniform(5, 75, 3) if rng.random() < 0.5 else background * rng.uniform(0.1, 0.75)
    pen[int(rng.integers(3))] += rng.uniform(0, 130) * (rng.random() < 0.35)
    return background, np.minimum(pen, 0.9 * background.max())


def wear_ink(rng: Rng, ink: np.ndarray) -> np.ndarray:
    """Return how much of the pen's colour is left of ink (height, width): grain of paper or chalk, fading, gaps."""
    height, width = ink.shape
    if rng.random() < GRAIN:
        ink = ink * (1 - rng.uniform(0.1, 0.6) * (rng.random(ink.shape) < rng.uniform(0.1, 0.5)))
    if rng.random() < GRAIN:
        ink = ink * (1 + 0.25 * smooth_noise(rng, height, width, int(rng.integers(4, 24)))).clip(0.35, 1)
    if rng.random() < GAPS:
        gaps = Canvas(width, height, np.eye(3))
        for _ in range(int(rng.integers(1, 12))):
            start, angle = rng.uniform(0, 1, 2) * (width, height), rng.uniform(0, 6.3)
            length = rng.choice([1.0, float(max(width, height))])
            end = start + length * np.array([np.cos(angle), np.sin(angle)])
            gaps.draw_curve(np.stack([start, end]), rng.uniform(0.5, max(1, 0.03 * height)))
        ink = ink * (1 - gaps.to_array())
    return ink


def surround(
    rng: Rng, colours: np.ndarray, ink: np.ndarray, boxes: np.ndarray, is_paint: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture (height, width, 3) with a desk around the sheet or a window around a canvas, and the ink left.

    No digit is covered, but what else is written may be.
    """
    height, width = colours.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    low, high = (boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)) if len(boxes) else ((width, height), (0, 0))
    lean = 0 if is_paint else rng.normal(0, 0.06)
    sides = (x + lean * (y - height / 2), width - x - lean * (y - height / 2), y, height - y)
    outside = np.zeros((height, width), bool)
    for distance, room in zip(sides, (low[0], width - high[0], low[1], height - high[1])):
        outside |= distance < rng.uniform(-0.3, 1) * max(0, min(room - 3, 0.4 * width))
    if not is_paint and rng.random() < PHOTOGRAPHED_DESK:
        desk = sample_photograph(rng, width, height)
    else:
        texture = 0 if is_paint else 0.1 * smooth_noise(rng, height, width, int(rng.integers(3, 60)))
        desk = rng.uniform(10, 250, 3) * (1 + np.broadcast_to(texture, outside.shape)[..., np.newaxis])
    return np.where(outside[..., np.newaxis], desk, colours), np.where(outside, 0, ink)
