"""Makes of each digit in a picture an image like those that the network has learned from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from digits.reading.page import MIN_PHOTOGRAPH, border, otsu_threshold, over_window, stroke_width, widen
from digits.reading.strokes import find_strokes

MIN_SHEET = 0.25  # of the picture
MIN_STEP = 40  # from the colour of the desk to that of the sheet, of 255
DIGIT_SIZE, IMAGE_SIZE = 20, 28  # pixels; the longer side of the digit, and the square around it, as in MNIST
ZOOM = 4  # times DIGIT_SIZE: the size at which strokes are made thicker or thinner
NORMAL_STROKE, THICK_STROKE = 2.05, 3.3  # pixels: lower quartile and ninth tenth of the stroke widths in MNIST


class Digit(NamedTuple):
    """A digit that was found in a picture."""

    image: np.ndarray  # (28, 28), uint8, in the form of MNIST's
    box: tuple[int, int, int, int]  # left, top, right and bottom in the picture, in pixels


def find_digits(picture: Image.Image) -> list[Digit]:
    """Return the digits in a picture (mode L or RGB), from left to right.

    Raises ValueError when the picture shows none.
    """
    picture = picture.convert("RGB")
    left, top, right, bottom = find_sheet(picture)
    strokes = find_strokes(picture.crop((left, top, right, bottom)))
    digits = []
    for mask in strokes.masks:
        first, last, start, stop = bounding_box(mask)
        around = np.s_[max(0, first - 2) : last + 2, max(0, start - 2) : stop + 2]
        box = left + int(start), top + int(first), left + int(stop), top + int(last)
        digits.append(Digit(draw_image(strokes.ink[around], mask[around], strokes.threshold), box))
    return digits


def find_sheet(picture: Image.Image) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the sheet in a picture (mode RGB): all of it where no desk is around it."""
    small = picture.copy()
    small.thumbnail((48, 48), Image.Resampling.BOX)
    if max(picture.size) < MIN_PHOTOGRAPH or min(small.size) < 20:
        return 0, 0, picture.width, picture.height
    # The median of a neighbourhood is the colour of paper or desk, whatever is written there.
    colours = np.asarray(small.filter(ImageFilter.MedianFilter(13)), dtype=np.float32)
    desk = np.median(border(colours), axis=0)
    steps = np.linalg.norm(colours - desk, axis=2) / 3**0.5
    is_sheet = steps > otsu_threshold(steps)
    if is_sheet.mean() < MIN_SHEET or border(is_sheet).mean() > 0.05:
        return 0, 0, picture.width, picture.height
    if steps[is_sheet].mean() - steps[~is_sheet].mean() < MIN_STEP:
        return 0, 0, picture.width, picture.height
    # Of a sheet that lies askew the rows and columns that are mostly on it
    rows, columns = (np.flatnonzero(share > 0.8 * share.max()) for share in (is_sheet.mean(axis=1), is_sheet.mean(0)))
    x, y = picture.width / is_sheet.shape[1], picture.height / is_sheet.shape[0]
    return round(columns[0] * x), round(rows[0] * y), round((columns[-1] + 1) * x), round((rows[-1] + 1) * y)


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the first row of `mask` (H, W) with a True, the one after the last, and so the columns."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def draw_image(ink: np.ndarray, mask: np.ndarray, threshold: float) -> np.ndarray:
    """Return the digit where `mask` (H, W) is True, in ink (H, W), as an image (28, 28), uint8, in the form of MNIST's.

    That form (LeCun et al. 1998): light ink on black, the longer side of the digit 20 pixels, its centre of mass in
    the middle.
    """
    strongest = np.percentile(ink[mask], 75)
    ink = ((ink - 0.4 * threshold) / (strongest - 0.4 * threshold)).clip(0, 1)
    ink = np.where(widen(mask), ink, 0)  # widened, as the soft edges of the strokes lie around what is surely digit
    return fit_into_image(normalize_strokes(Image.fromarray((255 * ink).astype(np.uint8))))


def normalize_strokes(ink: Image.Image) -> Image.Image:
    """Return the digit (mode L, light on black), ZOOM times as large as in MNIST, its strokes about as wide."""
    digit = ImageOps.expand(_crop_and_resize(ink, ZOOM * DIGIT_SIZE, Image.Resampling.BICUBIC), 3 * ZOOM)
    width = stroke_width(np.asarray(digit) > 127) / ZOOM
    surplus = width - min(max(width, NORMAL_STROKE), THICK_STROKE)
    margin = round(surplus * ZOOM / 2)  # to take off on each side, or to put on where it is below 0
    # Pillow has filters for this, but in Pillow 12.3.0 one of size 1 crashes Python itself.
    pick = np.minimum if margin > 0 else np.maximum
    return Image.fromarray(over_window(np.asarray(digit), 2 * abs(margin) + 1, pick))


def fit_into_image(digit: Image.Image) -> np.ndarray:
    """Return an image (28, 28), uint8, of the digit (mode L, light on black): 20 pixels long, centred by its mass."""
    values = np.asarray(_crop_and_resize(digit, DIGIT_SIZE, Image.Resampling.BOX), dtype=np.float32)
    height, width = values.shape
    centre_y = (values.sum(axis=1) @ np.arange(height)) / values.sum()
    centre_x = (values.sum(axis=0) @ np.arange(width)) / values.sum()
    middle = (IMAGE_SIZE - 1) / 2
    top = min(max(round(middle - centre_y), 0), IMAGE_SIZE - height)
    left = min(max(round(middle - centre_x), 0), IMAGE_SIZE - width)
    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    image[top : top + height, left : left + width] = values * (255 / values.max())
    return image


def _crop_and_resize(ink: Image.Image, longer_side: int, resampling: Image.Resampling) -> Image.Image:
    top, bottom, left, right = bounding_box(np.asarray(ink) > 25)  # a tenth of 255
    ratio = longer_side / max(bottom - top, right - left)
    size = max(1, round((right - left) * ratio)), max(1, round((bottom - top) * ratio))
    return ink.crop((left, top, right, bottom)).resize(size, resampling)
