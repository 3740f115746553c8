"""Things that are no page: beside digits, or instead of any page."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from digits.reading.pages.camera import smooth_noise
from digits.reading.pages.canvas import Rng, log_uniform


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
    num_things = int(rng.integers(1, 6)) if len(boxes) else round(log_uniform(rng, (1, 80)))
    for _ in range(num_things):
        centre = rng.uniform(-0.1, 1.1, 2) * (width, height)
        reach = np.full(2, min(width, height) * log_uniform(rng, (0.03, 0.6)))
        reach *= rng.uniform(0.3, 1, 2) if rng.random() < 0.5 else 1
        # A rod alone, or one as long as a digit, would be a 1.
        kind = rng.integers(3 if num_things > 8 or (len(boxes) and reach.max() > digit_height) else 2)
        corners = centre + reach * rng.uniform(-1, 1, (int(rng.integers(3, 8)), 2))
        if kind == 2:
            turn = rng.uniform(0, 6.3) + np.cumsum(rng.normal(0, 0.2, 3))
            corners = centre + np.cumsum(reach.max() * np.stack([np.cos(turn), np.sin(turn)], axis=1), axis=0)
        line_width = round(reach.min() * rng.uniform(0.1, 0.6)) + 2
        low, high = np.minimum(centre - reach, corners.min(axis=0)), np.maximum(centre + reach, corners.max(axis=0))
        low, high = low - line_width - 4, high + line_width + 4
        if ((high > boxes[:, :2]) & (low < boxes[:, 2:])).all(axis=1).any():
            continue
        colour, rim = (tuple(int(value) for value in rng.uniform(0, 255, 3)) for _ in range(2))
        rim_width = line_width // 4 if rng.random() < 0.3 else 0
        for pencil, fill, edge in zip(pencils, (colour, 255), (rim, 255)):
            if kind == 0:
                pencil.ellipse((*(centre - reach), *(centre + reach)), fill, edge, rim_width)
            elif kind == 1:
                pencil.polygon([tuple(corner) for corner in corners.tolist()], fill)
            else:
                pencil.line([tuple(corner) for corner in corners.tolist()], fill, line_width, joint="curve")
    blur = ImageFilter.GaussianBlur(0 if is_paint else rng.uniform(0, 2 if len(boxes) else 4))
    things, covered = np.asarray(picture.filter(blur), np.float32), np.asarray(mask.filter(blur), np.float32) / 255
    if not is_paint:
        things = things * (1 + 0.1 * smooth_noise(rng, height, width, int(rng.integers(4, 90)))[..., np.newaxis])
    return colours + covered[..., np.newaxis] * (things - colours), ink * (1 - covered)
