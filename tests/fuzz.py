"""Mutated copies of good pictures and weights: each is read, or refused with one of a few errors, in good time.

Every second file of weights is mutated as a file, which its checksums give away; the others inside, with checksums
that fit. The tests run a short slice of it.
All of it: python -m tests.fuzz pictures 10000, and python -m tests.fuzz weights 10000
"""

from __future__ import annotations

import collections
import io
import random
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from pathlib import Path

import torch
from PIL import Image

from digits.reading.digits import find_digits
from digits.reading.picture import decode_picture
from digits.weights import load_finder, load_weights
from model import CNN
from tests.helpers import draw_digit, encode

FORMATS = {  # and the modes that each is saved in
    "PNG": ("L", "RGB", "RGBA", "LA", "P", "1", "I;16"),
    "JPEG": ("L", "RGB", "CMYK"),
    "GIF": ("P", "L"),
    "BMP": ("RGB", "1", "P"),
    "TIFF": ("L", "RGB", "RGBA", "CMYK", "1", "F", "I;16"),
    "WEBP": ("RGB", "RGBA"),
    "PPM": ("L", "RGB", "1"),
    "JPEG2000": ("L", "RGB"),
    "MPO": ("L", "RGB"),
    "EPS": ("L", "RGB"),  # which is refused, before Pillow hands it to Ghostscript
}
OUTCOMES = (
    *("read", "no digit found", "not a picture", "the picture is damaged", "more than 50 million pixels"),
    *("is damaged or does not hold the weights", "was saved by a PyTorch older", "is from another version"),
)
TIME_LIMIT = 5  # seconds a file


def make_pictures() -> list[bytes]:
    """Return the bytes of good pictures, one of each format and mode, some with an orientation."""
    picture = draw_digit(3, (60, 50), (15, 8, 45, 42), pen=4)
    exif = Image.Exif()
    exif[0x0112] = 6
    pictures = []
    for file_type, modes in FORMATS.items():
        for mode in modes:
            converted = picture.convert("I").convert("I;16") if mode == "I;16" else picture.convert(mode)
            options = {"exif": exif} if file_type in ("PNG", "JPEG", "TIFF", "WEBP") else {}
            pictures.append(encode(converted, file_type, **options))
    return pictures


def mutate(data: bytes, generator: random.Random) -> bytes:
    """Return a copy of `data` with some bytes changed, cut out, doubled or cut off."""
    changed = bytearray(data)
    for _ in range(generator.choice((1, 1, 2, 5, 20))):
        # Most of what can go wrong stands at the beginning, or at the end.
        position = generator.randrange(min(len(changed), generator.choice((32, 200, len(changed)))))
        if generator.random() < 0.2:
            position = len(changed) - 1 - position
        way = generator.randrange(6)
        if way < 3:
            changed[position] = generator.choice((0, 1, 127, 128, 255, generator.randrange(256)))
        elif way == 3:
            del changed[position : position + generator.randrange(1, 9)]
        elif way == 4:
            changed[position:position] = changed[position : position + generator.randrange(1, 99)]
        else:
            del changed[max(position, 1) :]
        if not changed:
            break
    return bytes(changed)


def mutate_inside(data: bytes, generator: random.Random) -> bytes:
    """Return a zip archive like `data` in which one of the members, mostly the pickle, is mutated."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(file, "w") as changed:
        names = archive.namelist()
        pickles = [name for name in names if name.endswith(".pkl")]
        victim = generator.choice(names if generator.random() < 0.2 else pickles)
        for name in names:
            content = archive.read(name)
            changed.writestr(name, mutate(content, generator) if name == victim else content)
    return file.getvalue()


def load(data: bytes) -> None:
    """Load the weights in `data`; raises what load_weights() raises, without the path."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cnn_.pth")
        path.write_bytes(data)
        try:
            load_weights(path)
        except ValueError as error:
            raise ValueError(str(error)[len(f"{path} ") :]) from error


def fuzz(kind: str, num_files: int) -> tuple[collections.Counter[str], list[str]]:
    """Read mutated files, pictures or weights. Return how each ended, and a report of each that ended as none may."""
    generator, finder, weights = random.Random(0), load_finder(), io.BytesIO()
    torch.save(CNN().state_dict(), weights)
    files = make_pictures() if kind == "pictures" else [weights.getvalue()]
    outcomes: collections.Counter[str] = collections.Counter()
    failures = []
    for number in range(num_files):
        data = files[number % len(files)]
        data = (mutate_inside if kind == "weights" and number % 2 else mutate)(data, generator)
        start, outcome = time.perf_counter(), "read"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                load(data) if kind == "weights" else find_digits(decode_picture(io.BytesIO(data)), finder)
            except ValueError as error:
                outcome = str(error).split(";")[0]
            except Exception:
                outcome = traceback.format_exc()
        outcomes[outcome] += 1
        seconds = time.perf_counter() - start
        if caught or seconds > TIME_LIMIT or not outcome.startswith(OUTCOMES):
            failures.append(
                f"number {number}, {seconds:.1f} s: {[str(warning.message) for warning in caught]} {outcome}"
            )
    return outcomes, failures


if __name__ == "__main__":
    outcomes, failures = fuzz(sys.argv[1], int(sys.argv[2]))
    print(*failures, *outcomes.most_common(), f"{len(failures)} failures", sep="\n")
    sys.exit(1 if failures else 0)
