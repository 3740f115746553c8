"""How a page is photographed, scanned or seen on a screen: light and shadow, blur, noise, few pixels, JPEG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageFilter

from digits.reading.pages.canvas import Limits, Rng, log_uniform

# Fractions of the pictures
SHADOW, FOLD, GLARE, LOW_LIGHT = 0.6, 0.2, 0.1, 0.3
FEW_PIXELS, ONE_BIT, JPEG, GREY = 0.4, 0.05, 0.35, 0.08

BLUR: Limits = (0.0, 1.3)  # pixels
NOISE = 4.0  # of 255: mean of the standard deviation
JPEG_QUALITY: Limits = (20, 93)
SMALL_SIDE: Limits = (20, 40)  # pixels of the shorter side of pictures with few pixels
MIN_PIXELS = 9, 18  # height of the smallest digit in pictures with few pixels: of one digit, of several


def smooth_noise(rng: Rng, height: int, width: int, num_cells: int) -> np.ndarray:
    """Return noise (height, width) of standard deviation about 1 that changes over 1 / num_cells of the picture."""
    grid = rng.normal(size=(num_cells, num_cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


def light_page(rng: Rng, colours: np.ndarray) -> np.ndarray:
    """Return the picture (height, width, 3) in uneven light: falling off, shadows, folds, glare, a camera's tones."""
    height, width = colours.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = (x - width / 2) / max(width, height), (y - height / 2) / max(width, height)

    def ramp(angle: float) -> np.ndarray:
        return x * np.cos(angle) + y * np.sin(angle)

    light = 1 - rng.uniform(0, 0.45) * (ramp(rng.uniform(0, 6.3)) + 0.7) / 1.4
    for _ in range(int(rng.integers(1, 4)) if rng.random() < SHADOW else 0):
        angle = rng.uniform(0, 6.3)
        depth = ramp(angle) - rng.uniform(-0.45, 0.45)
        if rng.random() < 0.3:  # a corner
            depth = np.maximum(depth, ramp(angle + rng.uniform(1, 2)) - rng.uniform(-0.45, 0.45))
        if rng.random() < 0.3:
            depth = depth + 0.03 * smooth_noise(rng, height, width, 8)
        light *= 1 - rng.uniform(0.1, 0.65) / (1 + np.exp(-(depth * log_uniform(rng, (6, 200))).clip(-30, 30)))
    if rng.random() < FOLD:
        slopes = np.gradient(smooth_noise(rng, height, width, int(rng.integers(5, 12))))[0]
        light *= (1 + rng.uniform(0.03, 0.12) * slopes / (slopes.std() + 1e-6)).clip(0.4, 1.4)
    if rng.random() < LOW_LIGHT:
        light *= rng.uniform(0.2, 0.9)
    colours = colours * light[..., np.newaxis]
    if rng.random() < GLARE:
        distance = ((x - rng.uniform(-0.5, 0.5)) ** 2 + (y - rng.uniform(-0.5, 0.5)) ** 2) / rng.uniform(0.1, 0.4) ** 2
        colours = colours + (np.exp(-distance) * rng.uniform(0.2, 0.8))[..., np.newaxis] * (255 - colours)
    return 255 * (colours / 255).clip(0, 1) ** rng.uniform(0.75, 1.35) * (1 + rng.normal(0, 0.04, 3))


def take_picture(rng: Rng, colours: np.ndarray, boxes: np.ndarray, is_paint: bool) -> np.ndarray:
    """Return colours (height, width, 3) as a camera, a scanner or a small canvas records them, uint8."""
    picture = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
    size = picture.size
    if rng.random() < FEW_PIXELS:
        scale = rng.uniform(*SMALL_SIDE) / min(size) if rng.random() < 0.5 else log_uniform(rng, (0.25, 1))
        if len(boxes):  # few, but enough for the smallest digit
            scale = min(1, max(scale, MIN_PIXELS[len(boxes) > 1] / (boxes[:, 3] - boxes[:, 1]).min()))
        small = [max(8, round(scale * length)) for length in size]
        filters = [Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.NEAREST]
        picture = picture.resize((small[0], small[1]), filters[int(rng.integers(3 if is_paint else 2))])
    elif not is_paint or rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(*BLUR)))
    if not is_paint or rng.random() < 0.1:
        values = np.asarray(picture, np.float32)
        channels = 3 if rng.random() < 0.5 else 1
        noise = rng.normal(0, rng.exponential(NOISE), (*values.shape[:2], channels))
        picture = Image.fromarray((values + noise).clip(0, 255).astype(np.uint8))
    if rng.random() < JPEG:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(rng.uniform(*JPEG_QUALITY)))
        picture = Image.open(file).convert("RGB")
    if rng.random() < ONE_BIT:
        values = np.asarray(picture.convert("L"), np.float32)
        values = values + rng.normal(0, rng.uniform(0, 30), values.shape)
        low, high = np.percentile(values, (1, 99))
        picture = Image.fromarray(np.where(values > (low + high) / 2, 255, 0).astype(np.uint8)).convert("RGB")
    if rng.random() < GREY:
        picture = picture.convert("L").convert("RGB")
    return np.array(picture.resize(size, Image.Resampling.BICUBIC))
