"""Files that somebody else made: of every kind, damaged, huge, and none at all."""

from __future__ import annotations

import contextlib
import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageChops, ImageOps

from digits.reading.picture import PICTURE_SIZE, decode_picture, read_picture, remove_transparency
from tests.fuzz import fuzz
from tests.helpers import draw_four, draw_three, encode, read_picture_of, run_predict


def huge_png(width: int, height: int) -> bytes:
    """Return a PNG of one bit a pixel, all black, packed as it is made, so that no memory is needed for it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_bad_pictures(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    png, jpeg = encode(draw_four(), "PNG"), encode(draw_four(), "JPEG")
    stripes = Image.linear_gradient("L").resize((1, 60)).point([value % 40 * 6 for value in range(256)])
    cases = {
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
    for name, (data, _) in cases.items():
        Path(name).write_bytes(data)
    cases = {**cases, "missing.png": (b"", "no such file; check its name"), "x" * 300: (b"", "cannot be read (")}
    assert run_predict(monkeypatch, "--no-plot", *cases) == 1
    output, error = capsys.readouterr()
    assert output == "" and error.count("\n") == len(cases)
    for line, (name, (_, part)) in zip(error.splitlines(), cases.items()):
        assert line.startswith(f"predict_CNN.py: error: {name}: ") and part in line
    with pytest.raises(IsADirectoryError, match="no pictures in this folder"):
        read_picture(tmp_path)


@pytest.mark.parametrize("exif", [b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", b"nonsense"])
def test_damaged_exif_does_not_hide_the_picture(exif):
    assert decode_picture(io.BytesIO(encode(draw_four(), "JPEG", exif=exif))).size == (160, 160)


def test_large_photo_is_reduced_while_it_is_decoded():
    photo = draw_four().resize((9000, 9000))  # 81 million pixels, more than are decoded in full
    picture = decode_picture(io.BytesIO(encode(photo, "JPEG")))
    assert max(picture.size) == PICTURE_SIZE


@pytest.mark.slow
def test_mutated_pictures():
    outcomes, failures = fuzz("pictures", 800)
    assert failures == [] and outcomes["read"] > 50 and outcomes["the picture is damaged"] > 50


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
def test_any_kind_of_file_is_read(way, tmp_path, shipped_model, shipped_finder):
    file_type, picture = make_pictures()[way]
    exif = Image.Exif()
    if way == "turned by the phone":
        exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise
    picture.save(tmp_path / f"three{file_type}", exif=exif)

    picture = read_picture(tmp_path / f"three{file_type}")
    assert picture.mode == "RGB" and max(picture.size) <= PICTURE_SIZE
    assert read_picture_of(shipped_finder, shipped_model, picture) == "3"


@pytest.mark.parametrize(
    "hidden, ink, paper", [(255, 60, 255), (0, 60, 255), (0, 250, 0), (255, 250, 0), (90, 190, 255)]
)
def test_paper_under_what_is_transparent(hidden, ink, paper):
    """White under dark ink and black under light ink, whatever colour the transparent pixels hide."""
    picture = Image.new("RGBA", (50, 50), (hidden, hidden, hidden, 0))
    picture.paste((ink, ink, ink, 255), (20, 10, 30, 40))
    laid = np.asarray(remove_transparency(picture))
    assert laid.shape == (50, 50, 3)
    assert (laid[0, 0] == paper).all() and (laid[20, 25] == ink).all()


@pytest.mark.slow
def test_most_pixels():
    decode_picture(io.BytesIO(huge_png(10_000, 5000)))
    with pytest.raises(ValueError, match="more than 50 million pixels; make the picture smaller"):
        decode_picture(io.BytesIO(huge_png(10_001, 5000)))


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n%%EOF\n"


def test_no_other_program_is_started(tmp_path, monkeypatch, capsys):
    """Not for a path, a folder, or a picture that Pillow has opened elsewhere."""
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: started.append(True))
    names = [str(tmp_path / name) for name in ("digit.png", "digit.eps")]
    for name in names:
        Path(name).write_bytes(EPS)
    assert run_predict(monkeypatch, "--no-plot", *names, tmp_path) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3 and all("digit.png: not a picture" in line for line in (lines[0], lines[2]))
    with Image.open(io.BytesIO(EPS)) as opened:
        assert opened.format == "EPS"
        with pytest.raises(ValueError, match="not a picture that can be read"):
            read_picture(opened)
    assert not started
    with Image.open(io.BytesIO(EPS)) as opened, contextlib.suppress(Exception):
        opened.load()
    assert started  # so the trap works


def test_no_other_decoder_sees_a_file(monkeypatch):
    """Pillow tries one format after the other, and what a decoder of a further one would do is not known."""
    tried = []
    Image.init()
    monkeypatch.setattr(Image, "ID", [*Image.ID, "ODD"])
    monkeypatch.setitem(Image.OPEN, "ODD", (None, lambda prefix: tried.append(prefix) or False))
    with pytest.raises(ValueError, match="not a picture that can be read"):
        decode_picture(io.BytesIO(b"odd bytes of an odd file"))
    assert not tried


def test_an_opened_picture_is_read_as_its_file(tmp_path):
    """Orientation, transparency, depth and size are handled alike, and the picture is left as it was."""
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = ImageOps.invert(draw_three()).transpose(Image.Transpose.ROTATE_90).resize((1080, 1440))
    turned.save(tmp_path / "phone.png", exif=exif)
    make_pictures()["light on transparent"][1].save(tmp_path / "alpha.png")
    make_pictures()["16 bits"][1].save(tmp_path / "deep.png")
    for name in ("phone.png", "alpha.png", "deep.png"):
        expected = read_picture(tmp_path / name)
        with Image.open(tmp_path / name) as opened:
            before = (opened.mode, opened.size, opened.tobytes())
            picture = read_picture(opened)
            assert (opened.mode, opened.size, opened.tobytes()) == before
        assert picture.mode == "RGB" and picture == expected and picture.width > picture.height
    with pytest.raises(ValueError, match="the picture is damaged"):
        read_picture(Image.open(io.BytesIO(encode(draw_four(), "PNG")[:500])))
    with pytest.raises(ValueError, match="more than 50 million pixels"):
        read_picture(Image.open(io.BytesIO(huge_png(12_000, 5000))))


def test_alpha_that_is_0_everywhere_is_ignored():
    """As in bitmaps from the clipboard of Windows."""
    picture = ImageOps.invert(draw_three()).convert("RGBA")
    picture.putalpha(0)
    assert read_picture(picture) == ImageOps.invert(draw_three()).convert("RGB")


@pytest.mark.parametrize("file_type", ["GIF", "TIFF", "WEBP", "PNG", "MPO"])
def test_first_of_several_frames(file_type, tmp_path, capsys):
    """The further pictures in the MPO of a phone are the same, smaller or of the other eye: no warning."""
    first, second = (ImageOps.invert(picture).convert("RGB") for picture in (draw_three(), draw_three().rotate(180)))
    path = tmp_path / f"frames.{file_type.lower()}"
    first.save(path, file_type, save_all=True, append_images=[second])
    difference = np.abs(np.asarray(read_picture(path)).astype(float) - np.asarray(first)).mean()
    line = f"warning: {path}: of several frames or pages only one is read\n"
    error = capsys.readouterr().err
    assert difference < (5 if file_type in ("WEBP", "MPO") else 1)  # the others lose nothing
    assert error == "" if file_type == "MPO" else error.endswith(line)
    first.save(path, file_type)
    read_picture(path)
    assert capsys.readouterr().err == ""


def test_floats_of_any_size(tmp_path):
    """Their differences are numbers too: no warning of an overflow, which the tests would take for an error."""
    values = np.where(np.asarray(draw_three()) > 127, np.float32(-3e38), np.float32(3e38))
    Image.fromarray(values).save(tmp_path / "floats.tif")
    assert np.unique(np.asarray(read_picture(tmp_path / "floats.tif"))).tolist() == [0, 255]
