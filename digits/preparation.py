"""Finds the digits in a picture, and makes of each an image like those that the network has learned from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from digits.page import (
    MIN_PHOTOGRAPH,
    WINDOWS,
    erase_lines,
    find_sheet,
    is_wide,
    measure_ink,
    otsu_threshold,
    sample,
    skewness,
    stroke_width,
    widen,
)

DIGIT_SIZE, IMAGE_SIZE = 20, 28  # pixels; the longer side of the digit, and the square around it, as in MNIST
ZOOM = 4  # times DIGIT_SIZE: the size at which strokes are made thicker or thinner
GRAIN = 1 / 640  # of the picture's longer side: the size of a camera's noise, which is blurred

SOFT_EDGE = 0.6  # of the threshold between paper and ink is exceeded by the soft edges of the strokes too
MAX_NOISE = 4  # standard deviations of the paper's noise; what is stronger is ink
MIN_SKEWNESS = 1  # of 4, from which it is sure whether the ink is light or dark
MIN_INK = 0.1  # how strong the digits are: 1 swallows all light
MIN_CONTRAST = 8  # between ink and paper, in units of the spread of most of the paper
MIN_SMOOTHNESS = 0.25  # correlation of neighbouring pixels, which is 0 in noise
MIN_SEPARATION = 0.7  # of the variance of the picture is that between ink and paper
MIN_SHARE = 0.65  # of all the ink on the page, as far as it exceeds the threshold, is in the digits
MIN_PAPER, MAX_INK = 0.1, 0.5  # of the picture
MAX_FILL = 0.32  # of the image of 28x28 is bright; of one in a thousand of MNIST's 0.29
MIN_SIZE_AT_BORDER = 0.4  # of the picture's shorter side; what is shorter and touches the border is cut off
MAX_AT_BORDER = 0.7  # of a digit's longer side lies along the border
MIN_HEIGHT, MAX_HEIGHT = 0.45, 2.2  # of the digits, in heights of the one with the most ink
MIN_DIGIT = 0.1  # of the most ink of a digit has any other
MAX_WIDTH = 3  # heights of a digit; what is wider is a line
MAX_OVERLAP = 0.4  # of its width may a digit reach under or over its neighbour
MIN_PART = 0.06  # a part with less ink than this share of the largest is a speck
MAX_GAP = 0.35  # between two parts of one digit, as a share of its longer side
MAX_STROKE, MAX_STROKE_AT_BORDER = 9, 8  # pixels where the digit is DIGIT_SIZE long; what is wider is a shadow
THIN_STROKE, NORMAL_STROKE, THICK_STROKE = 2.0, 2.2, 3.6  # pixels in the image of 28x28


class Digit(NamedTuple):
    """A digit that was found in a picture."""

    image: np.ndarray  # (28, 28), uint8, in the form of MNIST's
    box: tuple[int, int, int, int]  # left, top, right and bottom in the picture, in pixels


class Strokes(NamedTuple):
    """What is written in a picture."""

    ink: np.ndarray  # (H, W), how strong it is
    threshold: float  # that ink exceeds
    masks: list[np.ndarray]  # (H, W), booleans: where each digit is, from left to right


class Parts(NamedTuple):
    """The connected parts of the ink in a picture."""

    labels: np.ndarray  # (H, W), whole numbers: 1 in the first part, and so on, 0 outside of all
    boxes: np.ndarray  # (N, 4): left, top, right, bottom
    weights: np.ndarray  # (N,): the ink in each
    num_at_border: np.ndarray  # (N,): how many pixels of each lie at the border of the picture


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
    if any((digit.image > 127).mean() > MAX_FILL for digit in digits):
        raise ValueError("no digit found")
    return digits


def find_strokes(picture: Image.Image) -> Strokes:
    """Return the strokes of the digits in a picture (mode RGB) of a sheet. Raises ValueError when there are none."""
    size = max(picture.size)
    channels = picture.filter(ImageFilter.GaussianBlur(GRAIN * size)).split()
    if channels[0].tobytes() == channels[1].tobytes() == channels[2].tobytes():
        channels = channels[:1]  # gray
    pixels = np.stack([np.asarray(channel) for channel in channels], axis=2)
    lightness = np.array([skewness(channel) for channel in channels])
    overall = skewness(picture.convert("L"))
    # Hard shadows may weigh more than the ink. Then the ink may be the other way round.
    for ink_is_light in (overall > 0, overall <= 0)[: 2 if abs(overall) < MIN_SKEWNESS else 1]:
        # Yellow on blue is lighter in red and green and darker in blue.
        agreeing = (lightness > 0) == ink_is_light
        chosen = pixels[..., agreeing] if agreeing.any() else pixels
        strokes = find_in_windows(chosen, ink_is_light)
        if strokes:
            return strokes
    raise ValueError("no digit found")


def find_in_windows(pixels: np.ndarray, is_light: bool) -> Strokes | None:
    """Return the strokes in a picture (H, W, channels), uint8, of light or dark ink, seen through the best window.

    It is the smallest that is lower than the digits found and three times as wide as their strokes, when the next one
    shows hardly more ink.
    """
    longer_side = max(pixels.shape[:2])
    best, best_total, is_narrow = None, 0.0, False
    for share in WINDOWS:
        if share * longer_side < 4 and share < WINDOWS[-1]:
            continue
        size = max(3, 2 * round(share * longer_side / 2) + 1)
        strokes = separate_strokes(measure_ink(pixels, size, is_light))
        mask = np.any(strokes.masks, axis=0) if strokes else np.zeros(pixels.shape[:2], dtype=bool)
        total = strokes.ink[mask].sum() if strokes else 0.0
        if is_narrow and best_total > 0.8 * total:
            return best
        if strokes:
            is_narrow = stroke_width(mask) < size / 3 and mask.any(axis=1).sum() > size
            best, best_total = strokes, total
    return best


def separate_strokes(page: np.ndarray) -> Strokes | None:
    """Return the strokes of the digits in the ink of a page (H, W), floats, apart from lines, shadows and noise."""
    ink = page
    for _ in range(5):  # without what was lines or shadow, another threshold separates the rest
        if ink.max() == ink.min():
            return None
        ink = erase_lines(ink, ink_threshold(ink))
        threshold = ink_threshold(ink)
        if not (ink > threshold).any():
            return None
        parts = measure_parts(ink, threshold)
        large = np.flatnonzero(parts.weights > MIN_PART * parts.weights.max())  # the others are specks
        shadows = [part for part in large if is_shadow(parts, int(part))]
        if not shadows:
            masks = [np.isin(parts.labels, np.array(group) + 1) for group in group_parts(parts)]
            strokes = Strokes(ink, threshold, masks)
            return strokes if masks and is_written(strokes, page) else None
        ink = np.where(widen(widen(np.isin(parts.labels, np.array(shadows) + 1))), 0, ink)
    return None


def ink_threshold(ink: np.ndarray) -> float:
    """Return what ink (H, W) exceeds, the soft edges of strokes too, but not the noise of a photograph."""
    threshold = SOFT_EDGE * otsu_threshold(ink)
    if max(ink.shape) < MIN_PHOTOGRAPH:
        return threshold
    # Half of the pixels are paper at least, and two thirds of its noise lie within a standard deviation.
    low, level = np.percentile(sample(ink), (16, 50))
    return max(threshold, level + MAX_NOISE * (level - low))


def is_written(strokes: Strokes, page: np.ndarray) -> bool:
    """Return whether strokes were written, rather than made up of what is left of a page's (H, W) lines and noise."""
    ink, threshold, masks = strokes
    is_digit, is_ink = np.any(masks, axis=0), ink > threshold
    is_paper = ~widen(is_ink | (page > threshold))
    if is_paper.mean() < MIN_PAPER or is_digit.mean() > MAX_INK:
        return False
    level = np.median(page[is_paper])
    # As many pixels lie within a standard deviation, but neither lines nor the edges of shadows widen it.
    spread = max(float(np.percentile(abs(page[is_paper] - level), 68)), 1e-3)
    strength = np.median(ink[is_digit])
    if strength < MIN_INK or strength - level < MIN_CONTRAST * spread:
        return False
    surplus = ink - threshold
    if surplus[is_digit].sum() < MIN_SHARE * surplus[is_ink].sum():
        return False
    deviation = ink - ink.mean()
    products = ((deviation[:, 1:] * deviation[:, :-1]).sum() + (deviation[1:] * deviation[:-1]).sum()) / 2
    if products < MIN_SMOOTHNESS * (deviation**2).sum():
        return False
    if not (is_digit[[0, -1]].any() or is_digit[:, [0, -1]].any()):
        return True
    # What runs out of the picture may be anything. It is ink if that is a group of its own (the measure of Otsu 1979).
    share, step = (page > threshold).mean(), page[page > threshold].mean() - page[page <= threshold].mean()
    return bool(share * (1 - share) * step**2 > MIN_SEPARATION * page.var())


