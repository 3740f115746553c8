"""Makes of the ink of one digit an image like those that the CNN has learned from."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter, ImageOps

DIGIT_SIZE, IMAGE_SIZE = 20, 28  # pixels: longer side of the digit, and side of the image, as in MNIST
ZOOM = 4  # times DIGIT_SIZE: the size at which strokes are made thicker or thinner
MIN_STROKE, MAX_STROKE = 2.05, 3.3  # pixels: lower quartile and ninth tenth of the stroke widths in MNIST
EDGE_LENGTH = 0.398  # pixels for each crossing, so that no direction is favoured by more than another
MIN_INK = 0.1  # of the strongest: fainter ink does not count for the size of a digit


def format_digit(ink: np.ndarray) -> np.ndarray:
    """Return the digit in ink (H, W), floats in 0..1, as an image (28, 28), uint8, in MNIST's form.

    That form (LeCun et al. 1998): light ink on black, the longer side of the digit 20 pixels, its centre of mass in
    the middle. Strokes that are thinner or thicker than most of MNIST's are brought to that width.
    """
    digit = Image.fromarray((255 * ink / ink.max()).astype(np.uint8))
    digit = ImageOps.expand(crop_and_resize(digit, ZOOM * DIGIT_SIZE, Image.Resampling.BICUBIC), 3 * ZOOM)
    width = stroke_width(np.asarray(digit) > 127) / ZOOM
    surplus = round((width - min(max(width, MIN_STROKE), MAX_STROKE)) * ZOOM / 2)  # on each side of a stroke
    if surplus:
        pick = ImageFilter.MinFilter if surplus > 0 else ImageFilter.MaxFilter
        digit = digit.filter(pick(2 * abs(surplus) + 1))
    return fit_into_image(digit)


def stroke_width(mask: np.ndarray) -> float:
    """Return the stroke width in `mask` (H, W), booleans, in pixels: each stroke has two edges as long as itself.

    An edge is as long as the lines of all directions that cross it are many (the formula of Cauchy and Crofton). Of
    four directions the count is between 4 % too low and 4 % too high.
    """
    straight = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    diagonal = (mask[1:, 1:] != mask[:-1, :-1]).sum() + (mask[1:, :-1] != mask[:-1, 1:]).sum()
    edge_length = EDGE_LENGTH * (straight + diagonal / 2**0.5)
    return 2 * mask.sum() / max(edge_length, 1)


def fit_into_image(digit: Image.Image) -> np.ndarray:
    """Return an image (28, 28), uint8, of the digit (mode L, light on black): 20 pixels long, centred by its mass."""
    values = np.asarray(crop_and_resize(digit, DIGIT_SIZE, Image.Resampling.BOX), dtype=np.float32)
    height, width = values.shape
    centre_y = (values.sum(axis=1) @ np.arange(height)) / values.sum()
    centre_x = (values.sum(axis=0) @ np.arange(width)) / values.sum()
    middle = (IMAGE_SIZE - 1) / 2
    top = min(max(round(middle - centre_y), 0), IMAGE_SIZE - height)
    left = min(max(round(middle - centre_x), 0), IMAGE_SIZE - width)
    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    image[top : top + height, left : left + width] = values * (255 / values.max())
    return image


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of what is True in `mask` (H, W), in pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def crop_and_resize(digit: Image.Image, longer_side: int, resampling: Image.Resampling) -> Image.Image:
    """Return the digit (mode L, light on black) without the black around it, its longer side as many pixels long."""
    values = np.asarray(digit)
    left, top, right, bottom = bounding_box(values > MIN_INK * values.max())
    ratio = longer_side / max(right - left, bottom - top)
    size = max(1, round((right - left) * ratio)), max(1, round((bottom - top) * ratio))
    return digit.crop((left, top, right, bottom)).resize(size, resampling)
