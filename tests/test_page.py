"""Ink and paper told apart: in uneven light, on coloured paper, beside a table, and where there is no ink."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import prepare, read_digit
from generated_digits import draw_digit, draw_three
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from digits.reading.page import otsu_threshold, stroke_width


def darken(picture: Image.Image) -> Image.Image:
    """Return a picture (mode RGB) as in the shadow of a hand: paper on the right is as dark as ink on the left."""
    light = np.linspace(1, 0.3, picture.width) ** 1.5
    pixels = (np.asarray(picture) * 0.7 + 70) * light[np.newaxis, :, np.newaxis]
    return Image.fromarray(pixels.astype(np.uint8))


def cast_hard_shadow(picture: Image.Image) -> Image.Image:
    """Return a picture (mode L) whose right part lies in a shadow with an edge, which crosses the digit."""
    light = np.where(np.arange(picture.width) < 150, 1, 0.6)
    return Image.fromarray((np.asarray(picture) * light).astype(np.uint8))


def lay_on_table(picture: Image.Image) -> Image.Image:
    """Return a picture (mode RGB) in which a dark table is seen at two sides of the paper."""
    picture = picture.copy()
    table = [(0, 0), (65, 0), (60, 140), (125, 160), (125, 180), (0, 180)]
    ImageDraw.Draw(picture).polygon(table, fill=(20, 15, 12))
    return picture


def add_grain(picture: Image.Image) -> Image.Image:
    """Return a picture (mode L) with the noise of a camera in poor light."""
    noise = np.random.default_rng(0).normal(0, 12, (picture.height, picture.width))
    return Image.fromarray((np.asarray(picture) * 0.8 + 25 + noise).clip(0, 255).astype(np.uint8))


def make_pages() -> dict[str, Image.Image]:
    """Return a drawn 3 on many kinds of paper, in many kinds of light."""
    light, dark = draw_three(), ImageOps.invert(draw_three())
    return {
        "gray on gray": dark.point(lambda value: 90 + value * 0.25),
        # red on brown of about the same brightness
        "colours of one brightness": ImageOps.colorize(light, black=(110, 98, 72), white=(200, 40, 40)),
        # darker than the paper in one channel, lighter in others
        "yellow on blue": ImageOps.colorize(light, black=(40, 60, 170), white=(240, 220, 40)),
        "red on green": ImageOps.colorize(light, black=(40, 140, 60), white=(200, 30, 30)),
        "shadow": darken(dark.convert("RGB")),
        "hard shadow": cast_hard_shadow(dark),
        "table": lay_on_table(dark.convert("RGB")),
        "grain": add_grain(dark),
        "blurred": dark.filter(ImageFilter.GaussianBlur(3)),
    }


@pytest.mark.parametrize("way", make_pages())
def test_any_page_gives_the_same_image(way, shipped_model):
    image = prepare(make_pages()[way])
    expected = prepare(draw_three())
    assert np.abs(image.astype(float) - expected).sum() / expected.sum() < 0.35
    assert read_digit(shipped_model, image) == 3


def test_table_with_more_ink_than_the_digit():
    picture = ImageOps.invert(draw_digit(3, (240, 180), (130, 30, 200, 140), pen=4))
    expected = prepare(picture).astype(float)
    ImageDraw.Draw(picture).polygon([(0, 0), (30, 0), (25, 180), (0, 180)], fill=15)
    assert np.abs(prepare(picture) - expected).sum() / expected.sum() < 0.02


def test_otsu_threshold():
    """Against all thresholds tried one by one, by the definition: least variance within the two groups."""
    values = np.random.default_rng(0).normal(size=1000) + np.repeat([0, 5], (700, 300))
    threshold = otsu_threshold(values)

    def variance_within(limit: float) -> float:
        return sum(group.size * group.var() for group in (values[values <= limit], values[values > limit]))

    best = min(variance_within(limit) for limit in np.linspace(values.min(), values.max(), 500)[1:-1])
    assert variance_within(threshold) < 1.02 * best
    assert 0.3 < otsu_threshold(np.array([0.0, 0, 0, 1, 1])) < 0.7


@pytest.mark.parametrize("angle", [0, 22.5, 45, 67.5, 90, 112.5, 135, 157.5])
@pytest.mark.parametrize("width", [4.3, 10.4])
def test_stroke_width_is_the_same_in_all_directions(width, angle):
    """A bar through a picture is measured as wide as it is, its area divided by its length, within 5 %."""
    rows, columns = np.mgrid[:1001, :1001] - 500.3
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    mask = np.abs(columns * cos + rows * sin) < width / 2
    length = 1001 / max(abs(cos), abs(sin))
    assert stroke_width(mask) == pytest.approx(mask.sum() / length, rel=0.05)