def measure_parts(ink: np.ndarray, threshold: float) -> Parts:
    """Return the connected parts of the ink (H, W), floats, that exceeds the threshold; there is at least one."""
    labels = label_parts(ink > threshold)
    num_parts = labels.max()
    rows, columns = np.nonzero(labels)
    parts = labels[rows, columns] - 1
    boxes = np.array([[*labels.shape[::-1], 0, 0]]).repeat(num_parts, axis=0)
    for side, pick, values in (
        (0, np.minimum, columns),
        (1, np.minimum, rows),
        (2, np.maximum, columns + 1),
        (3, np.maximum, rows + 1),
    ):
        pick.at(boxes[:, side], parts, values)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    num_at_border = np.bincount(border, minlength=num_parts + 1)[1:]
    return Parts(labels, boxes, np.bincount(parts, ink[rows, columns]), num_at_border)


def is_shadow(parts: Parts, part: int) -> bool:
    """Return whether a part is wider than a stroke: a shadow, or the light between two of them, in a photograph."""
    if max(parts.labels.shape) < MIN_PHOTOGRAPH:
        return False
    left, top, right, bottom = parts.boxes[part]
    mask = parts.labels[top:bottom, left:right] == part + 1
    ratio = DIGIT_SIZE / max(mask.shape)
    size = max(1, round((right - left) * ratio)), max(1, round((bottom - top) * ratio))
    small = np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).resize(size, Image.Resampling.BOX)) > 127
    return is_wide(small, MAX_STROKE_AT_BORDER if parts.num_at_border[part] else MAX_STROKE)


