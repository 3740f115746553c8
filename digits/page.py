"""Tells ink from paper: how strong the ink is at each pixel of a picture, whatever the light and the paper's colour."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

MAX_STROKE = 0.3  # of the picture's longer side; what is wider is no stroke
MIN_INK = 0.06  # how far the ink's colour must lie from the paper's; black lies 1 from white
MIN_PAPER = 0.1  # of the picture
MIN_CONTRAST = 20  # between ink and paper, in units of the spread of most of the paper
MIN_SMOOTHNESS = 0.25  # correlation of neighbouring pixels, which is 0 in noise


def measure_ink(picture: Image.Image) -> np.ndarray:
    """Return the strength of the ink (H, W), floats, at each pixel of a picture (mode L or RGB).

    It is how far the pixel's colour lies from that of the paper there, whether darker, lighter or only of another
    colour: 0 on the paper, 1 for black on white.
    """
    colours = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    ink = np.linalg.norm(colours - estimate_paper(colours), axis=2) / 3**0.5
    return remove_areas(ink)


def estimate_paper(colours: np.ndarray) -> np.ndarray:
    """Return the colour of the paper at each pixel of colours (H, W, 3), floats in 0..1, in the same form.

    Light falls unevenly on paper, but smoothly. So its colour is a quadratic function of the place, fitted to the
    pixels near the border of the picture and then, again and again, to all that are about as the last fit says.
    """
    height, width, _ = colours.shape
    y, x = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=2)
    step = max(height, width) // 64 + 1  # some thousand pixels are enough
    some_terms, some_colours = terms[::step, ::step].reshape(-1, 6), colours[::step, ::step].reshape(-1, 3)
    is_border = abs(some_terms[:, 1:3]).max(axis=1) > 0.85

    coefficients, num_terms = np.median(some_colours[is_border], axis=0, keepdims=True), 1
    for next_num_terms in (3, 6, 6):
        distances = np.linalg.norm(some_colours - some_terms[:, :num_terms] @ coefficients, axis=1)
        is_paper = distances < max(3 * np.median(distances[is_border]), 0.04)
        if is_paper.sum() < 20:  # too few to tell
            break
        num_terms = next_num_terms
        # Least squares by their normal equations, made solvable where a picture is one pixel wide
        a, b = some_terms[is_paper, :num_terms], some_colours[is_paper]
        coefficients = np.linalg.solve(a.T @ a + 1e-6 * np.eye(num_terms), a.T @ b)
    return (terms[..., :num_terms] @ coefficients).clip(0, 1)


def remove_areas(ink: np.ndarray) -> np.ndarray:
    """Return ink (H, W), floats, less what is wider than any stroke: a table beside the paper, or a hard shadow."""
    half = round(MAX_STROKE * max(ink.shape) / 2)
    areas = ink
    # The least ink within a window around each pixel, and of that the most: nothing is left of what is narrower.
    for reduce in (np.min, np.max):
        areas = np.pad(areas, half, mode="edge")
        for axis in (0, 1):
            areas = reduce(np.lib.stride_tricks.sliding_window_view(areas, 2 * half + 1, axis), axis=2)
    return ink - areas


def otsu_threshold(values: np.ndarray) -> float:
    """Return the threshold that best separates values of any shape into two groups.

    The groups' means differ most, given their sizes (Otsu 1979, "A threshold selection method from gray-level
    histograms").
    """
    values = np.sort(values, axis=None).astype(np.float64)
    num_low, sum_low = np.arange(1, values.size), values.cumsum()[:-1]
    num_high, sum_high = values.size - num_low, values.sum() - sum_low
    separation = num_low * num_high * (sum_high / num_high - sum_low / num_low) ** 2
    best = separation.argmax()
    return float(values[best : best + 2].mean())


def find_threshold(ink: np.ndarray) -> float:
    """Return the least strength of ink (H, W), floats, that is ink; raises ValueError where there is none.

    That is so if it is weak, not much stronger than what is left of the paper, or noise.
    """
    if ink.max() < MIN_INK:
        raise ValueError("no digit found")
    threshold = otsu_threshold(ink)
    is_ink = ink > threshold
    is_paper = ~widen(is_ink)  # without the soft edges of the strokes, which belong to neither
    if is_paper.mean() < MIN_PAPER:
        raise ValueError("no digit found")
    level = np.median(ink[is_paper])
    # As many pixels lie within a standard deviation, but neither lines nor the edges of shadows widen it.
    spread = np.percentile(abs(ink[is_paper] - level), 68)
    contrast = (np.median(ink[is_ink]) - level) / max(spread, 1e-3)
    deviation = ink - ink.mean()
    products = (deviation[:, 1:] * deviation[:, :-1]).sum() + (deviation[1:] * deviation[:-1]).sum()
    if contrast < MIN_CONTRAST or products / 2 < MIN_SMOOTHNESS * (deviation**2).sum():
        raise ValueError("no digit found")
    return threshold


def widen(mask: np.ndarray) -> np.ndarray:
    """Return `mask` (H, W), booleans, with the neighbours of its pixels."""
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(3))) > 0
