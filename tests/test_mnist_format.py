"""Digits drawn here, so that the correct result is known, in the form of MNIST's images."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from digits.command_line import DATA_DIR
from digits.reading.mnist_format import fit_into_image, format_digit, stroke_width
from digits.reading.picture import decode_picture
from digits.training.mnist import load_mnist
from model import predict_logits
from tests.helpers import STROKES, draw_digit, needs_mnist, read_picture_of


def format_picture(picture: Image.Image) -> np.ndarray:
    """Return the image (28, 28), uint8, of a digit (mode L, light on black)."""
    return format_digit(np.asarray(picture, np.float32) / 255)


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


@pytest.mark.parametrize("pen, narrowest, widest", [(2, 1.6, 2.8), (20, 1.8, 2.6), (60, 3.5, 6.2)])
def test_strokes_become_as_wide_as_in_mnist(pen, narrowest, widest):
    """A straight stroke of any pen is about as many pixels wide: its brightness, added up across, in 255ths."""
    picture = Image.new("L", (240, 240))
    ImageDraw.Draw(picture).rectangle((120 - pen / 2, 30, 120 + pen / 2 - 1, 209), fill=255)
    widths = format_picture(picture)[10:18].sum(axis=1) / 255
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
    image = fit_into_image(picture.rotate(90 * turns)).astype(float)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    assert len(rows) == len(columns) == 20
    first = [rows[0], columns[0], 27 - rows[-1], 27 - columns[-1]][turns]
    assert first == 8  # as far towards the other side as it can be


@pytest.mark.parametrize("angle", [0, 22.5, 45, 67.5, 90, 112.5, 135, 157.5])
@pytest.mark.parametrize("width", [4.3, 10.4])
def test_stroke_width_is_the_same_in_all_directions(width, angle):
    """A bar through a picture is measured as wide as it is, its area divided by its length, within 5 %."""
    rows, columns = np.mgrid[:1001, :1001] - 500.3
    cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    mask = np.abs(columns * cos + rows * sin) < width / 2
    length = 1001 / max(abs(cos), abs(sin))
    assert stroke_width(mask) == pytest.approx(mask.sum() / length, rel=0.05)
