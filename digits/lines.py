"""Erases the lines that are printed on a page, and the creases of the paper."""

from __future__ import annotations

import numpy as np

from digits.page import MIN_PHOTOGRAPH, over_window, stroke_width, widen

LINE_SIZE = 128  # pixels of the longer side at which lines are looked for
LINE_WIDTH = 0.04  # of the longer side; what is wider is no line
LINE_PARTS = 8  # that a line is cut into
MIN_COVER = 0.7  # of each part of it is seen
MIN_PARALLELS = 3  # side by side, where they are short; fewer may be the stem of a digit
MIN_LENGTH = 0.1  # of the longer side is seen of a line that cuts off a corner, or that a digit hides
MAX_DEVIATION = 0.03  # between the slopes of parallel lines, pixels up or down per pixel sideways


def erase_lines(ink: np.ndarray, threshold: float) -> np.ndarray:
    """Return ink (H, W) without printed lines: straight, thin, and seen from one border of the picture to another.

    A stroke, stronger than `threshold` as the lines are, is kept where it makes a line darker or goes on on both sides
    of it.
    """
    mask = ink > threshold
    rows, columns = (-(-length // (2 * LINE_PARTS)) for length in mask.shape)
    sides = mask[:rows], mask[-rows:], mask[:, :columns], mask[:, -columns:]
    if sum(side.any() for side in sides) < 2:  # a line comes nearer to the border, and at both ends
        return ink
    step = -(-max(mask.shape) // LINE_SIZE)
    padded = np.pad(mask, [(0, -length % step) for length in mask.shape])
    size = max(3, 2 * round(LINE_WIDTH * max(mask.shape) / 2) + 1)
    thick = over_window(over_window(padded, size, np.minimum), size, np.maximum)
    blocks = padded.shape[0] // step, step, padded.shape[1] // step, step
    thin, thick = (values.reshape(blocks).max(axis=(1, 3)) for values in (padded & ~thick, thick))
    # A line is lost to sight where it meets the edge of a shadow, which photographs have.
    max_unseen = 1 if max(mask.shape) >= MIN_PHOTOGRAPH else 0
    across, upright = _find_lines(thin, thick, max_unseen), _find_lines(thin.T, thick.T, max_unseen).T
    lines, crossings = (
        values.repeat(step, axis=0).repeat(step, axis=1)[: mask.shape[0], : mask.shape[1]]
        for values in (across | upright, across & upright)
    )
    lines = widen(lines & mask) & mask
    size = 2 * int(np.ceil(stroke_width(lines))) + 1  # twice as wide as the lines
    lines &= ~over_window(over_window(mask, size, np.minimum), size, np.maximum)
    if not lines.any():
        return ink
    # Where a pen went along a line it is darker than the line alone, by more than noise; so are crossings of lines.
    strength = np.median(over_window(ink, size, np.maximum)[lines])
    lines &= (ink < strength + threshold / 2) | widen(crossings)
    reached = []
    for side in range(4):
        turned, allowed = np.rot90(mask & ~lines, side).copy(), np.rot90(lines, side)
        for _ in range(2 * max(2, round(max(mask.shape) / 60))):
            turned[1:] |= turned[:-1] & allowed[1:]
        reached.append(np.rot90(turned, -side))
    lines &= ~(reached[0] & reached[2] | reached[1] & reached[3])
    return np.where(lines | (widen(lines) & ~mask), 0, ink)


def _find_lines(thin: np.ndarray, thick: np.ndarray, max_unseen: int) -> np.ndarray:
    """Return the pixels (H, W) of lines across, out of `thin` (H, W); behind what is `thick` a line may go on.

    Where others are parallel to it, `max_unseen` of its parts may be missing.
    """
    height, width = thin.shape
    length = -(-width // LINE_PARTS)
    beyond = width // 4  # rows above and below the picture: there a line that cuts off a corner may pass the middle
    margin = beyond + LINE_PARTS * length - width // 2 + 2
    padding = (margin, margin), (0, LINE_PARTS * length - width)
    # One number for both: 1 for what is seen of a line, and 256 for where it could be seen
    values = np.pad((thin & ~thick) + np.int16(256) * ~thick, padding).reshape(-1, LINE_PARTS, length)
    # How much is seen of each part of each line (slopes, halves of a pixel, H, LINE_PARTS). A line passes through a row
    # in its upper or in its lower half.
    slopes = np.linspace(-1, 1, 2 * length + 1)  # pixels up or down per pixel sideways
    columns = np.arange(length) - (length - 1) / 2
    bends = np.floor(slopes[:, np.newaxis, np.newaxis] * columns + [[0.25], [0.75]]).astype(int)
    rows = np.arange(len(values))[:, np.newaxis]
    places = (rows + bends[:, :, np.newaxis]) % len(values)
    parts = np.zeros((*places.shape[:3], LINE_PARTS), dtype=values.dtype)
    for column in range(length):
        parts += values[places[..., column], :, column]
    seen, could_be = parts % 256, parts // 256
    is_line = (seen >= MIN_COVER * could_be) | (could_be < 3)

    # Lines of all slopes, through each half of each row at the middle, and some rows beyond; only those stay of which
    # one part after another is seen.
    line_slopes = np.linspace(-1, 1, 2 * width + 1)
    nearest = np.rint((len(slopes) - 1) * np.linspace(0, 1, len(line_slopes))).astype(int)
    starts = margin + (np.arange(-2 * beyond, 2 * (height + beyond)) + 0.5) / 2
    slope, start = np.indices((len(line_slopes), len(starts))).reshape(2, -1)
    extent, num_unseen = np.zeros((2, *slope.shape), dtype=int)

    def place(slope: np.ndarray, start: np.ndarray, part: int) -> tuple[np.ndarray, ...]:
        """Return where in parts[..., part] the lines pass."""
        y = starts[start] + line_slopes[slope] * ((part + 0.5) * length - width / 2)
        return nearest[slope], (2 * y).astype(int) % 2, y.astype(int)

    for part in range(LINE_PARTS):
        index = place(slope, start, part)
        extent, num_unseen = extent + could_be[..., part][index], num_unseen + ~is_line[..., part][index]
        stays = num_unseen <= max_unseen
        slope, start, extent, num_unseen = slope[stays], start[stays], extent[stays], num_unseen[stays]

    def num_side_by_side(chosen: np.ndarray) -> int:
        return int((np.diff(np.bincount(start[chosen], minlength=len(starts)).clip(max=1)) == 1).sum())

    is_narrow = width < height / 2
    is_long = extent > (width if is_narrow else max(thin.shape)) / 2
    found = is_long & (num_unseen == 0)
    if is_narrow and num_side_by_side(found) < MIN_PARALLELS:
        return np.zeros_like(thin)
    ends = starts[start] - margin + line_slopes[slope] * np.array([[-width / 2], [width / 2]])
    is_through = ((ends >= 0) & (ends < height)).all(axis=0)  # rather than cut off a corner
    is_seen = (num_unseen == 0) & (extent > MIN_LENGTH * max(thin.shape))
    for found_slope in np.unique(slope[found]):
        is_parallel = abs(line_slopes[slope] - line_slopes[found_slope]) < MAX_DEVIATION
        found |= is_parallel & is_long
        found |= is_parallel & is_seen & (is_through | (num_side_by_side(found & is_parallel) >= MIN_PARALLELS))
    slope, start = slope[found], start[found]
    lines = np.zeros(values.shape, dtype=bool)
    for part in range(LINE_PARTS):
        bend, half, row = place(slope, start, part)
        lines[row[:, np.newaxis] + bends[bend, half], part, np.arange(length)] = True
    return lines.reshape(len(values), -1)[margin:-margin, :width]
