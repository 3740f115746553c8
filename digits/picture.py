"""Opens a file that somebody else made, of whatever kind, as an upright picture in colour."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 50_000_000  # of a picture that is decoded whole; a JPEG is reduced while it is decoded and may be larger
PICTURE_SIZE = 640  # pixels; larger pictures are reduced to it, which also smooths the grain of the paper


def find_pictures(names: list[str], folder: Path) -> list[tuple[str, Path]]:
    """Return the names and paths of the pictures that `names` name in `folder`; a folder stands for all in it."""
    suffixes = Image.registered_extensions()
    found: list[tuple[str, Path]] = []
    for name in names:
        top = folder / name
        paths = sorted(path for path in top.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
        found += [(str(Path(name, path.relative_to(top))), path) for path in paths] or [(str(Path(name)), top)]
    return found


def read_picture(path: str | Path) -> Image.Image:
    """Return the picture in a file, in colour (mode RGB), upright, at most PICTURE_SIZE wide and high.

    Raises OSError when there is no such file or it cannot be read, and ValueError when it is too large, damaged or no
    picture.
    """
    if Path(path).is_dir():
        raise IsADirectoryError("no pictures in this folder")
    try:
        file = open(path, "rb")  # noqa: SIM115
    except FileNotFoundError:
        raise FileNotFoundError("no such file; check its name and its folder") from None
    with file:
        return decode_picture(file)


def decode_picture(file: BinaryIO) -> Image.Image:
    """Return the picture in an open file as `read_picture` does, with the same ValueErrors."""
    try:
        picture = _decode(file)
    except UnidentifiedImageError:
        raise ValueError("not a picture that can be read; save it as PNG or JPEG") from None
    except Image.DecompressionBombError:
        raise ValueError(f"more than {MAX_PIXELS // 10**6} million pixels; make the picture smaller") from None
    except Exception as error:  # a stranger's bytes can make Pillow raise anything
        raise ValueError("the picture is damaged; save it anew as PNG or JPEG") from error
    return simplify_picture(picture)


def simplify_picture(picture: Image.Image) -> Image.Image:
    """Return a picture of any mode in mode RGB, laid on paper where it is transparent, at most PICTURE_SIZE large."""
    if picture.mode[0] in "IF":  # 16 or 32 bits a pixel, which Pillow would cut off at 255
        values = np.nan_to_num(np.asarray(picture, dtype=np.float32), posinf=0, neginf=0)
        values = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
        picture = Image.fromarray((255 * values).astype(np.uint8))
    picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    picture.thumbnail((PICTURE_SIZE, PICTURE_SIZE))
    return lay_on_paper(picture) if picture.mode == "RGBA" else picture


def _decode(file: BinaryIO) -> Image.Image:
    """Return what Pillow makes of a file, upright, in mode RGB, RGBA, or one of I and F; raises what Pillow raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about oddities of a file that is read all the same
        picture = Image.open(file)
        picture.draft(None, (PICTURE_SIZE, PICTURE_SIZE))
        if picture.width * picture.height > MAX_PIXELS:
            raise Image.DecompressionBombError
        picture.load()
        # Phones note how they were held instead of turning the picture. A damaged note need not mean a damaged picture.
        with contextlib.suppress(Exception):
            picture = ImageOps.exif_transpose(picture)
        # Conversion may meet damage as well.
        return (
            picture if picture.mode[0] in "IF" else picture.convert("RGBA" if picture.has_transparency_data else "RGB")
        )


def lay_on_paper(picture: Image.Image) -> Image.Image:
    """Return a picture (mode RGBA) without its transparency: on white, or on black where the ink on it is light."""
    pixels = np.asarray(picture, dtype=np.float32)
    alpha = pixels[..., 3]
    brightness = (pixels[..., :3].mean(axis=2) * alpha).sum() / max(float(alpha.sum()), 1.0)
    paper = Image.new("RGBA", picture.size, "black" if alpha.min() < 128 and brightness > 200 else "white")
    return Image.alpha_composite(paper, picture).convert("RGB")
