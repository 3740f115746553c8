"""Finds the strokes of the digits in a picture of a sheet: ink that somebody wrote."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from digits.reading.lines import erase_lines
from digits.reading.page import (
    MIN_PHOTOGRAPH,
    border,
    ink_threshold,
    measure_ink,
    odd_size,
    otsu_threshold,
    over_window,
    sample,
    skewness,
    widen,
    window_sizes,
)
from digits.reading.parts import group_parts, measure_parts

GRAIN = 1 / 640  # of the picture's longer side: a camera's noise, which is blurred
MIN_SKEWNESS = 0.65  # from which it is sure that the ink is light
MAX_DARK = 50  # of 255, the paper that is written on with chalk
MIN_OVERLAP = 0.9  # of the pixels of the digits seen through two windows are common to both, which so show the same
MIN_INK = 0.1  # how strong the digits are: 1 swallows all light
NOISE_SIZE = 160  # pixels of the longer side, at which noise has averaged out
MIN_CONTRAST = 8  # between ink and paper, in units of the spread of most of the paper
MIN_SMOOTHNESS = 0.25  # correlation of neighbouring pixels, which is 0 in noise
MIN_SEPARATION = 0.7  # of the variance of the picture is that between ink and paper
MAX_STROKE = 0.45  # of the height of the digits
MIN_SHARE = 0.55  # of all the ink on the page, as far as it exceeds the threshold, is in the digits
MIN_SHARE_OF_DARKER = 0.95  # of that ink which is darker than the rest, where only that counts


class Strokes(NamedTuple):
    """What is written in a picture."""

    ink: np.ndarray  # (H, W), how strong it is
    threshold: float  # that ink exceeds
    masks: list[np.ndarray]  # (H, W), booleans: where each digit is, from left to right


def find_strokes(picture: Image.Image) -> Strokes:
    """Return the strokes of the digits in a picture (mode RGB) of a sheet. Raises ValueError when there are none."""
    channels = picture.filter(ImageFilter.GaussianBlur(GRAIN * max(picture.size))).split()
    if channels[0].tobytes() == channels[1].tobytes() == channels[2].tobytes():
        channels = channels[:1]  # gray
    pixels = np.stack([np.asarray(channel) for channel in channels], axis=2)
    # Hard shadows may weigh more than the ink. Unless the ink is surely light, it is dark, but on dark paper.
    is_light = skewness(picture.convert("L")) > (0 if np.median(sample(pixels)) < MAX_DARK else MIN_SKEWNESS)
    agreeing = np.array([(skewness(channel) > 0) == is_light for channel in channels])  # yellow on blue is dark in blue
    pixels = pixels[..., agreeing] if agreeing.any() else pixels
    strokes = find_in_windows(pixels, is_light)
    if max(picture.size) >= MIN_PHOTOGRAPH and not is_within(strokes):
        # A narrow shadow or creases of the paper may hang on the digits, which are darker.
        darker = find_in_windows(pixels, is_light, is_darker=True)
        strokes = darker if is_within(darker) else strokes
    if not strokes:
        raise ValueError("no digit found")
    return strokes


def is_within(strokes: Strokes | None) -> bool:
    """Return whether there are strokes, and none runs out of the picture."""
    return strokes is not None and not border(np.any(strokes.masks, axis=0)).any()


def find_in_windows(pixels: np.ndarray, is_light: bool, is_darker: bool = False) -> Strokes | None:
    """Return the strokes in a picture (H, W, channels), uint8, of light or dark ink, seen through the best window.

    Through a window that is narrower than the strokes they are hollow, and through a wide one shadows are ink too; in
    between they stay the same. So it is the middle one of the most windows in a row that show the same digits (as Matas
    et al. 2002 choose the threshold of a region, "Robust wide baseline stereo from maximally stable extremal regions").
    What a photograph shows through one window alone, or what is lower than the window, may be a place between shadows.
    """
    longer_side = max(pixels.shape[:2])
    is_photograph = longer_side >= MIN_PHOTOGRAPH
    run: list[Strokes] = []
    longest: list[Strokes] = []
    for size in window_sizes(longer_side):
        strokes = separate_strokes(measure_ink(pixels, size, is_light), is_darker)
        if strokes and is_photograph and np.any(strokes.masks, axis=(0, 2)).sum() <= size:
            strokes = None
        if not strokes or (run and overlap(run[-1], strokes) < MIN_OVERLAP):
            run = []
        if strokes:
            run = [*run, strokes]
        longest = max(longest, run, key=len)
    fewest = 2 if is_photograph else 1
    return longest[(len(longest) - 1) // 2] if len(longest) >= fewest else None


def overlap(one: Strokes, other: Strokes) -> float:
    """Return which share of all pixels that are in the digits of one or the other are in those of both."""
    in_one, in_other = np.any(one.masks, axis=0), np.any(other.masks, axis=0)
    return float(np.logical_and(in_one, in_other).sum() / np.logical_or(in_one, in_other).sum())


def separate_strokes(page: np.ndarray, is_darker: bool) -> Strokes | None:
    """Return the strokes in the ink of a page (H, W), apart from lines and noise; if `is_darker`, from paler ink."""
    if page.max() == page.min():
        return None
    ink = erase_lines(page, ink_threshold(page))
    threshold = ink_threshold(ink)
    if is_darker and (ink > threshold).sum() > 1:
        threshold = otsu_threshold(ink[ink > threshold])
    if not (ink > threshold).any():
        return None
    parts = measure_parts(ink, threshold)
    masks = [np.isin(parts.labels, np.array(group) + 1) for group in group_parts(parts)]
    strokes = Strokes(ink, threshold, masks)
    return strokes if masks and is_written(strokes, page, MIN_SHARE_OF_DARKER if is_darker else MIN_SHARE) else None


def is_written(strokes: Strokes, page: np.ndarray, min_share: float) -> bool:
    """Return whether strokes were written: `min_share` of a page's (H, W) ink, not what is left of lines and noise."""
    ink, threshold, masks = strokes
    is_digit, is_paper = np.any(masks, axis=0), ~widen(page > threshold)
    if not is_paper.any():
        return False
    # No stroke is so wide, but shadow and glare are, which photographs show.
    size = odd_size(MAX_STROKE * is_digit.any(axis=1).sum())
    if max(page.shape) >= MIN_PHOTOGRAPH and over_window(is_digit, size, np.minimum).any():
        return False
    level, strength = np.median(page[is_paper]), np.median(ink[is_digit])
    # A camera's noise averages out where some pixels are reduced to one; the folds of the paper do not. Of the paper
    # 32 % lie beyond a standard deviation; lines and the edges of shadows are too few to widen it.
    paper = Image.fromarray(np.where(is_paper, page, level).astype(np.float32))
    deviations = abs(np.asarray(paper.reduce(max(1, max(page.shape) // NOISE_SIZE))) - level)
    spread = max(float(np.percentile(deviations, 100 - 32 * is_paper.mean())), 1e-3)
    if strength < MIN_INK or strength - level < MIN_CONTRAST * spread:
        return False
    surplus = (ink - threshold).clip(0)
    if surplus[is_digit].sum() < min_share * surplus.sum():
        return False
    deviation = ink - ink.mean()
    products = ((deviation[:, 1:] * deviation[:, :-1]).sum() + (deviation[1:] * deviation[:-1]).sum()) / 2
    if products < MIN_SMOOTHNESS * (deviation**2).sum():
        return False
    if is_within(strokes):
        return True
    # What runs out of the picture may be anything. It is ink if that is a group of its own (the measure of Otsu 1979).
    share, step = (page > threshold).mean(), page[page > threshold].mean() - page[page <= threshold].mean()
    return bool(share * (1 - share) * step**2 > MIN_SEPARATION * page.var())
