"""Files that somebody else made: of every kind, damaged, huge, and none at all."""

from __future__ import annotations

import builtins
import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import prepare, read_digit, run_predict
from fuzz_pictures import fuzz
from generated_digits import draw_four, draw_three, encode
from PIL import Image, ImageChops, ImageOps

from digits.picture import PICTURE_SIZE, decode_picture, lay_on_paper, read_picture


def huge_png(width: int, height: int) -> bytes:
    """Return a whole PNG of one bit a pixel, all black, packed as it is made, so that no memory is needed for it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def bad_pictures() -> dict[str, tuple[bytes, str]]:
    """Return the bytes of files by their names, and a part of what is said about each."""
    four = draw_four()
    png, jpeg = encode(four, "PNG"), encode(four, "JPEG")
    stripes = Image.linear_gradient("L").resize((1, 60)).point([value % 40 * 6 for value in range(256)])
    return {
        "empty.png": (b"", "not a picture"),
        "text.png": (b"no picture at all", "not a picture"),
        "half.png": (png[: len(png) // 2], "damaged"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "damaged"),
        "dot.png": (encode(Image.new("L", (1, 1)), "PNG"), "no digit found"),
        "stripes.png": (encode(stripes, "PNG"), "no digit found"),
        "line.png": (encode(Image.new("L", (1, 5000), 255), "PNG"), "no digit found"),
        "row.png": (encode(Image.new("L", (5000, 1), 255), "PNG"), "no digit found"),
        "huge.png": (huge_png(30_000, 30_000), "50 million pixels"),
        "large.png": (huge_png(12_000, 10_000), "50 million pixels"),
    }


def test_bad_pictures(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    cases = bad_pictures()
    for name, (data, _) in cases.items():
        Path(name).write_bytes(data)
    assert run_predict(monkeypatch, "--no-plot", *cases, "missing.png") == 1
    output, error = capsys.readouterr()
    assert output == ""
    lines = error.splitlines()
    assert len(lines) == len(cases) + 1
    for line, (name, (_, part)) in zip(lines, cases.items()):
        assert line.startswith(f"predict_CNN.py: error: {name}: ") and part in line


def test_picture_without_permission(monkeypatch, capsys):
    def refuse(path, *arguments):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(builtins, "open", refuse)  # as for a user other than root
    assert run_predict(monkeypatch, "--no-plot", "secret.png") == 1
    assert "secret.png: " in (error := capsys.readouterr().err) and "Permission denied" in error
    assert error.count("\n") == 1


def test_damaged_exif_does_not_hide_the_picture(tmp_path):
    for exif in (
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(200),
        b"nonsense",
    ):
        picture = decode_picture(io.BytesIO(encode(draw_four(), "JPEG", exif=exif)))
        assert picture.size == (160, 160)


def test_large_photo_is_reduced_while_it_is_decoded():
    photo = draw_four().resize((9000, 9000))  # 81 million pixels, more than are decoded whole
    picture = decode_picture(io.BytesIO(encode(photo, "JPEG")))
    assert max(picture.size) == PICTURE_SIZE


def test_mutated_pictures():
    outcomes, failures = fuzz(800)
    assert failures == []
    assert outcomes["read"] > 50 and outcomes["the picture is damaged"] > 50 and sum(outcomes.values()) == 800


def make_pictures() -> dict[str, tuple[str, Image.Image]]:
    """Return a drawn 3 in many sizes, colour modes and polarities, each with the file type to save it as."""
    light, dark = draw_three(), ImageOps.invert(draw_three())
    orange_on_blue = ImageOps.colorize(light, black="darkblue", white="orange")
    transparent = Image.new("LA", dark.size, 60)  # dark everywhere, and only the digit is there to see
    transparent.putalpha(light)
    light_on_transparent = Image.new("LA", dark.size, 255)
    light_on_transparent.putalpha(light)
    not_numbers = np.asarray(light).astype(np.float32) / 255
    not_numbers[0, :3] = np.inf, -np.inf, np.nan
    return {
        "light on dark": (".png", light),
        "dark on light": (".jpg", dark),
        "colours": (".png", orange_on_blue),
        "CMYK": (".jpg", dark.convert("RGB").convert("CMYK")),
        "palette": (".gif", orange_on_blue.quantize(16)),
        "1 bit": (".bmp", dark.convert("1", dither=Image.Dither.NONE)),
        "16 bits": (".png", Image.fromarray(np.asarray(dark).astype(np.uint16) * 200)),
        "32 bits": (".tif", Image.fromarray(np.asarray(dark).astype(np.int32) * 70000)),
        "floats": (".tif", Image.fromarray(np.asarray(light).astype(np.float32) / 255 - 5)),
        "floats that are no numbers": (".tif", Image.fromarray(not_numbers)),
        "transparent gray": (".png", transparent),
        "transparent": (".png", transparent.convert("RGBA")),
        "transparent palette": (".png", transparent.convert("RGBA").quantize(16)),
        "light on transparent": (".png", light_on_transparent),
        "large": (".jpg", dark.resize((2400, 1800))),
        "small": (".png", dark.resize((60, 45), Image.Resampling.BOX)),
        "elsewhere": (".webp", ImageOps.expand(ImageChops.offset(dark, -100, 20), (10, 90, 200, 0), 255)),
        "turned by the phone": (".jpg", dark.transpose(Image.Transpose.ROTATE_90)),
    }


@pytest.mark.parametrize("way", make_pictures())
def test_any_kind_of_file_gives_the_same_image(way, tmp_path, shipped_model):
    file_type, picture = make_pictures()[way]
    exif = Image.Exif()
    if way == "turned by the phone":
        exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to see it upright
    picture.save(tmp_path / f"three{file_type}", exif=exif)

    picture = read_picture(tmp_path / f"three{file_type}")
    assert picture.mode == "RGB" and max(picture.size) <= PICTURE_SIZE
    image = prepare(picture)
    expected = prepare(draw_three())
    assert image.shape == (28, 28) and image.dtype == np.uint8
    assert np.abs(image.astype(float) - expected).sum() / expected.sum() < 0.25
    assert read_digit(shipped_model, image) == 3


def test_a_folder_is_no_picture(tmp_path):
    with pytest.raises(IsADirectoryError, match="no pictures in this folder"):
        read_picture(tmp_path)


@pytest.mark.parametrize(
    "hidden, ink, paper", [(255, 60, 255), (0, 60, 255), (0, 250, 0), (255, 250, 0), (90, 190, 255)]
)
def test_paper_under_what_is_transparent(hidden, ink, paper):
    """White under dark ink and black under light ink, whatever colour the transparent pixels hide."""
    picture = Image.new("RGBA", (50, 50), (hidden, hidden, hidden, 0))
    picture.paste((ink, ink, ink, 255), (20, 10, 30, 40))
    laid = np.asarray(lay_on_paper(picture))
    assert laid.shape == (50, 50, 3)
    assert (laid[0, 0] == paper).all() and (laid[20, 25] == ink).all()


@pytest.mark.parametrize("width, is_read", [(10_000, True), (10_001, False)])
def test_most_pixels(width, is_read):
    try:
        decode_picture(io.BytesIO(huge_png(width, 5000)))
    except ValueError as error:
        assert not is_read and str(error) == "more than 50 million pixels; make the picture smaller"
    else:
        assert is_read
