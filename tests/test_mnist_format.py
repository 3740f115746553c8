"""Digits drawn here, so that the correct result is known, in the form of MNIST's images."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from digits.command_line import DATA_DIR
from digits.reading.mnist_format import bounding_box, format_digit, stroke_width
from digits.reading.picture import decode_picture
from digits.training.mnist import load_mnist
from model import predict_logits
from tests.helpers import STROKES, draw_digit, needs_mnist, read_picture_of


def format_picture(picture: Image.Image) -> np.ndarray:
    """Return the image (28, 28), uint8, of a digit (mode L, light on black)."""
    return format_digit(np.asarray(picture.crop(picture.getbbox()), np.float32) / 255)


@pytest.mark.parametrize("size", [(20, 28), (60, 90), (300, 200)])
def test_the_form_of_mnist(size):
    """The longer side is 20 pixels, the aspect is kept, the centre of mass is in the middle, black is black."""
    width, height = size
    picture = Image.new("L", (width + 40, height + 30))
    pen = round(max(size) / 8)
    ImageDraw.Draw(picture).rectangle((25, 10, 24 + width, 9 + height), outline=200, width=pen)
    image = format_picture(picture)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    scale = 20 / max(size)
    assert abs(len(columns) - width * scale) <= 1 and abs(len(rows) - height * scale) <= 1
    assert max(len(columns), len(rows)) == 20
    assert image.max() == 255 and image[13:15, 13:15].max() == 0
    assert abs(rows.mean() - 13.5) <= 0.5 and abs(columns.mean() - 13.5) <= 0.5


def test_images_in_the_form_of_mnist_hardly_change():
    """Where the centre of mass lies between two pixels, some move by one; most keep position and grey levels."""
    for pen in (9, 14, 24):
        images = [
            format_picture(draw_digit(digit, (200, 220), (50, 40, 150, 180), pen)).astype(float) for digit in STROKES
        ]
        again = [format_picture(Image.fromarray(image.astype(np.uint8))) for image in images]
        changes = [abs(image - other).sum() / image.sum() for image, other in zip(images, again)]
        assert np.median(changes) < 0.2


def test_edges_stay_grey():
    """Where the edge of a slanted stroke runs through a pixel, the pixel is as light as the part that it covers."""
    picture = Image.new("L", (200, 200))
    ImageDraw.Draw(picture).line((60, 20, 140, 180), fill=255, width=24)
    image = format_picture(picture)
    assert 0.2 < ((image > 30) & (image < 225)).sum() / (image > 0).sum() < 0.7


@pytest.mark.parametrize("pen, narrowest, widest", [(4, 1.3, 2), (9, 1.8, 2.5), (24, 2.3, 2.6), (60, 5.7, 6.3)])
def test_thin_strokes_become_as_wide_as_in_mnist(pen, narrowest, widest):
    """The others keep their width, of 180 pixels, which become 20: the brightness, added up across, in 255ths."""
    picture = Image.new("L", (240, 240))
    ImageDraw.Draw(picture).rectangle((120 - pen / 2, 30, 120 + pen / 2 - 1, 209), fill=255)
    ImageDraw.Draw(picture).rectangle((20, 30, 219, 30 + pen), fill=255)  # a T
    widths = format_picture(picture)[18:22].sum(axis=1) / 255
    assert narrowest <= widths.mean() <= widest


@pytest.mark.parametrize("pen", [2, 5, 14, 22])
def test_thin_and_thick_digits_are_read(pen, shipped_model):
    digits = [0, 2, 3, 4, 5, 7, 8]
    images = [format_picture(draw_digit(digit, (200, 220), (50, 40, 150, 180), pen=pen)) for digit in digits]
    logits = predict_logits(shipped_model, torch.from_numpy(np.stack(images)[:, np.newaxis]))
    assert logits.argmax(dim=1).tolist() == digits


@needs_mnist
@pytest.mark.slow
def test_mnist_as_pictures(shipped_model, shipped_finder):
    """Test images, saved as pictures and read as predict_CNN.py reads them, are told apart as before."""
    images, labels = load_mnist(DATA_DIR, train=False, device="cpu")
    num_read = 0
    for image, label in zip(images[:500, 0], labels.tolist()):
        file = io.BytesIO()
        Image.fromarray(image.numpy()).save(file, "PNG")
        picture = decode_picture(file)
        with contextlib.suppress(ValueError):  # no digit found: not read either
            num_read += read_picture_of(shipped_finder, shipped_model, picture) == str(label)
    assert num_read >= 495


@pytest.mark.parametrize("turns", range(4))
def test_heavy_end_stays_inside(turns):
    """A bar with a thin tail would stand out of the image if its centre of mass were put quite into the middle."""
    picture = Image.new("L", (100, 100))
    picture.paste(255, (20, 20, 80, 40))
    picture.paste(255, (49, 40, 51, 80))
    image = format_picture(picture.rotate(90 * turns)).astype(float)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert len(rows) == len(columns) == 20
    first = [rows[0], columns[0], 27 - rows[-1], 27 - columns[-1]][turns]
    assert first == 8  # as far towards the other side as it can be


def test_the_smallest_and_the_thinnest():
    """A single pixel fills the 20 pixels; a hair becomes two pixels wide."""
    mask = np.zeros((5, 7), bool)
    mask[1:4, 2:6] = np.eye(3, 4, dtype=bool)
    assert bounding_box(mask) == (2, 1, 5, 4)
    assert format_digit(np.full((1, 1), 0.3)).sum() == 20 * 20 * 255
    assert format_digit(np.ones((1, 500))).sum() == format_digit(np.ones((500, 1))).sum() == 2 * 20 * 255


@pytest.mark.parametrize("angle", [0, 22.5, 45, 67.5, 90, 112.5, 135, 157.5])
@pytest.mark.parametrize("width", [4.3, 10.4])
def test_stroke_width_is_the_same_in_all_directions(width, angle):
    """Of a pale bar, twice the area divided by the length of all its edges, those of the ends too, within 5 %."""
    rows, columns = np.mgrid[:300, :300] - 149.7
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    across, along = np.abs(columns * cos + rows * sin), np.abs(columns * sin - rows * cos)
    bar = (width / 2 + 0.5 - across).clip(0, 1) * (along < 100)
    assert stroke_width(0.4 * bar) == pytest.approx(2 * width * 200 / (2 * width + 2 * 200), rel=0.05)
