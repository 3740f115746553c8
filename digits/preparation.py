"""Makes of the ink in a picture an image like those that the network has learned from."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from digits.page import find_threshold, measure_ink, widen

DIGIT_SIZE, IMAGE_SIZE = 20, 28  # pixels; the longer side of the digit, and the square around it, as in MNIST
ZOOM = 4  # times DIGIT_SIZE: the size at which strokes are made thicker or thinner

MIN_PART = 0.06  # a part with less ink than this share of the largest is a speck
MAX_GAP = 0.35  # between two parts of one digit, as a share of the largest part's longer side
THIN_STROKE, NORMAL_STROKE, THICK_STROKE = 2.0, 2.2, 3.6  # pixels in the image of 28x28


def prepare(picture: Image.Image) -> np.ndarray:
    """Return the digit in a picture (mode L or RGB) as an image (28, 28), uint8 in 0..255, in the form of MNIST's.

    That form (LeCun et al. 1998): light ink on black, the longer side of the digit 20 pixels, its centre of mass in
    the middle. Raises ValueError when the picture shows no digit.
    """
    ink = measure_ink(picture)
    threshold = find_threshold(ink)
    is_digit = select_parts(ink > 0.6 * threshold, ink)
    strongest = np.percentile(ink[is_digit], 75)
    ink = ((ink - 0.25 * threshold) / (strongest - 0.25 * threshold)).clip(0, 1)
    ink[~widen(is_digit)] = 0  # widened, as the soft edges of the strokes lie around what is surely digit
    return fit_into_image(normalize_strokes(Image.fromarray((255 * ink).astype(np.uint8))))


def label_parts(mask: np.ndarray) -> np.ndarray:
    """Return labels (H, W), whole numbers: the same for pixels of `mask` (H, W) that are connected, 0 outside it."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        padded = np.pad(labels, 1)
        highest = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
        highest = np.maximum(np.maximum(highest[:, :-2], highest[:, 1:-1]), highest[:, 2:])
        if (highest == labels)[mask].all():
            return labels
        # Each label becomes the highest one that any of its pixels touches, and so on up to the highest of all.
        follow = np.arange(mask.size + 1)
        np.maximum.at(follow, labels[mask], highest[mask])
        while (follow != follow[follow]).any():
            follow = follow[follow]
        labels = follow[labels]


def select_parts(mask: np.ndarray, ink: np.ndarray) -> np.ndarray:
    """Return the pixels (H, W) of `mask` (H, W) that belong to the digit, without specks, lines and neighbours.

    A digit may have several parts, such as a 5 with a loose bar. `ink` (H, W) says how strong the ink is.
    """
    labels = label_parts(mask)
    weights = np.bincount(labels.ravel(), ink.ravel())
    weights[0] = 0
    # What reaches the border is rather a line, a shadow or a neighbour than the digit.
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    num_at_border = np.bincount(border, minlength=len(weights))
    weights *= np.select([num_at_border == 0, num_at_border < len(border) / 6], [1, 0.3], 0.01)
    candidates = np.flatnonzero(weights > MIN_PART * weights.max())
    candidates = candidates[weights[candidates].argsort()[::-1]][:10]
    boxes = {label: bounding_box(labels == label) for label in candidates}
    main = candidates[0]

    def is_near(label: int) -> bool:
        top, bottom, left, right = boxes[label]
        main_top, main_bottom, main_left, main_right = boxes[main]
        gap_y = max(top - main_bottom, main_top - bottom, 0)
        gap_x = max(left - main_right, main_left - right, 0)
        return np.hypot(gap_y, gap_x) <= MAX_GAP * max(main_bottom - main_top, main_right - main_left)

    chosen = [label for label in candidates if is_near(label) and (num_at_border[main] or not num_at_border[label])]
    return np.isin(labels, chosen)


def bounding_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Return the first row of `mask` (H, W) with a True, the one after the last, and so the columns."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def normalize_strokes(ink: Image.Image) -> Image.Image:
    """Return the digit (mode L, light on black), ZOOM times as large as in MNIST, its strokes about as wide."""
    digit = _crop_and_resize(ink, ZOOM * DIGIT_SIZE, Image.Resampling.BICUBIC)
    digit = ImageOps.expand(digit, 3 * ZOOM)
    is_ink = np.asarray(digit) > 127
    edge_length = (is_ink[1:] != is_ink[:-1]).sum() + (is_ink[:, 1:] != is_ink[:, :-1]).sum()
    width = 2 * is_ink.sum() / max(edge_length, 1) / ZOOM  # each stroke has two edges
    if width < THIN_STROKE:
        return digit.filter(ImageFilter.MaxFilter(2 * round((NORMAL_STROKE - width) * ZOOM / 2) + 1))
    if width > THICK_STROKE:
        return digit.filter(ImageFilter.MinFilter(2 * round((width - THICK_STROKE) * ZOOM / 2) + 1))
    return digit


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
