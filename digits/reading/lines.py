"""Erases the lines that are printed on a page, and the creases of the paper."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from digits.reading.page import MIN_PHOTOGRAPH, closing, odd_size, opening, over_window, stroke_width, widen

LINE_SIZE = 128  # pixels of the longer side at which lines are looked for
LINE_WIDTH = 0.04  # of the longer side; what is wider is no line
STEPS = 4  # to a pixel, in which the places of lines are told apart
LINE_PARTS = 8  # that a line is cut into
MIN_COVER = 0.7  # of each part of it is seen
MIN_PARALLELS = 3  # side by side, where they are short; fewer may be the stem of a digit
MIN_LENGTH = 0.1  # of the longer side is seen of a line that cuts off a corner, or that a digit hides
MAX_DEVIATION = 0.03  # between the slopes of parallel lines, pixels down per pixel sideways


def erase_lines(ink: np.ndarray, threshold: float) -> np.ndarray:
    """Return ink (H, W) without printed lines: straight, thin, and seen from one border of the picture to another.

    A stroke, stronger than `threshold` as the lines are, is kept where it makes a line darker or goes on on both sides
    of it.
    """
    mask = ink > threshold
    rows, columns = (-(-length // (2 * LINE_PARTS)) for length in mask.shape)
    sides = mask[:rows], mask[-rows:], mask[:, :columns], mask[:, -columns:]
    # A line comes nearer to the border, and at both ends. Digits drawn on a few pixels may fill the picture.
    if sum(side.any() for side in sides) < 2 or max(mask.shape) < MIN_PHOTOGRAPH:
        return ink
    step = -(-max(mask.shape) // LINE_SIZE)
    thick = opening(mask, odd_size(LINE_WIDTH * max(mask.shape)))
    rows, columns = (np.arange(0, length, step) for length in mask.shape)
    thin, thick = (
        np.logical_or.reduceat(np.logical_or.reduceat(values, rows, axis=0), columns, axis=1)
        for values in (mask & ~thick, thick)
    )
    thin &= ~thick
    across, upright = _find_lines(thin, thick), _find_lines(thin.T, thick.T).T
    place = np.ix_(*(np.arange(length) // step for length in mask.shape))
    lines, crossings = (across | upright)[place], (across & upright)[place]
    lines = widen(lines & mask) & mask
    size = 2 * int(np.ceil(stroke_width(lines))) + 1  # twice as wide as the lines
    lines &= ~opening(mask, size)
    if not lines.any():
        return ink
    # Where a pen went along a line it is darker than the line alone, by more than noise; so are crossings of lines.
    strength = np.median(over_window(ink, size, np.maximum)[lines])
    lines &= (ink < strength + threshold / 2) | widen(crossings)
    lines &= ~closing(mask & ~lines, size)
    return np.where(lines | (widen(lines) & ~mask), 0, ink)


def _find_lines(thin: np.ndarray, thick: np.ndarray) -> np.ndarray:
    """Return where (H, W) lines across pass, made of what is `thin` (H, W); behind what is `thick` one may go on.

    Where others are parallel to it, one part of a line may be missing, as at the edge of a shadow.
    """
    height, width = thin.shape
    slopes, starts = _all_lines(height, width)
    could_be = _count_all(height, width) - _count(thick)
    is_unseen = _count(thin) < np.multiply(could_be, MIN_COVER, dtype=np.float32)
    is_unseen &= could_be >= 3  # of fewer pixels nothing can be said
    extent, num_unseen = could_be.sum(axis=0, dtype=np.int32), is_unseen.sum(axis=0, dtype=np.int32)

    def num_side_by_side(chosen: np.ndarray) -> int:
        return int((np.diff(chosen.any(axis=0).astype(int)) == 1).sum())

    is_narrow = width < height / 2
    is_long = (extent > (width if is_narrow else max(thin.shape)) / 2) & (num_unseen <= 1)
    found = is_long & (num_unseen == 0)
    if is_narrow and num_side_by_side(found) < MIN_PARALLELS:
        return np.zeros_like(thin)
    ends = starts + np.multiply.outer([-width / 2, width / 2], slopes)[..., np.newaxis]
    is_through = ((ends >= 0) & (ends < height)).all(axis=0)  # rather than cut off a corner
    is_seen = (extent > MIN_LENGTH * max(thin.shape)) & (num_unseen == 0)
    for found_slope in slopes[found.any(axis=1)]:
        is_parallel = (abs(slopes - found_slope) < MAX_DEVIATION)[:, np.newaxis]
        found |= is_parallel & is_long
        found |= is_parallel & is_seen & (is_through | (num_side_by_side(found & is_parallel) >= MIN_PARALLELS))
    slope, start = np.nonzero(found)
    columns = np.arange(width)
    rows = np.floor(starts[start, np.newaxis] + np.multiply.outer(slopes[slope], columns + 0.5 - width / 2)).astype(int)
    lines = np.zeros_like(thin)
    lines[rows.clip(0, height - 1), columns] = True
    return lines


def _all_lines(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the slopes of all lines across, in pixels down per pixel sideways, and where they pass the middle column.

    That is from so far above the picture to so far below it that a line may still cut off a corner.
    """
    return np.linspace(-1, 1, 2 * width + 1), np.arange(STEPS * (height + width - 1) + 1) / STEPS + (1 - width) / 2


def _count(mask: np.ndarray) -> np.ndarray:
    """Return how many pixels of `mask` (H, W) lie on each part of each line (LINE_PARTS, slopes, starts), uint8.

    Each pixel votes for all lines through it (Hough 1962, "Method and means for recognizing complex patterns").
    """
    height, width = mask.shape
    slopes, starts = _all_lines(height, width)
    num_steps = STEPS * (height + width)
    rows, columns = np.nonzero(mask)
    step = (STEPS * (rows + 0.5 + width / 2 - np.multiply.outer(slopes, columns + 0.5 - width / 2))).astype(int)
    places = (columns * LINE_PARTS // width * len(slopes) + np.arange(len(slopes))[:, np.newaxis]) * num_steps + step
    votes = np.bincount(places.ravel(), minlength=LINE_PARTS * len(slopes) * num_steps).astype(np.uint8)
    votes = votes.reshape(LINE_PARTS, len(slopes), num_steps)
    # A line is a pixel high, and its parts are far shorter than the 255 pixels that a byte counts.
    return sum((votes[..., offset : offset + len(starts)] for offset in range(1, STEPS)), votes[..., : len(starts)])


@lru_cache(maxsize=2)
def _count_all(height: int, width: int) -> np.ndarray:
    """Return the same for all pixels of a picture."""
    return _count(np.ones((height, width), dtype=bool))
