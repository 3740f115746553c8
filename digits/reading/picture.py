"""A picture that somebody brings, a file or one that Pillow has opened, turned as EXIF asks, in colour."""

from __future__ import annotations

import contextlib
import glob
import itertools
import os
import warnings
from pathlib import Path
from typing import BinaryIO, Iterator, Sequence

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from digits.command_line import FIGURES_DIR, print_warning

# Raster formats, all of which Pillow decodes itself. Others, such as EPS, it hands to another program.
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")
MAX_PIXELS = 50_000_000  # largest number of pixels that are decoded; a JPEG is reduced meanwhile and may have more
PICTURE_SIZE = 1280  # pixels of the longer side; larger pictures are reduced

NO_PICTURE = "not a picture that can be read; save it as PNG or JPEG"
TOO_LARGE = f"more than {MAX_PIXELS // 10**6} million pixels; make the picture smaller"
DAMAGED = "the picture is damaged; save it anew as PNG or JPEG"


def find_pictures(names: Sequence[str | Path], folder: Path, figures_dir: Path) -> list[tuple[str, Path]]:
    """Return the names and paths of the pictures that `names` stand for, relative to `folder`.

    Each may be a file, a folder, which stands for the pictures in it and below, or a pattern such as `*.png`, which
    Windows leaves to programs. In folders, hidden files and the figures in `figures_dir` are passed over. A name of
    nothing is returned as it is, for read_picture() to report why.
    """
    found: list[tuple[str, Path]] = []
    for name in map(str, names):
        matches = [] if os.path.exists(folder / name) else sorted(glob.glob(str(folder / name)))
        for match in matches or [str(folder / name)]:
            shown = match if matches else name
            pictures = _pictures_below(Path(match), figures_dir) if os.path.isdir(match) else []
            found += [(str(Path(shown, path.relative_to(match))), path) for path in pictures] or [(shown, Path(match))]
    return found


def _pictures_below(top: Path, figures_dir: Path) -> list[Path]:
    Image.init()
    suffixes = {suffix for suffix, format_name in Image.EXTENSION.items() if format_name in FORMATS}
    figures_dir, found = figures_dir.resolve(), []
    for path in sorted(top.rglob("*")):
        parts = path.relative_to(top).parts
        is_figure = parts[0] == FIGURES_DIR.name or figures_dir in path.resolve().parents
        is_hidden = any(part.startswith(".") for part in parts)
        if path.suffix.lower() in suffixes and path.is_file() and not is_figure and not is_hidden:
            found.append(path)
    return found


def figure_paths(folder: Path, pictures: list[Path]) -> Iterator[Path]:
    """Yield prediction_1.png, prediction_2.png, ... in `folder`, but none of the files that are read as pictures."""
    read = {path.resolve() for path in pictures}
    for number in itertools.count(1):
        path = folder / f"prediction_{number}.png"
        if path.resolve() not in read:
            yield path


def read_picture(source: str | Path | Image.Image) -> Image.Image:
    """Return the picture in a file, or one that Pillow has opened, in mode RGB, at most PICTURE_SIZE large.

    It is turned as its EXIF data ask, and transparent pixels become background. Of several frames or pages one is read,
    the first of a file. Raises OSError when there is no such file or it cannot be read, and ValueError when it is too
    large, damaged or no picture.
    """
    if isinstance(source, Image.Image):
        return _decode(source, getattr(source, "filename", "") or "picture")
    if os.path.isdir(source):
        raise IsADirectoryError("no pictures in this folder")
    try:
        file = open(source, "rb")  # noqa: SIM115
    except FileNotFoundError:
        raise FileNotFoundError("no such file; check its name and its folder") from None
    except OSError as error:
        raise OSError(f"cannot be read ({error.strerror})") from None
    with file:
        return decode_picture(file, str(source))


def decode_picture(file: BinaryIO, name: str = "picture") -> Image.Image:
    """Return the picture in an open file, called `name` in warnings, as read_picture() does; the same ValueErrors."""
    Image.init()
    try:
        with _ignore_warnings():
            picture = Image.open(file, formats=[format_ for format_ in FORMATS if format_ in Image.OPEN])
            picture.draft(None, (PICTURE_SIZE, PICTURE_SIZE))
    except UnidentifiedImageError:
        raise ValueError(NO_PICTURE) from None
    except Image.DecompressionBombError:
        raise ValueError(TOO_LARGE) from None
    except Exception as error:  # a stranger's bytes can make Pillow raise anything
        raise ValueError(DAMAGED) from error
    return _decode(picture, name)


def _decode(picture: Image.Image, name: str) -> Image.Image:
    """Return an opened picture, decoded or not, as read_picture() does. It is left as it was, but decoded."""
    if picture.format not in (None, *FORMATS):
        raise ValueError(NO_PICTURE)
    if picture.width * picture.height > MAX_PIXELS:
        raise ValueError(TOO_LARGE)
    try:
        with _ignore_warnings():
            picture.load()
            has_frames = getattr(picture, "is_animated", False) and picture.format != "MPO"  # the same, smaller
            # Phones record how they were held instead of turning the picture. A damaged record does no harm.
            with contextlib.suppress(Exception):
                picture = ImageOps.exif_transpose(picture)
            if picture.mode[0] not in "IF":
                picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    except Exception as error:
        raise ValueError(DAMAGED) from error
    if has_frames:
        print_warning(f"{name}: of several frames or pages only one is read")
    if picture.mode[0] in "IF":  # 16 or 32 bits a pixel, which Pillow would clip at 255
        values = np.nan_to_num(np.asarray(picture, dtype=np.float32), posinf=0, neginf=0).clip(-1e30, 1e30)
        values = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
        picture = Image.fromarray((255 * values).astype(np.uint8)).convert("RGB")
    picture.thumbnail((PICTURE_SIZE, PICTURE_SIZE))
    return remove_transparency(picture) if picture.mode == "RGBA" else picture


@contextlib.contextmanager
def _ignore_warnings() -> Iterator[None]:
    """Ignore Pillow's warnings about oddities of a file, which is either decoded or refused."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def remove_transparency(picture: Image.Image) -> Image.Image:
    """Return a picture (mode RGBA) in mode RGB: on white, or on black where what can be seen is light.

    Alpha that is 0 everywhere carries no information, as in bitmaps from the clipboard of Windows, and is ignored.
    """
    pixels = np.asarray(picture, dtype=np.float32)
    alpha = pixels[..., 3]
    if not alpha.any():
        return picture.convert("RGB")
    brightness = (pixels[..., :3].mean(axis=2) * alpha).sum() / alpha.sum()
    background = Image.new("RGBA", picture.size, "black" if alpha.min() < 128 and brightness > 200 else "white")
    return Image.alpha_composite(background, picture).convert("RGB")
