"""Things that are no page: beside digits, or instead of any page."""

from __future__ import annotations

import functools

import numpy as np
from matplotlib.cbook import get_sample_data
from PIL import Image, ImageDraw, ImageFilter

from digits.reading.pages.camera import smooth_noise
from digits.reading.pages.canvas import Limits, Rng, log_uniform

BESIDE, ALONE = (2, 14), (1, 80)  # smallest and largest number of things beside digits, and without any
KINDS = "ball", "sheet", "rod"
# Fractions of the things; a rod among few others, and no digits, would be a 1
AMONG_DIGITS, AMONG_MANY, AMONG_FEW = (0.3, 0.2, 0.5), (0.33, 0.33, 0.34), (0.5, 0.5, 0.0)
PHOTOGRAPHED = 0.3  # fraction of the pictures whose things are parts of a photograph, and not of one colour
RIM = 0.4  # fraction of the things with a rim, or light along them
ROD_LENGTH: Limits = (1.2, 3.5)  # beside digits, relative to their height: a shorter rod could be a 1
WHOLE_ROD = 0.5  # fraction of the rods that lie in the picture from end to end, if they are not too long
ROD_WIDTH: Limits = (0.04, 0.2)  # relative to its length


@functools.lru_cache(maxsize=1)
def load_photograph() -> Image.Image:
    """Return the photograph that comes with matplotlib: a face, cloth, metal, and no digit."""
    return Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")


def sample_photograph(rng: Rng, width: int, height: int) -> np.ndarray:
    """Return a part of a photograph (height, width, 3), floats in 0..255, turned or mirrored, in other colours.

    One photograph, cut and changed at random, has most of what a network can learn about all of them in its first
    layers (Asano, Rupprecht, Vedaldi 2020, "A critical analysis of self-supervision").
    """
    photograph = load_photograph()
    scale = log_uniform(rng, (0.12, 1)) * min(photograph.width / width, photograph.height / height)
    part = scale * width, scale * height
    left, top = rng.uniform(0, 1, 2) * (photograph.width - part[0], photograph.height - part[1])
    box = (left, top, left + part[0], top + part[1])
    picture = photograph.resize((width, height), Image.Resampling.BILINEAR, box, reducing_gap=2.0)
    colours = np.asarray(picture, np.float32)[:: rng.choice((-1, 1)), :: rng.choice((-1, 1)), rng.permutation(3)]
    colours = 255 * (colours / 255) ** np.exp(rng.normal(0, 0.4, 3))
    return 255 - colours if rng.random() < 0.2 else colours


def draw_things(
    rng: Rng, colours: np.ndarray, ink: np.ndarray, boxes: np.ndarray, is_paint: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture (height, width, 3) with things on it that are no page, and the ink that they leave.

    Beside digits a few, which cover none; else up to many, so that nothing else may be seen, as in the model of natural
    images with dead leaves (Lee, Mumford, Huang 2001): coins and balls, sheets and corners, pens and branches.
    """
    height, width = ink.shape
    picture, mask = Image.fromarray(colours.clip(0, 255).astype(np.uint8)), Image.new("L", (width, height))
    pencils = ImageDraw.Draw(picture), ImageDraw.Draw(mask)
    digit_height = float(np.median(boxes[:, 3] - boxes[:, 1])) if len(boxes) else 0.0
    num_things = round(log_uniform(rng, BESIDE if len(boxes) else ALONE))
    for _ in range(num_things):
        kind, (low, high), corners, line_width = sample_thing(rng, width, height, digit_height, num_things)
        margin = line_width / 2 + 3
        if ((high + margin > boxes[:, :2]) & (low - margin < boxes[:, 2:])).all(axis=1).any():
            continue
        points = [tuple(corner) for corner in corners.tolist()]
        colour, rim = (tuple(int(value) for value in rng.uniform(0, 255, 3)) for _ in range(2))
        rim_width = line_width // int(rng.integers(3, 12)) if rng.random() < RIM else 0
        for pencil, fill, edge in zip(pencils, (colour, 255), (rim, 255)):
            if kind == "ball":
                pencil.ellipse((*low, *high), fill, edge, rim_width)
            elif kind == "sheet":
                pencil.polygon(points, fill)
            else:
                pencil.line(points, fill, line_width, joint="curve")
                if rim_width:  # light along a pen
                    pencil.line(points, edge, rim_width, joint="curve")
    blur = ImageFilter.GaussianBlur(0 if is_paint else rng.uniform(0, 2 if len(boxes) else 4))
    covered = np.asarray(mask.filter(blur), np.float32) / 255
    if not is_paint and rng.random() < PHOTOGRAPHED:
        things = sample_photograph(rng, width, height)
    else:
        texture = 0 if is_paint else 0.1 * smooth_noise(rng, height, width, int(rng.integers(4, 90)))[..., np.newaxis]
        things = np.asarray(picture.filter(blur), np.float32) * (1 + texture)
    return colours + covered[..., np.newaxis] * (things - colours), ink * (1 - covered)


def sample_thing(
    rng: Rng, width: int, height: int, digit_height: float, num_things: int
) -> tuple[str, np.ndarray, np.ndarray, int]:
    """Return a thing in a picture: a ball, a sheet or a rod, its box (2, 2), its corners (N, 2), the width of its line.

    All lengths are in pixels. Beside digits, digit_height high (0: there are none), a rod is longer than they are.
    """
    centre = rng.uniform(-0.1, 1.1, 2) * (width, height)
    reach = np.full(2, min(width, height) * log_uniform(rng, (0.03, 0.6)))
    reach *= rng.uniform(0.3, 1, 2) if rng.random() < 0.5 else 1
    line_width = round(reach.min() * rng.uniform(0.1, 0.6)) + 2
    kind = str(rng.choice(KINDS, p=AMONG_DIGITS if digit_height else AMONG_MANY if num_things > 8 else AMONG_FEW))
    corners = centre + reach * rng.uniform(-1, 1, (int(rng.integers(3, 8)), 2))
    if kind != "rod":
        return kind, np.stack([centre - reach, centre + reach]), corners, line_width
    length, bend = 3 * reach.max(), 0.2
    if digit_height:
        length, bend = digit_height * log_uniform(rng, ROD_LENGTH), 0.2 * (rng.random() < 0.3)
        line_width = round(length * log_uniform(rng, ROD_WIDTH)) + 1
    turn = rng.normal(rng.choice((0, np.pi / 2)), 0.5) + np.cumsum(rng.normal(0, bend, 3))
    steps = length / 3 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    corners = centre - steps.sum(axis=0) / 2 + np.cumsum(np.vstack([(0, 0), steps]), axis=0)
    if rng.random() < WHOLE_ROD:
        corners += np.maximum(0, -corners.min(axis=0)) - np.maximum(0, corners.max(axis=0) - (width, height))
    return kind, np.stack([corners.min(axis=0), corners.max(axis=0)]), corners, line_width
