"""Makes of the ink of one digit an image like those that the CNN has learned from."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

DIGIT_SIZE, IMAGE_SIZE = 20, 28  # pixels: longer side of the digit, and side of the image, as in MNIST
MIN_STROKE = 2.05  # pixels: lower quartile of the stroke widths in MNIST
ZOOM = 4  # times DIGIT_SIZE: the size at which thinner strokes are made as wide


def format_digit(ink: np.ndarray) -> np.ndarray:
    """Return a digit as an image (28, 28), uint8, in MNIST's form, from its ink (H, W), floats from 0, cropped to it.

    That form (LeCun et al. 1998): light ink on black, the longer side of the digit 20 pixels, its centre of mass in
    the middle. Strokes that are thinner than most of MNIST's become as wide.
    """
    digit = resize(ink, ZOOM * DIGIT_SIZE)
    growth = round((ZOOM * MIN_STROKE - stroke_width(digit)) / 2)  # to each side of a stroke
    if growth > 0:
        filtered = Image.fromarray(np.pad(digit, growth)).filter(ImageFilter.MaxFilter(2 * growth + 1))
        digit = np.asarray(filtered)
    digit = resize(digit, DIGIT_SIZE)
    (height, width), middle = digit.shape, (IMAGE_SIZE - 1) / 2
    centre_x = (digit.sum(axis=0) @ np.arange(width)) / digit.sum()
    centre_y = (digit.sum(axis=1) @ np.arange(height)) / digit.sum()
    left = min(max(round(middle - centre_x), 0), IMAGE_SIZE - width)
    top = min(max(round(middle - centre_y), 0), IMAGE_SIZE - height)
    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    image[top : top + height, left : left + width] = 255 * (digit / digit.max())
    return image


def resize(digit: np.ndarray, longer_side: int) -> np.ndarray:
    """Return a digit (H, W), floats, with its longer side as many pixels long."""
    height, width = (max(1, round(side * longer_side / max(digit.shape))) for side in digit.shape)
    picture = Image.fromarray(digit.astype(np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def stroke_width(ink: np.ndarray) -> float:
    """Return the mean width, in pixels, of the strokes in ink (H, W), floats: each has two edges as long as itself.

    Across an edge the gradients add up to the strength of the ink, whatever direction it has and however soft it is.
    """
    edge_length = np.hypot(*np.gradient(np.pad(ink, 1))).sum()
    return float(2 * ink.sum() / edge_length)


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what is True in `mask` (H, W), in pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
