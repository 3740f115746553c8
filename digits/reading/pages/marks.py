"""What a pen writes that is no digit: signs, lines below and rings around digits, ticks, scribbles, letters."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

import matplotlib
import numpy as np
from PIL import ImageFont

from digits.reading.pages.canvas import MIN_PEN_WIDTH, OVERSAMPLING, Canvas, Limits, Rng, Slot, log_uniform

AROUND_DIGITS = 0.4  # fraction of the marks that are a line at digits, a ring or a box around them
WHOLE = 0.5  # fraction of those that are for all digits of the page; the others are for a few
BESIDE_DIGITS = 0.6  # fraction of the other marks that stand beside a digit
MARGIN: Limits = (0.05, 0.45)  # from the digits to what is around them, relative to their height
ARM: Limits = (0.15, 0.55)  # half the length of a sign, relative to the height of the digits
# Fractions of the marks: signs, points, ticks, zigzags, scribbles, smooth strokes, letters
KINDS = 0.4, 0.1, 0.06, 0.08, 0.1, 0.08, 0.18

FONTS_DIR = Path(matplotlib.get_data_path(), "fonts", "ttf")
FONTS = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif", "STIXGeneral"

BAR, POST = [(-1.0, 0.0), (1.0, 0.0)], [(0.0, -1.0), (0.0, 1.0)]  # lines of signs, from -1 to 1
UPPER_BAR, LOWER_BAR = [(-1.0, -0.3), (1.0, -0.3)], [(-1.0, 0.3), (1.0, 0.3)]
DIAGONALS = [(-0.8, -0.8), (0.8, 0.8)], [(0.8, -0.8), (-0.8, 0.8)]
UPPER_POINT, LOWER_POINT = [(0.0, -0.6), (0.04, -0.56)], [(0.0, 0.6), (0.04, 0.64)]
JITTER = 0.12  # standard deviation of the ends of those lines
SIGNS = ([BAR], [BAR, POST], [BAR, POST], [UPPER_BAR, LOWER_BAR], DIAGONALS, [UPPER_POINT, BAR, LOWER_POINT])


def write_signs(rng: Rng, slots: list[Slot], pen: float, canvas: Canvas) -> None:
    """Write minus, plus, equals, times or a division sign at each slot, the pen's width relative to its height."""
    for x, y, size in slots:
        arm = size * rng.uniform(*ARM) * rng.uniform(0.8, 1.2, 2)
        lines = np.array(SIGNS[int(rng.integers(len(SIGNS)))])
        lines += rng.normal(0, JITTER, lines.shape)
        write_curves(rng, lines, (x, y), arm, max(MIN_PEN_WIDTH, pen * size), canvas)


def write_curves(
    rng: Rng,
    curves: Sequence[np.ndarray] | np.ndarray,
    position: tuple[float, float],
    arm: np.ndarray | float,
    width: float,
    canvas: Canvas,
) -> None:
    """Write curves (N, 2), in units of `arm` (pixels to the right and down), a little turned, around a position."""
    turn = rng.normal(0, 0.12)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    for curve in curves:
        canvas.draw_curve(curve * arm @ matrix + position, width)


