"""Reads the picture of a handwritten digit and makes of it an image like those that the network has learned from."""

from __future__ import annotations

import contextlib
import logging
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps, UnidentifiedImageError

MAX_PIXELS = 50_000_000  # of a picture that is decoded whole; a JPEG is reduced while it is decoded and may be larger
PICTURE_SIZE = 256  # pixels; larger pictures are reduced to it first, which also smooths the grain of the paper
DIGIT_SIZE, IMAGE_SIZE = 20, 28  # pixels; the longer side of the digit, and the square around it, as in MNIST
ZOOM = 4  # times DIGIT_SIZE: the size at which strokes are made thicker or thinner

MIN_INK = 0.06  # how far the ink's colour must lie from the paper's; black lies 1 from white
MIN_PAPER = 0.1  # of the picture
MIN_CONTRAST = 20  # between ink and paper, in units of the spread of most of the paper
MIN_SMOOTHNESS = 0.25  # correlation of neighbouring pixels, which is 0 in noise
MIN_PART = 0.06  # a part with less ink than this share of the largest is a speck
MAX_STROKE = 0.3  # of the picture's longer side; what is wider is no stroke
MAX_GAP = 0.35  # between two parts of one digit, as a share of the largest part's longer side
THIN_STROKE, NORMAL_STROKE, THICK_STROKE = 2.0, 2.2, 3.6  # pixels in the image of 28x28

# What Pillow raises on a damaged file, beside OSError
DAMAGED_PICTURE_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

logging.getLogger("PIL").addHandler(logging.NullHandler())  # or it would print what it thinks of a damaged file


def read_picture(path: str | Path) -> Image.Image:
    """Return the picture in a file, in colour (mode RGB), upright, at most PICTURE_SIZE wide and high.

    Raises OSError when there is no such file or it cannot be read, and ValueError when it is too large, damaged or no
    picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's, about oddities of a file that it reads all the same
            with Image.open(path) as file:
                file.draft(None, (PICTURE_SIZE, PICTURE_SIZE))
                if file.width * file.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                return _to_rgb(file)
    except UnidentifiedImageError:
        raise ValueError("not a picture that can be read; save it as PNG or JPEG") from None
    except Image.DecompressionBombError:
        raise ValueError(f"more than {MAX_PIXELS // 10**6} million pixels; make the picture smaller") from None
    except FileNotFoundError:
        raise FileNotFoundError("no such file; check its name and its folder") from None
    except (OSError, *DAMAGED_PICTURE_ERRORS) as error:
        if isinstance(error, OSError) and error.errno is not None:  # from the disk rather than from Pillow
            raise
        raise ValueError("the picture is damaged; save it anew as PNG or JPEG") from error


def _to_rgb(picture: Image.Image) -> Image.Image:
    # Phones note how they were held instead of turning the picture. A damaged note need not mean a damaged picture.
    with contextlib.suppress(*DAMAGED_PICTURE_ERRORS):
        picture = ImageOps.exif_transpose(picture)
    has_alpha = picture.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info
    if picture.mode[0] in "IF":  # 16 or 32 bits a pixel, which convert() would cut off at 255
        values = np.nan_to_num(np.asarray(picture, dtype=np.float32), posinf=0, neginf=0)
        values = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
        picture, has_alpha = Image.fromarray((255 * values).astype(np.uint8)), False
    picture = picture.convert("RGBA" if has_alpha else "RGB")
    picture.thumbnail((PICTURE_SIZE, PICTURE_SIZE))
    if has_alpha:
        # What is transparent may hide any colour; it becomes white, or black where the ink on it is light.
        pixels = np.asarray(picture, dtype=np.float32)
        alpha = pixels[..., 3]
        brightness = (pixels[..., :3].mean(axis=2) * alpha).sum() / max(float(alpha.sum()), 1.0)
        paper = Image.new("RGBA", picture.size, "black" if alpha.min() < 128 and brightness > 200 else "white")
        picture = Image.alpha_composite(paper, picture).convert("RGB")
    return picture


def prepare(picture: Image.Image) -> np.ndarray:
    """Return the digit in a picture (mode L or RGB) as an image (28, 28), uint8 in 0..255, in the form of MNIST's.

    That form (LeCun et al. 1998): light ink on black, the longer side of the digit 20 pixels, its centre of mass in
    the middle. Raises ValueError when the picture shows no digit.
    """
    colours = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    ink = np.linalg.norm(colours - estimate_paper(colours), axis=2) / 3**0.5
    ink = remove_areas(ink)
    threshold = find_threshold(ink)
    is_digit = select_parts(ink > 0.6 * threshold, ink)
    strongest = np.percentile(ink[is_digit], 75)
    ink = ((ink - 0.25 * threshold) / (strongest - 0.25 * threshold)).clip(0, 1)
    ink[~_widen(is_digit)] = 0  # widened, as the soft edges of the strokes lie around what is surely digit
    return fit_into_image(normalize_strokes(Image.fromarray((255 * ink).astype(np.uint8))))


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
    is_paper = ~_widen(is_ink)  # without the soft edges of the strokes, which belong to neither
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


def _widen(mask: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(mask.astype(np.uint8)).filter(ImageFilter.MaxFilter(3))) > 0


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
