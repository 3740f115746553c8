"""What somebody wrote is found, whatever the paper shows beside it; where nothing is written, nothing is found."""

from __future__ import annotations

import io

import numpy as np
import pytest
from conftest import prepare, read_digit
from generated_digits import STROKES, draw_digit, draw_three
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from digits.reading.mnist_format import find_digits
from digits.reading.picture import decode_picture


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
    """As many as dots on a page."""
    picture = write_number(3, 0.7, 2)
    pencil = ImageDraw.Draw(picture)
    for x in range(12, 640, 64):
        for y in range(12, 480, 64):
            pencil.rectangle((x, y, x + 2, y + 2), fill=(110, 110, 110))
    digits = find_digits(picture)
    assert [read_digit(shipped_model, digit.image) for digit in digits] == [4, 0, 7, 2]


@pytest.mark.parametrize("size", [28, 60, 400])
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


@pytest.mark.parametrize("digit", STROKES)
def test_thin_strokes_in_low_light_are_read(digit, shipped_model):
    """The noise of single pixels is two fifths of what strokes differ from the paper, but there are many of them."""
    strokes = np.asarray(draw_digit(digit, (640, 480), (280, 180, 340, 280), pen=5)) / 255
    pixels = 45 * (1 - 0.6 * strokes) + np.random.default_rng(0).normal(0, 11, (480, 640))
    assert read_digit(shipped_model, prepare(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))) == digit


@pytest.mark.parametrize("pen", [24, 36])
@pytest.mark.parametrize("digit", STROKES)
def test_a_narrow_shadow_across_a_digit(digit, pen, shipped_model):
    """It is as wide as the strokes and hangs together with them, but they are darker."""
    y, x = np.mgrid[:480, :640]
    light = np.where((x - 0.6 * y > 150) & (x - 0.45 * y < 290), 0.5, 1)
    strokes = np.asarray(draw_digit(digit, (640, 480), (250, 120, 390, 360), pen=pen)) / 255
    pixels = 230 * (1 - 0.85 * strokes) * light + np.random.default_rng(0).normal(0, 3, (480, 640))
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))
    assert read_digit(shipped_model, prepare(picture)) == digit


def draw_no_digits() -> dict[str, np.ndarray]:
    """Return pictures (H, W) or (H, W, 3), 0..255, without a digit: blanks, gradients and noises of several kinds."""
    generator = np.random.default_rng(0)
    pictures = {"narrow wave": 128 + 100 * np.sin(6 * np.linspace(0, 1, 16))[np.newaxis].repeat(28, axis=0)}
    for size in (28, 64, 200, 400):
        shape = height, width = size, int(size * generator.uniform(0.7, 1.4))
        y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
        white_noise = generator.normal(size=shape)
        kinds = {
            "black": np.zeros(shape),
            "gray": np.full(shape, 128),
            "white": np.full(shape, 255),
            "red": np.full((*shape, 3), (200, 30, 30)),
            "gradient": 255 * x,
            "weak gradient": 100 + 60 * y,
            "diagonal gradient": 127 * (x + y),
            "coloured gradient": np.stack([255 * x, 255 * y, 128 + 0 * x], axis=2),
            "spot of light": 255 - 255 * np.hypot(x - 0.5, y - 0.5),
            "light from aside": 255 - 200 * np.hypot(x - 0.3, y - 0.6),
            "edge of a shadow": 255 / (1 + np.exp(-8 * (x - 0.5))),
            "faint line": 255 - 8 * ((abs(x - 0.5) < 0.05) & (abs(y - 0.5) < 0.3)),
            "waves": 128 + 100 * np.sin(6 * x),
            "paper": 245 + 4 * white_noise,
            "weak noise": 128 + 20 * white_noise,
            "strong noise": 128 + 60 * white_noise,
            "even noise": generator.uniform(0, 255, shape),
            "coloured noise": generator.uniform(0, 255, (*shape, 3)),
            "rare dots": np.where(generator.random(shape) < 0.02, 0, 255),
            "dots": np.where(generator.random(shape) < 0.1, 255, 0),
            "black or white": 255 * (generator.random(shape) < 0.5),
            "noise on a gradient": 255 * x + 10 * white_noise,
        }
        for radius in (1, 2, 4):
            noise = Image.fromarray(generator.uniform(0, 255, shape).astype(np.uint8))
            blurred = np.asarray(noise.filter(ImageFilter.GaussianBlur(radius)), dtype=float)
            kinds[f"noise blurred by {radius}"] = blurred
            kinds[f"strong noise blurred by {radius}"] = 128 + (blurred - blurred.mean()) * 50 / blurred.std()
        pictures.update({f"{kind}, {size}": picture for kind, picture in kinds.items()})
    return pictures


