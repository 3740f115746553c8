"""Pictures as people bring them, drawn here so that the right answer is known, read with the shipped weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from conftest import PROJECT_DIR
from generated_digits import STROKES, draw_digit
from PIL import Image, ImageChops, ImageOps

from model import MODEL_PATH, load_weights, predict_logits
from predict_CNN import prepare, read_picture


@pytest.fixture(scope="module")
def model():
    return load_weights(MODEL_PATH)


def draw_three() -> Image.Image:
    """Return a 3, white on black, off centre (mode L)."""
    return draw_digit(3, (240, 180), (130, 30, 200, 140), pen=9)


def make_pictures() -> dict[str, tuple[str, Image.Image]]:
    """Return the 3 in many sizes, colour modes and polarities, each with the file type to save it as."""
    light, dark = draw_three(), ImageOps.invert(draw_three())
    orange_on_blue = ImageOps.colorize(light, black="darkblue", white="orange")
    transparent = Image.new("LA", dark.size, 0)  # black everywhere, and only the digit is there to see
    transparent.putalpha(light)
    return {
        "light on dark": (".png", light),
        "dark on light": (".jpg", dark),
        "gray on gray": (".png", dark.point(lambda value: 90 + value // 4)),
        "colours": (".png", orange_on_blue),
        "CMYK": (".jpg", dark.convert("RGB").convert("CMYK")),
        "palette": (".gif", orange_on_blue.quantize(16)),
        "1 bit": (".bmp", dark.convert("1", dither=Image.Dither.NONE)),
        "16 bits": (".png", Image.fromarray(np.asarray(dark).astype(np.uint16) * 200)),
        "32 bits": (".tif", Image.fromarray(np.asarray(dark).astype(np.int32) * 70000)),
        "floats": (".tif", Image.fromarray(np.asarray(light).astype(np.float32) / 255)),
        "transparent gray": (".png", transparent),
        "transparent": (".png", transparent.convert("RGBA")),
        "large": (".jpg", dark.resize((2400, 1800))),
        "small": (".png", dark.resize((60, 45), Image.Resampling.BOX)),
        "elsewhere": (".webp", ImageOps.expand(ImageChops.offset(dark, -100, 20), (10, 90, 200, 0), 255)),
        "turned by the phone": (".jpg", dark.transpose(Image.Transpose.ROTATE_90)),
    }


@pytest.mark.parametrize("way", make_pictures())
def test_any_kind_of_picture_gives_the_same_image(way, tmp_path, model):
    file_type, picture = make_pictures()[way]
    exif = Image.Exif()
    if way == "turned by the phone":
        exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to see it upright
    picture.save(tmp_path / f"three{file_type}", exif=exif)

    image = prepare(read_picture(tmp_path / f"three{file_type}"))
    expected = prepare(draw_three())
    assert image.shape == (28, 28) and image.dtype == np.uint8
    assert np.abs(image.astype(float) - expected).sum() / expected.sum() < 0.25
    assert predict_logits(model, torch.from_numpy(image)[None, None]).argmax() == 3


@pytest.mark.parametrize("size", [(20, 28), (60, 90), (300, 200)])
def test_the_form_of_mnist(size):
    """The longer side is 20 pixels, the aspect is kept, the centre of mass is in the middle, black is black."""
    width, height = size
    picture = Image.new("L", (width + 40, height + 30), 255)
    picture.paste(60, (25, 10, 25 + width, 10 + height))
    image = prepare(picture)
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    scale = 20 / max(size)
    assert len(columns) == round(width * scale) and len(rows) == round(height * scale)
    assert image.max() == 255 and image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].min() == 255
    assert abs(rows.mean() - 13.5) <= 0.5 and abs(columns.mean() - 13.5) <= 0.5


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
def test_drawn_digits_are_read(digit, invert, model):
    picture = draw_digit(digit, (150, 200), (40, 50, 110, 160), pen=9)
    image = prepare(ImageOps.invert(picture) if invert else picture)
    assert predict_logits(model, torch.from_numpy(image)[None, None]).argmax() == digit


def test_the_shipped_picture_from_anywhere(run_script, tmp_path):
    result = run_script("predict_CNN.py", "--no-plot", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("handwritten_digit.png: Digit 8 (") and result.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_figures_of_many_pictures(run_script, tmp_path):
    names = [f"a $ digit_{number}.png" for number in range(31)]
    for name in names:
        draw_three().save(tmp_path / name)
    result = run_script("predict_CNN.py", *names, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    answers, saved = result.stdout.splitlines()[:31], result.stdout.splitlines()[31:]
    assert all(line.startswith(f"{name}: Digit 3 (") for name, line in zip(names, answers))
    assert saved == [f"Figure saved to prediction_{page}.png" for page in range(1, 8)]
    for page, size in ((1, (900, 1500)), (7, (900, 300))):
        with Image.open(tmp_path / f"prediction_{page}.png") as figure:
            assert figure.size == size


def test_a_bad_picture_does_not_stop_the_others(run_script, tmp_path):
    Image.new("L", (50, 50), 200).save(tmp_path / "blank.png")
    (tmp_path / "text.png").write_text("no picture")
    arguments = ("missing.png", "blank.png", "text.png", PROJECT_DIR / "handwritten_digit.png")
    result = run_script("predict_CNN.py", *arguments, "--no-plot", cwd=tmp_path)
    assert result.returncode == 1
    assert "handwritten_digit.png: Digit 8" in result.stdout
    missing, blank, text = result.stderr.splitlines()
    assert missing.startswith("predict_CNN.py: error: missing.png: no such file")
    assert blank == "predict_CNN.py: error: blank.png: no digit found"
    assert text.startswith("predict_CNN.py: error: text.png: not a picture")
