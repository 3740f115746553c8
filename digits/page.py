"""Tells ink from paper, whatever the light, the paper's colour, and the lines that are printed on it."""

from __future__ import annotations

from typing import Callable

import numpy as np
from PIL import Image, ImageFilter

WINDOWS = (0.025, 0.05, 0.1, 0.2, 0.4)  # of the picture's longer side; every stroke is narrower than one of them
MIN_PHOTOGRAPH = 100  # pixels of the longer side; smaller pictures show neither shadows nor a desk
MIN_SHEET = 0.25  # of the picture
MIN_STEP = 40  # from the colour of the desk to that of the sheet, of 255
DARK = 20  # of 255; in less light it cannot be told what share of it the ink swallows
LINE_SIZE = 128  # pixels of the longer side at which printed lines are looked for
LINE_WIDTH = 0.04  # of the longer side; what is wider is no printed line
MAX_SLOPE = 0.25  # of printed lines, pixels up or down per pixel sideways
LINE_PARTS = 8  # that a printed line is cut into
MIN_SHORT_LINES = 3  # side by side, where they are shorter than half the picture; fewer may be the stem of a digit
MIN_COVER = 0.7  # of each part of it is seen


def find_sheet(picture: Image.Image) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the sheet in a picture (mode RGB): all of it where no desk is around it."""
    small = picture.copy()
    small.thumbnail((48, 48), Image.Resampling.BOX)
    if max(picture.size) < MIN_PHOTOGRAPH or min(small.size) < 20:
        return 0, 0, picture.width, picture.height
    # The median of a neighbourhood is the colour of paper or desk, whatever is written there.
    colours = np.asarray(small.filter(ImageFilter.MedianFilter(13)), dtype=np.float32)
    desk = np.median(_border(colours), axis=0)
    steps = np.linalg.norm(colours - desk, axis=2) / 3**0.5
    is_sheet = steps > otsu_threshold(steps)
    if is_sheet.mean() < MIN_SHEET or _border(is_sheet).mean() > 0.05:
        return 0, 0, picture.width, picture.height
    if steps[is_sheet].mean() - steps[~is_sheet].mean() < MIN_STEP:
        return 0, 0, picture.width, picture.height
    # Of a sheet that lies askew the rows and columns that are mostly on it
    rows, columns = (np.flatnonzero(share > 0.8 * share.max()) for share in (is_sheet.mean(axis=1), is_sheet.mean(0)))
    x, y = picture.width / is_sheet.shape[1], picture.height / is_sheet.shape[0]
    return round(columns[0] * x), round(rows[0] * y), round((columns[-1] + 1) * x), round((rows[-1] + 1) * y)


def _border(values: np.ndarray) -> np.ndarray:
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def skewness(channel: Image.Image) -> float:
    """Return how far the strokes in a channel (mode L) of a picture are darker (below 0) or lighter than the paper.

    Ink covers the smaller part of the paper around it. So the few pixels that differ most from the mean around them are
    ink, and their deviations, cubed, outweigh those of the paper; at the edge of a shadow both sides weigh the same.
    """
    small = channel.copy()
    small.thumbnail((160, 160), Image.Resampling.BOX)
    values, total = np.asarray(small, dtype=np.float64), 0.0
    for window in WINDOWS[1:]:
        blurred = small.filter(ImageFilter.BoxBlur(max(1.0, round(window * max(small.size) / 2))))
        deviations = values - np.asarray(blurred)
        cubes = deviations**2 * deviations  # faster than the power of 3
        total += cubes.sum() / max(abs(cubes).sum(), 1e-6)
    return total


def measure_ink(pixels: np.ndarray, size: int, is_light: bool) -> np.ndarray:
    """Return the strength of the ink (H, W), 0 on the paper, at each pixel of a picture (H, W, channels), uint8.

    The paper is what the picture shows without all that is narrower than a window of `size` pixels (a grey closing;
    Serra 1982, "Image analysis and mathematical morphology"). That leaves the edges of shadows where they are. Dark ink
    is as strong as the share of the paper's light that it swallows, the same in light and in shadow; light ink, where
    `is_light` says so, as the light that it adds.
    """
    if is_light:
        pixels = 255 - pixels
    paper = over_window(over_window(pixels, size, np.maximum), size, np.minimum)
    full = np.float32(255) if is_light else np.maximum(paper, DARK).astype(np.float32)
    return np.sqrt((((paper - pixels) / full) ** 2).mean(axis=2))


def over_window(values: np.ndarray, size: int, pick: Callable[..., np.ndarray]) -> np.ndarray:
    """Return np.maximum or np.minimum, as `pick` says, of values (H, W, ...) over a square of `size` (odd) pixels."""
    for axis in (0, 1):
        last = values.shape[axis] - 1
        around = np.arange(-(size // 2), last + size // 2 + 1).clip(0, last)  # beyond the border as at it
        values = np.moveaxis(values.take(around, axis=axis), axis, 0)
        done = 1
        while done < size:  # the window of each value is nearly doubled
            step = min(done, size - done)
            values = pick(values[:-step], values[step:])
            done += step
        values = np.moveaxis(values, 0, axis)
    return values


def is_wide(mask: np.ndarray, size: int) -> bool:
    """Return whether a square of `size` (odd) pixels fits into `mask` (H, W), booleans, somewhere."""
    return bool(over_window(np.pad(mask, size // 2), size, np.minimum).any())


def sample(values: np.ndarray) -> np.ndarray:
    """Return at most 50,000 of values of any shape, evenly spread, as (N,): enough to know how they are distributed."""
    return values.ravel()[:: values.size // 50_000 + 1]


def otsu_threshold(values: np.ndarray) -> float:
    """Return the threshold that best separates values of any shape into two groups.

    The groups' means differ most, given their sizes (Otsu 1979, "A threshold selection method from gray-level
    histograms").
    """
    values = np.sort(sample(values)).astype(np.float64)
    num_low, sum_low = np.arange(1, values.size), values.cumsum()[:-1]
    num_high, sum_high = values.size - num_low, values.sum() - sum_low
    separation = num_low * num_high * (sum_high / num_high - sum_low / num_low) ** 2
    best = separation.argmax()
    return float(values[best : best + 2].mean())


def erase_lines(ink: np.ndarray, threshold: float) -> np.ndarray:
    """Return ink (H, W) without printed lines: straight, thin, and seen from one border of the picture to another.

    Where a stroke, stronger than `threshold` as the lines are, goes on on both sides of a line, it is kept.
    """
    mask = ink > threshold
    rows, columns = (-(-length // LINE_PARTS) for length in mask.shape)
    if mask.sum() == mask[rows:-rows, columns:-columns].sum():  # lines come nearer to the border
        return ink
    step = -(-max(mask.shape) // LINE_SIZE)
    padded = np.pad(mask, [(0, -length % step) for length in mask.shape])
    size = max(3, 2 * round(LINE_WIDTH * max(mask.shape) / 2) + 1)
    thick = over_window(over_window(padded, size, np.minimum), size, np.maximum)
    blocks = padded.shape[0] // step, step, padded.shape[1] // step, step
    thin, thick = (values.reshape(blocks).max(axis=(1, 3)) for values in (padded & ~thick, thick))
    lines = _find_lines(thin, thick) | _find_lines(thin.T, thick.T).T
    if not lines.any():
        return ink

    lines = lines.repeat(step, axis=0).repeat(step, axis=1)[: mask.shape[0], : mask.shape[1]]
    lines = widen(lines & mask) & mask
    size = 2 * int(np.ceil(stroke_width(lines))) + 1  # twice as wide as the lines
    lines &= ~over_window(over_window(mask, size, np.minimum), size, np.maximum)
    reached = []
    for side in range(4):
        turned, allowed = np.rot90(mask & ~lines, side).copy(), np.rot90(lines, side)
        for _ in range(2 * max(2, round(max(mask.shape) / 60))):
            turned[1:] |= turned[:-1] & allowed[1:]
        reached.append(np.rot90(turned, -side))
    lines &= ~(reached[0] & reached[2] | reached[1] & reached[3])
    return np.where(lines | (widen(lines) & ~mask), 0, ink)


def _find_lines(thin: np.ndarray, thick: np.ndarray) -> np.ndarray:
    """Return the pixels (H, W) of lines across, out of `thin` (H, W); behind what is `thick` a line may go on."""
    height, width = thin.shape
    length = -(-width // LINE_PARTS)
    margin = int(MAX_SLOPE * width / 2) + 2  # rows above and below the picture
    padding = (margin, margin), (0, LINE_PARTS * length - width)
    # One number for both: 1 for what is seen of a line, and 256 for where it could be seen
    values = np.pad((thin & ~thick) + np.int16(256) * ~thick, padding).reshape(-1, LINE_PARTS, length)
    # How much is seen of each part of each line (slopes, halves of a pixel, H, LINE_PARTS). A line passes through a row
    # in its upper or in its lower half.
    slopes = np.linspace(-MAX_SLOPE, MAX_SLOPE, 2 * int(np.ceil(MAX_SLOPE * length)) + 1)
    columns = np.arange(length) - (length - 1) / 2
    bends = np.floor(slopes[:, np.newaxis, np.newaxis] * columns + [[0.25], [0.75]]).astype(int)
    rows = np.arange(len(values))[:, np.newaxis]
    places = (rows + bends[:, :, np.newaxis]) % len(values)
    parts = np.zeros((*places.shape[:3], LINE_PARTS), dtype=values.dtype)
    for column in range(length):
        parts += values[places[..., column], :, column]
    seen, could_be = parts % 256, parts // 256
    is_line = (seen >= MIN_COVER * could_be) | (could_be < 3)

    # Lines of all slopes, through each half of each row at the middle
    line_slopes = np.linspace(-MAX_SLOPE, MAX_SLOPE, max(9, width // 2 + 1))
    middles = (np.arange(LINE_PARTS) + 0.5) * length - width / 2
    starts = margin + (np.arange(2 * height) + 0.5) / 2
    y = starts + line_slopes[:, np.newaxis] * middles[:, np.newaxis, np.newaxis]  # (LINE_PARTS, slopes, 2 H)
    slope = np.rint((len(slopes) - 1) * np.linspace(0, 1, len(line_slopes))).astype(int)[:, np.newaxis]
    chosen = slope, (2 * y).astype(int) % 2, y.astype(int), np.arange(LINE_PARTS)[:, np.newaxis, np.newaxis]
    is_short = width < height / 2
    found = is_line[chosen].all(axis=0) & (could_be[chosen].sum(axis=0) > (width if is_short else max(thin.shape)) / 2)
    if is_short and (np.diff(found.any(axis=0).astype(int)) == 1).sum() < MIN_SHORT_LINES:
        return np.zeros_like(thin)
    slope, half, row, part = (np.broadcast_to(index, y.shape)[:, found, np.newaxis] for index in chosen)
    lines = np.zeros(values.shape, dtype=bool)
    lines[row + bends[slope[..., 0], half[..., 0]], part, np.arange(length)] = True
    return lines.reshape(len(values), -1)[margin:-margin, :width]


def stroke_width(mask: np.ndarray) -> float:
    """Return how wide the strokes in `mask` (H, W) are, in pixels: each has two edges as long as itself."""
    edge_length = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    return 2 * mask.sum() / max(edge_length, 1)


def widen(mask: np.ndarray) -> np.ndarray:
    """Return `mask` (H, W), booleans, with the neighbours of its pixels."""
    return over_window(mask, 3, np.maximum)
