"""Digits drawn here, so that the right answer is known, brought into the form of MNIST's."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from conftest import needs_mnist, prepare, read_digit
from generated_digits import STROKES, draw_digit
from PIL import Image, ImageDraw, ImageOps

from digits.command_line import DATA_DIR
from digits.reading.mnist_format import find_sheet, fit_into_image, normalize_strokes
from digits.reading.picture import decode_picture
from digits.training.mnist import load_mnist
from model import predict_logits


@pytest.mark.parametrize("size", [(20, 28), (60, 90), (300, 200)])
def test_the_form_of_mnist(size):
    """The longer side is 20 pixels, the aspect is kept, the centre of mass is in the middle, black is black."""
    width, height = size
    picture = Image.new("L", (width + 40, height + 30), 255)
    pen = round(max(size) / 8)
    ImageDraw.Draw(picture).rectangle((25, 10, 24 + width, 9 + height), outline=60, width=pen)
    image = prepare(picture)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    scale = 20 / max(size)
    assert abs(len(columns) - width * scale) <= 1 and abs(len(rows) - height * scale) <= 1
    assert max(len(columns), len(rows)) == 20
    assert image.max() == 255 and image[13:15, 13:15].max() == 0
    assert abs(rows.mean() - 13.5) <= 0.5 and abs(columns.mean() - 13.5) <= 0.5


def test_images_in_the_form_of_mnist_hardly_change():
    """Some move by a pixel, where the centre of mass lies between two; most keep their place and their grey levels."""
    for pen in (9, 14, 24):
        images = [prepare(draw_digit(digit, (200, 220), (50, 40, 150, 180), pen)).astype(float) for digit in STROKES]
        again = [prepare(Image.fromarray(image.astype(np.uint8))) for image in images]
        changes = [abs(image - other).sum() / image.sum() for image, other in zip(images, again)]
        assert np.median(changes) < 0.2


def test_edges_stay_grey():
    """Where the edge of a slanted stroke runs through a pixel, the pixel is as light as the part that it covers."""
    picture = Image.new("L", (200, 200))
    ImageDraw.Draw(picture).line((60, 20, 140, 180), fill=255, width=24)
    image = prepare(picture)
    assert 0.2 < ((image > 30) & (image < 225)).sum() / (image > 0).sum() < 0.7


def test_centre_of_mass():
    """A heavy foot pulls an L downwards and to the left, so that it is drawn higher and further right."""
    picture = Image.new("L", (100, 100))
    picture.paste(255, (20, 20, 25, 80))
    picture.paste(255, (20, 68, 40, 80))
    image = prepare(picture).astype(float)
    assert abs(image.sum(axis=1) @ np.arange(28) / image.sum() - 13.5) <= 0.5
    assert abs(image.sum(axis=0) @ np.arange(28) / image.sum() - 13.5) <= 0.5


@pytest.mark.parametrize("digit", STROKES)
@pytest.mark.parametrize("invert", [False, True])
def test_drawn_digits_are_read(digit, invert, shipped_model):
    picture = draw_digit(digit, (150, 200), (40, 50, 110, 160), pen=9)
    image = prepare(ImageOps.invert(picture) if invert else picture)
    assert read_digit(shipped_model, image) == digit


@pytest.mark.parametrize("pen, narrowest, widest", [(2, 1.6, 2.8), (20, 1.8, 2.6), (60, 3.5, 6.2)])
def test_strokes_become_as_wide_as_in_mnist(pen, narrowest, widest):
    """A straight stroke of any pen is about as many pixels wide: its brightness, added up across, in 255ths."""
    picture = Image.new("L", (240, 240))
    ImageDraw.Draw(picture).rectangle((120 - pen / 2, 30, 120 + pen / 2 - 1, 209), fill=255)
    widths = prepare(picture)[10:18].sum(axis=1) / 255
    assert narrowest <= widths.mean() <= widest


@pytest.mark.parametrize("pen", [2, 5, 14, 22])
@pytest.mark.parametrize("digit", [0, 2, 3, 4, 5, 7, 8])
def test_thin_and_thick_digits_are_read(digit, pen, shipped_model):
    image = prepare(draw_digit(digit, (200, 220), (50, 40, 150, 180), pen=pen))
    assert read_digit(shipped_model, image) == digit


@needs_mnist
def test_mnist_as_pictures(shipped_model):
    """Test images, saved as pictures and read as predict_CNN.py reads them, are told apart as before."""
    images, labels = load_mnist(DATA_DIR, train=False, device="cpu")
    images, labels = images[:2000], labels[:2000]
    prepared = []
    for image in images[:, 0]:
        file = io.BytesIO()
        Image.fromarray(image.numpy()).save(file, "PNG")
        prepared.append(torch.from_numpy(prepare(decode_picture(file))))
    before, after = (
        100 * float((predict_logits(shipped_model, batch).argmax(dim=1) == labels).float().mean())
        for batch in (images, torch.stack(prepared)[:, None])
    )
    assert after > before - 0.3


def test_faint_ink_becomes_white():
    image = fit_into_image(draw_digit(3, (40, 40), (8, 4, 32, 36), pen=4).point([value // 3 for value in range(256)]))
    assert image.max() == 255


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


@pytest.mark.parametrize("pen, expected", [(60, 4.67), (50, 4.56), (40, 3.94), (9, 2.0)])
def test_width_of_normalized_strokes(pen, expected):
    """A stroke of `pen` pixels and 180 long would be w = pen / 9 wide, and counts as 20.8 w / (20 + w), for its ends.

    What that is over 3.3 pixels is taken off it, and what is missing to 2.05 put on it, in steps of half a pixel.
    """
    picture = Image.new("L", (240, 240))
    picture.paste(255, (100, 30, 100 + pen, 210))
    widths = (np.asarray(normalize_strokes(picture)) > 127)[40:60].sum(axis=1) / 4
    assert abs(widths.mean() - expected) <= 0.13


def draw_note(desk: tuple[int, int, int]) -> Image.Image:
    """Return a photograph (mode RGB) of a note, from (100, 80) to (540, 400), with a 3 on a desk of this colour."""
    grain = np.random.default_rng(0).normal(0, 4, (480, 640, 1))
    picture = Image.fromarray((np.array(desk) + grain).clip(0, 255).astype(np.uint8))
    picture.paste((235, 232, 225), (100, 80, 540, 400))
    picture.paste((30, 30, 60), (200, 150), draw_digit(3, (200, 200), (50, 30, 150, 170), pen=14))
    return picture


def test_a_note_is_found_on_a_desk():
    box = find_sheet(draw_note((110, 70, 40)))
    inset = np.subtract(box, (100, 80, 540, 400)) * (1, 1, -1, -1)
    assert inset.min() >= 0 and inset.max() <= 40  # of the note, nothing but its margins is cut off
    whole = (0, 0, 640, 480)
    assert find_sheet(draw_note((235, 232, 225))) == whole  # nothing but paper
    assert find_sheet(draw_note((215, 212, 205))) == whole  # too little of a difference