def test_no_digit_is_made_up():
    pictures = draw_no_digits()
    assert len(pictures) >= 100
    found = []
    for kind, pixels in pictures.items():
        try:
            find_digits(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
            found.append(kind)
        except ValueError as error:
            assert str(error) == "no digit found"
    assert found == []


@pytest.mark.parametrize("lines", ["ruled", "squared", "dotted", "shadow", "glare", "bright glare", "wedge"])
def test_empty_sheets(lines):
    pixels = np.full((480, 640), 235.0) + np.random.default_rng(0).normal(0, 3, (480, 640))
    y, x = np.mgrid[:480, :640]
    pixels[{"ruled": (y % 40) < 2, "squared": ((y % 40) < 2) | ((x % 40) < 2)}.get(lines, y < 0)] -= 70
    pixels[((y % 40) < 3) & ((x % 40) < 3) & (lines == "dotted")] -= 90
    pixels *= np.where((x + 0.3 * y > 400) & (lines == "shadow"), 0.6, 1)
    pixels *= np.where((x > 300) & (x < 240 + 0.5 * y) & (lines == "wedge"), 0.65, 1)  # of shadow
    pixels += (lines == "glare") * 60 * np.exp(-((x - 300) ** 2 + (y - 200) ** 2) / 5000)
    pixels += (lines == "bright glare") * (150 * np.exp(-((x - 400) ** 2 / 1.8 + (y - 200) ** 2) / 5000) - 55)
    with pytest.raises(ValueError, match="no digit found"):
        find_digits(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))


@pytest.mark.parametrize("ink_is_light", [False, True])
def test_crossing_shadows(ink_is_light, shipped_model):
    """Their corners look like strokes, light or dark, stronger than the pencil; only on a dark board is ink light."""
    y, x = np.mgrid[:480, :640]
    light = np.where(y > 240 + 0.35 * (x - 300), 0.45, 1) * np.where(x > 330 - 0.3 * (y - 240), 0.5, 1)
    strokes = np.asarray(draw_digit(3, (640, 480), (120, 60, 190, 160), pen=6)) / 255
    paper = 45 + 150 * strokes if ink_is_light else 235 * (1 - 0.45 * strokes)
    noise = np.random.default_rng(0).normal(0, 2, (480, 640))
    picture = Image.fromarray((paper * light + noise).clip(0, 255).astype(np.uint8))
    assert read_digit(shipped_model, prepare(picture.filter(ImageFilter.GaussianBlur(1)))) == 3


@pytest.mark.parametrize("pen", [9, 24, 30])
@pytest.mark.parametrize("ink_is_light", [False, True])
def test_ink_of_any_width_is_light_or_dark(pen, ink_is_light):
    """Thick strokes cover as much of their neighbourhood as the paper does."""
    picture = draw_digit(4, (200, 220), (50, 40, 150, 180), pen)
    left, top, right, bottom = find_digits(picture if ink_is_light else ImageOps.invert(picture))[0].box
    assert abs((right - left) - (70 + pen)) < 10 and abs((bottom - top) - (126 + pen)) < 10


@pytest.mark.parametrize("digit, pen", [(3, 45), (5, 60), (6, 55)])
def test_thick_strokes_in_low_light_are_not_hollow(digit, pen):
    """Through a window hardly wider than they are, their middle is taken for paper, here and there."""
    strokes = np.asarray(draw_digit(digit, (640, 480), (220, 100, 380, 360), pen)) / 255
    pixels = (60 * (1 - 0.9 * strokes))[..., np.newaxis].repeat(3, axis=2)
    noisy = pixels + np.random.default_rng(0).normal(0, 8, pixels.shape)
    expected, image = (prepare(Image.fromarray(p.clip(0, 255).astype(np.uint8))).astype(float) for p in (pixels, noisy))
    assert np.abs(image - expected).sum() < 0.05 * expected.sum()


@pytest.mark.parametrize("digit", [1, 3, 4])
def test_thick_strokes_on_dark_squares_are_not_hollow(digit, shipped_model):
    """Through the smaller windows only pieces of them are seen, the same through more than one."""
    y, x = np.mgrid[:480, :640]
    strokes = np.asarray(draw_digit(digit, (640, 480), (230, 110, 390, 370), pen=60)) / 255
    lines = ((x + 0.03 * y) % 60 < 3) | ((y - 0.03 * x) % 60 < 3)
    pixels = 240 * (1 - 0.75 * lines) * (1 - 0.92 * strokes) + np.random.default_rng(0).normal(0, 3, (480, 640))
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8))
    assert read_digit(shipped_model, prepare(picture)) == digit


def test_slivers_along_a_line_are_no_digit():
    """Where a printed line is a little wider than elsewhere, less than a stroke's width of it may stay."""
    pixels = np.full((480, 640), 235.0) + np.random.default_rng(0).normal(0, 2, (480, 640))
    pixels[200:205] = pixels[400:405] = pixels[:, 300:305] = 80
    pixels[320:345, 305:307] = 80
    with pytest.raises(ValueError, match="no digit found"):
        find_digits(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