def write_around(rng: Rng, boxes: np.ndarray, size: float, width: float, canvas: Canvas) -> None:
    """Write a line below or above some of the digits in boxes (N, 4), about `size` high, or a ring or a box around."""
    if rng.random() > WHOLE:
        first = int(rng.integers(len(boxes)))
        boxes = boxes[first : first + int(rng.integers(1, 5))]
    left, top = boxes[:, :2].min(axis=0) - size * rng.uniform(*MARGIN, 2)
    right, bottom = boxes[:, 2:].max(axis=0) + size * rng.uniform(*MARGIN, 2)
    kind = rng.integers(3)
    if kind == 0:
        x = np.linspace(left, right, 8)
        y = (bottom if rng.random() < 0.8 else top) + rng.normal(0, 0.02 * size, 8)
    elif kind == 1:  # a ring, which need not close
        turn = np.linspace(0, 2 * np.pi + rng.uniform(-0.3, 0.6), 40) + rng.uniform(0, 6.3)
        growth = rng.uniform(1, 1.3) * (1 + rng.uniform(-0.01, 0.01) * turn)
        x = (left + right) / 2 + growth * (right - left) / 2 * np.cos(turn)
        y = (top + bottom) / 2 + growth * (bottom - top) / 2 * np.sin(turn)
    else:
        x = np.array([left, right, right, left, left]) + rng.normal(0, 0.03 * size, 5)
        y = np.array([top, top, bottom, bottom, top]) + rng.normal(0, 0.03 * size, 5)
    canvas.draw_curve(np.stack([x, y], axis=1), width)


def write_marks(rng: Rng, slots: list[Slot], boxes: np.ndarray, pen: float, canvas: Canvas) -> None:
    """Write a few marks around and beside the digits, which are in boxes (N, 4), and anywhere."""
    size = float(np.median([slot[2] for slot in slots])) if slots else 0.0
    size = size or min(canvas.width, canvas.height) * log_uniform(rng, (0.1, 1.8))  # up to a sign that fills the page
    width = max(MIN_PEN_WIDTH, pen * size * rng.uniform(0.5, 1.3))
    for _ in range(int(rng.integers(1, 5))):
        if len(boxes) and rng.random() < AROUND_DIGITS:
            write_around(rng, boxes, size, width, canvas)
            continue
        x, y = rng.uniform(0.03, 0.97, 2) * (canvas.width, canvas.height)
        if slots and rng.random() < BESIDE_DIGITS:
            x, y, _ = slots[int(rng.integers(len(slots)))]
            x += size * rng.uniform(0.6, 1)
        kind = rng.choice(len(KINDS), p=KINDS)
        if kind == 0:
            write_signs(rng, [(x, y, size)], width / size, canvas)
        elif kind == 6:
            font = load_font(rng, OVERSAMPLING * max(8, size))
            canvas.pencil.text((OVERSAMPLING * x, OVERSAMPLING * y), sample_text(rng, 6), 255, font)
        else:
            curve = sample_curve(rng, kind)
            write_curves(rng, [curve], (x, y), size * rng.uniform(0.2, 0.6), width, canvas)


def sample_curve(rng: Rng, kind: int) -> np.ndarray:
    """Return the points (N, 2) of a point or comma (1), a tick (2), a zigzag (3), a scribble (4) or a stroke (5)."""
    if kind == 1:
        return np.array([(0, 0), (0, 0.01), rng.normal(0, 0.25, 2)])
    if kind == 2:
        return np.array([(-1, 0), (-0.3, 0.8), (1, -1)])
    if kind == 3:
        count = int(rng.integers(6, 24))
        zigzag = np.stack([np.linspace(-1.2, 1.2, count), np.tile([-0.8, 0.8], count)[:count]], axis=1)
        return zigzag + rng.normal(0, 0.15, zigzag.shape)
    if kind == 4:
        return rng.normal(0, 1.1, (int(rng.integers(6, 30)), 2))
    return np.cumsum(np.cumsum(rng.normal(0, 0.02, (40, 2)), axis=0) + rng.normal(0, (0.1, 0.03)), axis=0)


def sample_text(rng: Rng, longest: int) -> str:
    """Return random letters without those that look like digits."""
    letters = list("acdefhkmnprtuvwxyACDEFGHKLMNPRTUVWXY .:")
    return "".join(rng.choice(letters, int(rng.integers(1, longest + 1))))


def load_font(rng: Rng, size: float) -> ImageFont.FreeTypeFont:
    """Return one of the fonts that come with matplotlib, `size` pixels high."""
    return ImageFont.truetype(str(FONTS_DIR / f"{rng.choice(FONTS)}.ttf"), int(size))
