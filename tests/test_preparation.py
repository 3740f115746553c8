"""Digits drawn here, so that the right answer is known, brought into the form of MNIST's."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from conftest import needs_mnist, prepare, read_digit
from generated_digits import STROKES, draw_digit, draw_three
from PIL import Image, ImageChops, ImageDraw, ImageOps

from digits.command_line import DATA_DIR
from digits.mnist import load_mnist
from digits.parts import label_parts
from digits.picture import decode_picture
from digits.preparation import find_digits, fit_into_image, normalize_strokes
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


def draw_specks(pencil: ImageDraw.ImageDraw) -> None:
    for x, y in ((20, 30), (60, 150), (100, 20), (220, 60), (215, 165), (90, 100)):
        pencil.rectangle((x, y, x + 2, y + 2), fill=0)


def draw_ruled_lines(pencil: ImageDraw.ImageDraw) -> None:
    for y in (15, 155):
        pencil.line((0, y, 240, y), fill=60, width=3)


def draw_neighbour(pencil: ImageDraw.ImageDraw) -> None:
    pencil.arc((222, 60, 280, 120), 90, 270, fill=0, width=9)


def draw_blot(pencil: ImageDraw.ImageDraw) -> None:
    pencil.ellipse((15, 60, 32, 77), fill=0)


@pytest.mark.parametrize("draw", [draw_specks, draw_ruled_lines, draw_neighbour, draw_blot])
def test_what_does_not_belong_to_the_digit(draw):
    picture = ImageOps.invert(draw_three())
    expected = prepare(picture).astype(float)
    draw(ImageDraw.Draw(picture))
    assert np.abs(prepare(picture) - expected).sum() / expected.sum() < 0.02


def test_loose_parts_belong_to_the_digit():
    """A 5 whose bar hangs in the air keeps it, as wide as it is; without the bar the rest would fill the image."""
    picture = Image.new("L", (200, 200), 255)
    pencil = ImageDraw.Draw(picture)
    pencil.line((70, 52, 70, 95), fill=0, width=8)
    pencil.arc((55, 90, 120, 155), 200, 500, fill=0, width=8)
    without = prepare(picture)
    pencil.line((85, 50, 135, 50), fill=0, width=8)
    image = prepare(picture)
    assert image[:8, 16:].max() == 255 and without[:8, 16:].max() == 0


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


def test_label_parts():
    """Against a search from pixel to pixel, on random masks and on a spiral."""
    generator = np.random.default_rng(0)
    masks = [generator.random((17, 23)) < density for density in (0, 0.1, 0.3, 0.5, 1)]
    spiral = np.zeros((19, 19), dtype=bool)
    for ring in range(0, 9, 2):
        spiral[ring, ring : 19 - ring] = spiral[ring : 19 - ring, 18 - ring] = True
        spiral[18 - ring, ring : 19 - ring] = spiral[ring + 2 : 19 - ring, ring] = True
        spiral[ring + 2, ring : ring + 3] = True
    for mask in [*masks, spiral]:
        labels = label_parts(mask)
        assert ((labels > 0) == mask).all()
        unseen, parts = set(zip(*np.nonzero(mask))), 0
        while unseen:
            open_pixels = [unseen.pop()]
            label = labels[open_pixels[0]]
            parts += 1
            while open_pixels:
                y, x = open_pixels.pop()
                assert labels[y, x] == label
                near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & unseen
                unseen -= near
                open_pixels += near
        assert len(np.unique(labels[mask])) == parts


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


def find_boxes(*boxes: tuple[int, int, int, int], size: int = 200) -> list[tuple[int, ...]]:
    """Return the boxes of the digits that are found where black boxes (left, top, right, bottom) lie on white."""
    picture = Image.new("RGB", (size, size), "white")
    for box in boxes:
        picture.paste("black", box)
    return [digit.box for digit in find_digits(picture)]


def test_parts_near_the_largest_belong_to_the_digit():
    """Near is up to 0.35 of its longer side, 80 pixels: 28 pixels above, below or beside it."""
    tall, wide = (96, 60, 108, 140), (60, 86, 140, 114)
    for part, near in (((130, 90, 136, 112), True), ((142, 90, 148, 112), False)):
        assert len(find_boxes(tall, part)) == 1
        assert (find_boxes(tall, part)[0][2] > 120) == near
    for part, near in (((90, 132, 112, 140), True), ((90, 145, 112, 153), False)):
        assert (find_boxes(wide, part)[0][3] > 120) == near


def test_what_lies_is_a_line():
    """No digit is more than three times as wide as high."""
    ((left, _, right, _),) = find_boxes((60, 86, 140, 114))
    assert right - left == pytest.approx(80, abs=4)
    with pytest.raises(ValueError, match="no digit found"):
        find_boxes((60, 88, 140, 112))


def write_number(pen: float, ink: float, noise: float) -> Image.Image:
    """Return a photograph (mode RGB) of a small 4072: ink that swallows this share of the light, noise of 255."""
    shape = 480, 640
    strokes = np.zeros(shape)
    for digit, left in ((4, 200), (0, 260), (7, 320), (2, 380)):
        box = (left, 220, left + 34, 272)
        strokes = np.maximum(strokes, np.asarray(draw_digit(digit, (640, 480), box, pen)) / 255)
    generator = np.random.default_rng(0)
    pixels = (200 * (1 - ink * strokes))[..., np.newaxis] + generator.normal(0, noise, (*shape, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("pen, ink, noise", [(3, 0.15, 4), (3, 0.5, 25), (3, 0.7, 35)])
def test_small_numbers_pale_or_in_noise_are_read(pen, ink, noise, shipped_model):
    """Their ink is a hundredth of the picture, less than the noise has in all."""
    digits = find_digits(write_number(pen, ink, noise))
    assert [read_digit(shipped_model, digit.image) for digit in digits] == [4, 0, 7, 2]


def test_specks_beside_a_number(shipped_model):
    """As many as dots on a page; each is as wide as it is high, like a shadow, but too small to be one."""
    picture = write_number(3, 0.7, 2)
    pencil = ImageDraw.Draw(picture)
    for x in range(12, 640, 64):
        for y in range(12, 480, 64):
            pencil.rectangle((x, y, x + 2, y + 2), fill=(110, 110, 110))
    digits = find_digits(picture)
    assert [read_digit(shipped_model, digit.image) for digit in digits] == [4, 0, 7, 2]


def test_parts_at_the_border():
    """They belong to the digit only where it lies at the border itself, and do not become it as long as another can."""
    middle, at_border = (96, 80, 108, 160), (96, 170, 120, 200)
    ((_, _, _, bottom),) = find_boxes(middle, at_border)
    assert bottom < 165
    with pytest.raises(ValueError, match="no digit found"):
        find_boxes(at_border)
    assert len(find_boxes((96, 20, 108, 200))) == 1  # it fills the picture


def draw_number(digits: str, pen: int = 9, gap: int = 20, size: tuple[int, int] = (640, 240)) -> Image.Image:
    """Return a picture (mode L, dark on light) of digits side by side."""
    picture = Image.new("L", size)
    for place, digit in enumerate(digits):
        left = 60 + place * (70 + gap)
        picture = ImageChops.lighter(picture, draw_digit(int(digit), size, (left, 70, left + 70, 170), pen))
    return ImageOps.invert(picture)


@pytest.mark.parametrize("number", ["42", "407", "1234", "56789"])
@pytest.mark.parametrize("pen", [4, 9, 14])
def test_several_digits_from_left_to_right(number, pen, shipped_model):
    digits = find_digits(draw_number(number, pen))
    assert "".join(str(read_digit(shipped_model, digit.image)) for digit in digits) == number
    for place, digit in enumerate(digits):
        left, top, right, bottom = digit.box
        middle = 60 + place * 90 + 35
        assert abs((left + right) / 2 - middle) < 15 and abs(top - 70) < 15 and abs(bottom - 170) < 15


@pytest.mark.parametrize("lines", ["ruled", "squared"])
@pytest.mark.parametrize("number", ["5", "38", "4072"])
def test_printed_lines_are_no_ink(number, lines, shipped_model):
    picture = draw_number(number)
    pencil = ImageDraw.Draw(picture)
    for y in range(25, 240, 50):
        pencil.line((0, y, 640, y + 8), fill=110, width=2)
    for x in range(25, 640, 50) if lines == "squared" else ():
        pencil.line((x, 0, x - 4, 240), fill=110, width=2)
    digits = find_digits(picture)
    assert "".join(str(read_digit(shipped_model, digit.image)) for digit in digits) == number


@pytest.mark.parametrize("digit", [4, 7, 9])
def test_stem_from_border_to_border_is_no_printed_line(digit, shipped_model):
    """A strip of paper that was cut close above and below its digit."""
    picture = ImageOps.invert(draw_digit(digit, (640, 180), (280, 5, 380, 175), pen=9))
    (found,) = find_digits(picture)
    assert read_digit(shipped_model, found.image) == digit


@pytest.mark.parametrize("lines", ["ruled", "squared", "dotted", "shadow", "glare"])
def test_empty_sheets(lines):
    pixels = np.full((480, 640), 235.0) + np.random.default_rng(0).normal(0, 3, (480, 640))
    y, x = np.mgrid[:480, :640]
    pixels[{"ruled": (y % 40) < 2, "squared": ((y % 40) < 2) | ((x % 40) < 2)}.get(lines, y < 0)] -= 70
    pixels[((y % 40) < 3) & ((x % 40) < 3) & (lines == "dotted")] -= 90
    pixels *= np.where((x + 0.3 * y > 400) & (lines == "shadow"), 0.6, 1)
    pixels += (lines == "glare") * 60 * np.exp(-((x - 300) ** 2 + (y - 200) ** 2) / 5000)
    with pytest.raises(ValueError, match="no digit found"):
        find_digits(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))


@pytest.mark.parametrize("size", [28, 60])
def test_strokes_one_pixel_wide_are_read(size, shipped_model):
    """As drawn by hand with the thinnest brush, and saved as JPEG."""
    for digit in (0, 2, 3, 4, 5, 7):
        box = (size // 4, size // 7, size - size // 4, size - size // 7)
        file = io.BytesIO()
        ImageOps.invert(draw_digit(digit, (size, size), box, pen=1)).save(file, "JPEG")
        assert read_digit(shipped_model, prepare(decode_picture(file))) == digit


def test_pale_pencil_in_a_noisy_picture_is_read(shipped_model):
    noise = np.random.default_rng(0).normal(0, 6, (480, 640))
    for digit in STROKES:
        strokes = np.asarray(draw_digit(digit, (640, 480), (250, 120, 390, 360), pen=9)) / 255
        pixels = 200 - 45 * strokes + noise
        assert read_digit(shipped_model, prepare(Image.fromarray(pixels.astype(np.uint8)))) == digit


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


@pytest.mark.parametrize("pen, expected", [(60, 5.25), (50, 5.0), (40, 4.5), (9, 2.0)])
def test_width_of_normalized_strokes(pen, expected):
    """A stroke of `pen` pixels and 180 long would be w = pen / 9 wide, and counts as 20 w / (20 + w), for its ends.

    What that is over 3.6 pixels is taken off it, and what is missing to 2.2 put on it, in steps of half a pixel.
    """
    picture = Image.new("L", (240, 240))
    picture.paste(255, (100, 30, 100 + pen, 210))
    widths = (np.asarray(normalize_strokes(picture)) > 127)[40:60].sum(axis=1) / 4
    assert abs(widths.mean() - expected) <= 0.13
