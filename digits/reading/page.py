"""Tells ink from paper, whatever the light and the paper's colour."""

from __future__ import annotations

from typing import Callable

import numpy as np
from PIL import Image, ImageFilter

WINDOWS = tuple(0.4 * 2 ** (step / 2) for step in range(-7, 1))  # of the picture's longer side: from 0.035 to 0.4
MIN_PHOTOGRAPH = 100  # pixels of the longer side; smaller ones show no shadows, no printed lines, no desk
SOFT_EDGE = 0.6  # of the threshold between paper and ink is exceeded by the soft edges of the strokes too
MAX_NOISE = 4  # standard deviations of the paper's noise; what is stronger is ink
EDGE_LENGTH = 0.398  # pixels for each crossing, so that no direction is favoured by more than another
DARK = 20  # of 255; in less light it cannot be told what share of it the ink swallows


def border(values: np.ndarray) -> np.ndarray:
    """Return the values (H, W, ...) at the border of a picture, those in its corners twice."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def skewness(channel: Image.Image) -> float:
    """Return how surely the strokes in a channel (mode L) of a picture are dark (-1 at most) or light (1 at most).

    Ink covers the smaller part of the paper around it. So the few pixels that differ most from the mean around them are
    ink, and their deviations, cubed, outweigh those of the paper; at the edge of a shadow both sides weigh the same.
    The answer is the surest of several windows, which is one that fits the strokes.
    """
    small = channel.copy()
    small.thumbnail((160, 160), Image.Resampling.BOX)
    values, strongest = np.asarray(small, dtype=np.float64), 0.0
    for window in WINDOWS[1::2]:
        blurred = small.filter(ImageFilter.BoxBlur(max(1.0, round(window * max(small.size) / 2))))
        deviations = values - np.asarray(blurred)
        cubes = deviations**2 * deviations  # faster than the power of 3
        strongest = max(strongest, float(cubes.sum() / max(abs(cubes).sum(), 1e-6)), key=abs)
    return strongest


def measure_ink(pixels: np.ndarray, size: int, is_light: bool) -> np.ndarray:
    """Return the strength of the ink (H, W), 0 on the paper, at each pixel of a picture (H, W, channels), uint8.

    The paper is what the picture shows without all that is narrower than a window of `size` pixels (a grey closing;
    Serra 1982, "Image analysis and mathematical morphology"). That leaves the edges of shadows where they are. Dark ink
    is as strong as the share of the paper's light that it swallows, the same in light and in shadow; light ink, where
    `is_light` says so, as the light that it adds.
    """
    if is_light:
        pixels = 255 - pixels
    paper = closing(pixels, size)
    full = np.float32(255) if is_light else np.maximum(paper, DARK).astype(np.float32)
    return np.sqrt((((paper - pixels) / full) ** 2).mean(axis=2))


def window_sizes(longer_side: int) -> list[int]:
    """Return the sizes (odd) of the windows for a picture, the smallest first; all in pixels."""
    lengths = [share * longer_side for share in WINDOWS]
    return [max(3, odd_size(length)) for length in lengths if length >= 4 or length == lengths[-1]]


def odd_size(length: float) -> int:
    """Return the size of a window about `length` pixels long that has a pixel in its middle."""
    return 2 * round(length / 2) + 1


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


def opening(values: np.ndarray, size: int) -> np.ndarray:
    """Return values (H, W, ...) without what is light, or True, and narrower than a square of `size` (odd) pixels."""
    return over_window(over_window(values, size, np.minimum), size, np.maximum)


def closing(values: np.ndarray, size: int) -> np.ndarray:
    """Return values (H, W, ...) without what is dark, or False, and narrower than a square of `size` (odd) pixels."""
    return over_window(over_window(values, size, np.maximum), size, np.minimum)


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


def ink_threshold(ink: np.ndarray) -> float:
    """Return what ink (H, W) exceeds, the soft edges of strokes too, but not the noise of a photograph."""
    threshold = SOFT_EDGE * otsu_threshold(ink)
    if max(ink.shape) < MIN_PHOTOGRAPH:
        return threshold
    # Half of the pixels are paper at least, and two thirds of its noise lie within a standard deviation.
    low, level = np.percentile(sample(ink), (16, 50))
    return max(threshold, level + MAX_NOISE * (level - low))


def stroke_width(mask: np.ndarray) -> float:
    """Return the stroke width in `mask` (H, W), booleans, in pixels: each stroke has two edges as long as itself.

    An edge is as long as the lines of all directions that cross it are many (the formula of Cauchy and Crofton). Of
    four directions the count is between 4 % too low and 4 % too high.
    """
    straight = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    diagonal = (mask[1:, 1:] != mask[:-1, :-1]).sum() + (mask[1:, :-1] != mask[:-1, 1:]).sum()
    edge_length = EDGE_LENGTH * (straight + diagonal / 2**0.5)
    return 2 * mask.sum() / max(edge_length, 1)


def widen(mask: np.ndarray) -> np.ndarray:
    """Return `mask` (H, W), booleans, with the neighbours of its pixels."""
    return over_window(mask, 3, np.maximum)