def label_parts(mask: np.ndarray) -> np.ndarray:
    """Return labels (H, W): 1, 2, ... the same for pixels of `mask` (H, W) that are connected, and 0 outside it."""
    height, width = mask.shape[0], mask.shape[1] + 1
    # Runs of pixels side by side, from `starts` to before `ends`, row after row, each row ending with a pixel outside
    is_inside = np.pad(mask, ((0, 0), (0, 1))).ravel()
    starts, ends = np.flatnonzero(np.diff(is_inside, prepend=False, append=False)).reshape(-1, 2).T
    # The runs in the next row that each run touches, at a corner too
    first, last = np.searchsorted(ends, starts + width), np.searchsorted(starts, ends + width, side="right")
    upper = np.arange(len(starts)).repeat(last - first)
    lower = np.arange(len(upper)) + (last - (last - first).cumsum()).repeat(last - first)
    names = np.arange(len(starts))
    while (names[upper] != names[lower]).any():  # each name becomes the lowest that it touches, and so on
        lowest = np.minimum(names[upper], names[lower])
        np.minimum.at(names, names[upper], lowest)
        np.minimum.at(names, names[lower], lowest)
        while (names != names[names]).any():
            names = names[names]
    changes = np.zeros(is_inside.size, dtype=np.int64)
    changes[starts] = np.unique(names, return_inverse=True)[1] + 1
    changes[ends] -= changes[starts]
    return changes.cumsum().reshape(height, width)[:, :-1]


