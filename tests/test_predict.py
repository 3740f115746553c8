"""Pictures as people bring them, drawn here so that the right answer is known, read with the shipped weights."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from conftest import PROJECT_DIR
from generated_digits import STROKES, draw_digit
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

import predict_CNN
from model import MODEL_PATH, load_weights, predict_logits
from picture import label_parts, otsu_threshold, prepare, read_picture
from predict_CNN import format_answer


@pytest.fixture(scope="module")
def model():
    return load_weights(MODEL_PATH)


def draw_three() -> Image.Image:
    """Return a 3, white on black, off centre (mode L)."""
    return draw_digit(3, (240, 180), (130, 30, 200, 140), pen=9)


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


def make_pictures() -> dict[str, tuple[str, Image.Image]]:
    """Return the 3 in many sizes, colour modes and polarities, each with the file type to save it as."""
    light, dark = draw_three(), ImageOps.invert(draw_three())
    orange_on_blue = ImageOps.colorize(light, black="darkblue", white="orange")
    transparent = Image.new("LA", dark.size, 0)  # black everywhere, and only the digit is there to see
    transparent.putalpha(light)
    light_on_transparent = Image.new("LA", dark.size, 255)
    light_on_transparent.putalpha(light)
    red_on_brown = ImageOps.colorize(light, black=(110, 98, 72), white=(200, 40, 40))  # of about the same brightness
    return {
        "light on dark": (".png", light),
        "dark on light": (".jpg", dark),
        "gray on gray": (".png", dark.point(lambda value: 90 + value // 4)),
        "colours": (".png", orange_on_blue),
        "colours of one brightness": (".png", red_on_brown),
        "CMYK": (".jpg", dark.convert("RGB").convert("CMYK")),
        "palette": (".gif", orange_on_blue.quantize(16)),
        "1 bit": (".bmp", dark.convert("1", dither=Image.Dither.NONE)),
        "16 bits": (".png", Image.fromarray(np.asarray(dark).astype(np.uint16) * 200)),
        "32 bits": (".tif", Image.fromarray(np.asarray(dark).astype(np.int32) * 70000)),
        "floats": (".tif", Image.fromarray(np.asarray(light).astype(np.float32) / 255)),
        "transparent gray": (".png", transparent),
        "transparent": (".png", transparent.convert("RGBA")),
        "light on transparent": (".png", light_on_transparent),
        "shadow": (".png", darken(dark.convert("RGB"))),
        "hard shadow": (".png", cast_hard_shadow(dark)),
        "table": (".jpg", lay_on_table(dark.convert("RGB"))),
        "grain": (".png", add_grain(dark)),
        "blurred": (".png", dark.filter(ImageFilter.GaussianBlur(3))),
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
def test_drawn_digits_are_read(digit, invert, model):
    picture = draw_digit(digit, (150, 200), (40, 50, 110, 160), pen=9)
    image = prepare(ImageOps.invert(picture) if invert else picture)
    assert predict_logits(model, torch.from_numpy(image)[None, None]).argmax() == digit


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


def test_table_with_more_ink_than_the_digit():
    picture = ImageOps.invert(draw_digit(3, (240, 180), (130, 30, 200, 140), pen=4))
    expected = prepare(picture).astype(float)
    ImageDraw.Draw(picture).polygon([(0, 0), (30, 0), (25, 180), (0, 180)], fill=15)
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
def test_thin_and_thick_digits_are_read(digit, pen, model):
    image = prepare(draw_digit(digit, (200, 220), (50, 40, 150, 180), pen=pen))
    assert predict_logits(model, torch.from_numpy(image)[None, None]).argmax() == digit


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
            prepare(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
            found.append(kind)
        except ValueError as error:
            assert str(error) == "no digit found"
    assert found == []


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


def test_otsu_threshold():
    """Against all thresholds tried one by one, by the definition: least variance within the two groups."""
    values = np.random.default_rng(0).normal(size=1000) + np.repeat([0, 5], (700, 300))
    threshold = otsu_threshold(values)

    def variance_within(limit: float) -> float:
        return sum(group.size * group.var() for group in (values[values <= limit], values[values > limit]))

    best = min(variance_within(limit) for limit in np.linspace(values.min(), values.max(), 500)[1:-1])
    assert variance_within(threshold) < 1.02 * best
    assert 0.3 < otsu_threshold(np.array([0.0, 0, 0, 1, 1])) < 0.7


def test_answers():
    row = np.full(10, 0.0)
    row[8], row[3] = 0.9998, 0.0002
    assert format_answer(row) == "Digit 8 (99.98 %)"
    row[8], row[3] = 0.374, 0.5812
    assert format_answer(row) == "Digit 3 (58.12 %), perhaps 8 (37.40 %)"


def test_the_shipped_picture_from_anywhere(run_script, tmp_path):
    result = run_script("predict_CNN.py", "--no-plot", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("handwritten_digit.png: Digit 8 (") and result.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_figures_of_many_pictures(run_script, tmp_path):
    names = [f"a $ digit_{number}.png" for number in range(6)]
    for name in names:
        draw_three().save(tmp_path / name)
    result = run_script("predict_CNN.py", *names, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    answers, saved = result.stdout.splitlines()[:6], result.stdout.splitlines()[6:]
    assert all(line.startswith(f"{name}: Digit 3 (") for name, line in zip(names, answers))
    assert saved == [f"Figure saved to prediction_{page}.png" for page in (1, 2)]
    for page, size in ((1, (900, 1500)), (2, (900, 300))):
        with Image.open(tmp_path / f"prediction_{page}.png") as figure:
            assert figure.size == size


def test_folders(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine" / "more").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("b.png", "a.JPG", "more/c.gif"):
        ImageOps.invert(draw_three()).save(tmp_path / "mine" / name)
    (tmp_path / "mine" / "notes.txt").write_text("no picture")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["predict_CNN.py", "mine", "empty", "--no-plot"])
    assert predict_CNN.main() == 1
    output, error = capsys.readouterr()
    names = [line.split(":")[0].replace("\\", "/") for line in output.splitlines()]
    assert names == ["mine/a.JPG", "mine/b.png", "mine/more/c.gif"]
    assert error == "predict_CNN.py: error: empty: no pictures in this folder\n"


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
