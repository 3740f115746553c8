"""Where the digits of a page go: one, a number, lines of numbers, a scatter, or none."""

from __future__ import annotations

from digits.reading.pages.canvas import Limits, Rng, Slot, log_uniform

NO_DIGIT, ONE_DIGIT, ONE_NUMBER, LINES = 0.16, 0.34, 0.25, 0.19  # fractions of the pages; the rest are scatters
CENTRED = 0.5  # fraction of the single digits that fill a picture's height; the others lie anywhere
TOUCHING, SPACED = 0.3, 0.22  # fractions of the pages whose digits touch, or stand far apart
COLUMN = 0.15  # fraction of the pages with lines that are a column of single digits
STAIRS = 0.15  # fraction of the pages whose lines go up or down
UNEQUAL = 0.15  # fraction of the pages whose digits are of very different heights
CLOSE = 0.5  # fraction of the pages with digits about as high as at the finder's close look
CLOSE_HEIGHT: Limits = (28, 70)  # pixels: of the digits there, around DIGIT_HEIGHT of looking.py
DIGIT_HEIGHT: Limits = (0.08, 1.0)  # of another single digit, relative to the shorter side of the picture
FILLING_HEIGHT: Limits = (0.5, 1.0)  # of a single digit that fills the picture, relative to the picture's height
LINE_HEIGHT: Limits = (0.06, 0.45)  # of other digits in a number, relative to the shorter side of the picture
MIN_HEIGHT = 9  # pixels; smaller digits cannot be read
EQUAL_HEIGHTS: Limits = (0.82, 1.12)  # of the digits in a line, relative to that of the line
UNEQUAL_HEIGHTS: Limits = (0.45, 1.1)
GAP: Limits = (0.0, 0.6)  # between the digits of a number, relative to their height
NO_GAP: Limits = (-0.15, 0.0)  # between touching digits
WIDE_GAP: Limits = (0.5, 2.0)  # between numbers
PITCH: Limits = (1.1, 2.2)  # from line to line, relative to the height of the digits


def lay_out(rng: Rng, width: int, height: int) -> list[Slot]:
    """Return where digits go: one, a number, lines of numbers, a scatter, or none."""
    kind = rng.choice(5, p=(NO_DIGIT, ONE_DIGIT, ONE_NUMBER, LINES, 1 - NO_DIGIT - ONE_DIGIT - ONE_NUMBER - LINES))
    if kind == 0:
        return []
    if kind == 1:
        return [lay_out_digit(rng, width, height)]
    num_lines = 1 if kind == 2 else int(rng.integers(2, 6))
    size = min(sample_height(rng, min(width, height), LINE_HEIGHT), 0.8 * height / num_lines)
    if kind < 4:
        return lay_out_lines(rng, width, height, num_lines, max(MIN_HEIGHT, size))
    return [
        (rng.uniform(0, width), rng.uniform(0, height), max(MIN_HEIGHT, size * rng.uniform(0.5, 1.3)))
        for _ in range(int(rng.integers(2, 12)))
    ]


def sample_height(rng: Rng, side: int, limits: Limits) -> float:
    """Return the height of digits in pixels: that of the close look, or between limits that are relative to a side."""
    return log_uniform(rng, CLOSE_HEIGHT) if rng.random() < CLOSE else side * log_uniform(rng, limits)


def lay_out_digit(rng: Rng, width: int, height: int) -> Slot:
    """Return where a single digit goes: in the middle of a picture that was cropped to it, or anywhere."""
    if rng.random() < CENTRED:
        size = height * rng.uniform(*FILLING_HEIGHT)
        return width / 2 + rng.normal(0, 0.04) * size, height / 2 + rng.normal(0, 0.02) * size, size
    side = min(width, height)
    size = max(MIN_HEIGHT, min(side, sample_height(rng, side, DIGIT_HEIGHT)))
    return rng.uniform(size / 2, width - size / 2), rng.uniform(size / 2, height - size / 2), size


def lay_out_lines(rng: Rng, width: int, height: int, num_lines: int, size: float) -> list[Slot]:
    """Return where the digits of lines of numbers go, about `size` pixels high, line by line from left to right."""
    pitch, slots = size * rng.uniform(*PITCH), []
    y = rng.uniform(0.6 * size, max(0.7 * size, height - 0.6 * size - pitch * (num_lines - 1)))
    gap = rng.uniform(*(GAP, NO_GAP, WIDE_GAP)[rng.choice(3, p=(1 - TOUCHING - SPACED, TOUCHING, SPACED))])
    climb = rng.uniform(-0.6, 0.6) if rng.random() < STAIRS else rng.normal(0, 0.05)  # from digit to digit
    is_column = num_lines > 1 and rng.random() < COLUMN
    column = rng.uniform(0.1, 0.9) * width if is_column else 0.0
    heights = UNEQUAL_HEIGHTS if rng.random() < UNEQUAL else EQUAL_HEIGHTS
    for line in range(num_lines):
        num_digits = 1 if is_column else int(rng.integers(1, 9))
        if is_column:
            x = column + size * rng.normal(0, 0.1)
        else:
            x = rng.uniform(0.4 * size, max(0.5 * size, width - num_digits * 0.8 * size))
        for number in range(num_digits):
            if rng.random() < 0.12:
                x += size * rng.uniform(*WIDE_GAP)
            line_y = y + pitch * line + size * (climb * number + rng.normal(0, 0.05))
            slots.append((x, line_y, size * rng.uniform(*heights)))
            x += size * (rng.uniform(0.55, 0.75) + gap)
    return slots
