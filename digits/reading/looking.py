"""Looks at a picture at several scales, until the digits have the size at which the finder sees them best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from digits.reading.finder import Finder, look

FIRST_SIZES = 256, 96  # pixels: longer side of a picture at the first look, and at the next if nothing is found
MAX_ZOOM = 4.0  # largest magnification of the picture at both
DIGIT_HEIGHT = 44  # pixels: median height of the digits at a close look
MAX_LOOKS, MAX_MISFIT = 3, 1.4  # largest number of close looks; factor by which the height may be missed
MAX_AREA = 600_000  # pixels in a look, for time and memory
MARGIN = 1.5  # around the digits where the whole picture would be larger than that, relative to their height


class View(NamedTuple):
    """What the finder has seen in a part of a picture."""

    ink: np.ndarray  # (H, W): probability of ink in each pixel
    centres: np.ndarray  # (2, H, W): x and y of the centre of the digit that the ink belongs to, in these pixels
    boxes: np.ndarray  # (N, 4): left, top, right and bottom of the digits, in these pixels
    scores: np.ndarray  # (N,): their probabilities
    origin: tuple[float, float]  # left and top of the part, in pixels of the picture
    scale: float  # of these pixels for each pixel of the picture, along a side

    def to_picture(self, boxes: np.ndarray) -> np.ndarray:
        """Return boxes (..., 4) of this view in pixels of the picture."""
        return boxes / self.scale + np.tile(self.origin, 2)


def look_at(picture: Image.Image, finder: Finder, part: tuple[float, float, float, float], scale: float) -> View:
    """Return what the finder sees in a part (left, top, right and bottom) of a picture that is enlarged by `scale`."""
    left, top, right, bottom = part
    size = max(16, round(scale * (right - left))), max(16, round(scale * (bottom - top)))
    resampling = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX
    pixels = np.array(picture.resize(size, resampling, part))
    outputs = look(finder, torch.from_numpy(pixels).permute(2, 0, 1).float())
    ink, centres, boxes, scores = (output.numpy() for output in outputs)
    return View(ink, centres, boxes, scores, (left, top), scale)


def look_closely(picture: Image.Image, finder: Finder) -> View:
    """Return what the finder sees in a picture (mode RGB) at the scale at which the digits have DIGIT_HEIGHT."""
    whole, scales = (0, 0, *picture.size), [min(size / max(picture.size), MAX_ZOOM) for size in FIRST_SIZES]
    view = look_at(picture, finder, whole, scales[0])
    if not len(view.boxes):  # a digit that fills the picture is seen better from further away
        view = look_at(picture, finder, whole, scales[1])
    for _ in range(MAX_LOOKS):
        if not len(view.boxes):
            break
        part, scale = choose_look(picture, view)
        if 1 / MAX_MISFIT < scale / view.scale < MAX_MISFIT:
            break
        view = look_at(picture, finder, part, scale)
    return view


def choose_look(picture: Image.Image, view: View) -> tuple[tuple[float, float, float, float], float]:
    """Return the part of the picture to look at next, and the scale at which its digits have DIGIT_HEIGHT."""
    height = float(np.median(view.boxes[:, 3] - view.boxes[:, 1])) / view.scale
    scale, part = DIGIT_HEIGHT / height, (0.0, 0.0, float(picture.width), float(picture.height))
    if picture.width * picture.height * scale**2 > MAX_AREA:
        corners = view.to_picture(view.boxes)
        left, top = np.maximum(corners[:, :2].min(axis=0) - MARGIN * height, 0)
        right, bottom = np.minimum(corners[:, 2:].max(axis=0) + MARGIN * height, picture.size)
        part = float(left), float(top), float(right), float(bottom)
        scale = min(scale, (MAX_AREA / ((right - left) * (bottom - top))) ** 0.5)
    return part, scale