def runs_out(parts: Parts) -> np.ndarray:
    """Return which parts (N,), booleans, run out of the picture: a line, a shadow or a neighbour, not the digit."""
    height, width = parts.labels.shape
    widths, heights = parts.boxes[:, 2] - parts.boxes[:, 0], parts.boxes[:, 3] - parts.boxes[:, 1]
    sizes = np.maximum(widths, heights)
    is_small = (parts.num_at_border > 0) & (sizes < MIN_SIZE_AT_BORDER * min(height, width))
    is_side = (parts.num_at_border > MAX_AT_BORDER * sizes) & (sizes < min(height, width))
    is_frame = parts.num_at_border > (height + width) / 2  # a quarter of the whole border
    is_line = (widths == width) & (widths > 2 * heights) | (heights == height) & (heights > 2 * widths)
    return is_small | is_side | is_frame | is_line


def group_parts(parts: Parts) -> list[list[int]]:
    """Return the parts of each digit, from left to right; a digit may have several, such as a 5 with a loose bar.

    None of them may be a digit; then the list is empty.
    """
    _, boxes, weights, num_at_border = parts
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    # The main digit has the most ink, and rather lies within the picture than at its border.
    scores = weights * np.where(runs_out(parts), 0, np.where(num_at_border > 0, 0.3, 1))
    main = int(scores.argmax())
    if not scores[main]:
        return []

    def extent(group: list[int]) -> tuple[int, int, int, int]:
        return (*boxes[group, :2].min(axis=0), *boxes[group, 2:].max(axis=0))

    def is_line(group: list[int]) -> bool:
        left, top, right, bottom = extent(group)
        return right - left > MAX_WIDTH * (bottom - top)

    # The other digits stand beside it and are about as high.
    height = max(heights[main], 0.3 * widths[main])  # of a bar that may be a part of its digit
    shared = np.minimum(boxes[:, 3], boxes[main, 3]) - np.maximum(boxes[:, 1], boxes[main, 1])
    is_digit = (shared > 0.5 * np.minimum(heights, height)) & (weights > MIN_DIGIT * weights[main])
    is_digit &= (heights > MIN_HEIGHT * height) & (heights < MAX_HEIGHT * height)
    is_digit &= num_at_border < 0.25 * np.maximum(widths, heights)
    is_digit[main] = True
    groups: list[list[int]] = []
    for part in sorted(np.flatnonzero(is_digit).tolist(), key=lambda part: boxes[part, 0]):
        if groups:  # one above the other, they are parts of one digit
            left, _, right, _ = extent(groups[-1])
            overlap = min(right, boxes[part, 2]) - max(left, boxes[part, 0])
            if overlap > MAX_OVERLAP * min(right - left, widths[part]):
                groups[-1].append(part)
                continue
        groups.append([part])
    # What is smaller belongs to the digit that it is near to.
    for part in np.flatnonzero(~is_digit & (weights > MIN_PART * weights[main])).tolist():
        if num_at_border[part] and not num_at_border[main]:
            continue
        gaps = []
        for group in groups:
            left, top, right, bottom = extent(group)
            gap_x = max(left - boxes[part, 2], boxes[part, 0] - right, 0)
            gap_y = max(top - boxes[part, 3], boxes[part, 1] - bottom, 0)
            gaps.append(np.hypot(gap_x, gap_y) / max(right - left, bottom - top))
        if min(gaps) <= MAX_GAP:
            groups[int(np.argmin(gaps))].append(part)
    return [group for group in groups if not is_line(group)]


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
