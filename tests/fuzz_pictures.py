"""Mutated copies of good pictures in every format: each is read, or refused in one of four ways, in good time.

The tests run a short slice of it.
All of it: python -m tests.fuzz_pictures 10000
"""

from __future__ import annotations

import collections
import io
import random
import sys
import time
import traceback
import warnings

from PIL import Image

from digits.reading.digits import find_digits
from digits.reading.picture import decode_picture
from digits.weights import load_finder
from tests.helpers import draw_digit

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
REFUSALS = ("no digit found", "not a picture", "the picture is damaged", "more than 50 million pixels")
TIME_LIMIT = 5  # seconds a picture


def make_files() -> list[tuple[str, bytes]]:
    """Return the names and the bytes of good pictures, one of each format and mode, some with an orientation."""
    picture = draw_digit(3, (60, 50), (15, 8, 45, 42), pen=4)
    exif = Image.Exif()
    exif[0x0112] = 6
    files = []
    for file_type, modes in FORMATS.items():
        for mode in modes:
            converted = picture.convert("I").convert("I;16") if mode == "I;16" else picture.convert(mode)
            file = io.BytesIO()
            options = {"exif": exif} if file_type in ("PNG", "JPEG", "TIFF", "WEBP") else {}
            converted.save(file, file_type, **options)
            files.append((f"{file_type} {mode}", file.getvalue()))
    return files


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


def fuzz(num_files: int, seed: int = 0) -> tuple[collections.Counter[str], list[str]]:
    """Read `num_files` mutated pictures. Return how each ended, and a report of each that ended as none may."""
    generator, finder = random.Random(seed), load_finder()
    files = make_files()
    outcomes: collections.Counter[str] = collections.Counter()
    failures = []
    for number in range(num_files):
        name, data = files[number % len(files)]
        data = mutate(data, generator)
        start = time.perf_counter()
        try:
            find_digits(decode_picture(io.BytesIO(data)), finder)
            outcomes["read"] += 1
        except ValueError as error:
            outcomes[str(error).split(";")[0]] += 1
            if not str(error).startswith(REFUSALS):
                failures.append(f"{name}, number {number}: {traceback.format_exc()}")
        except Exception:
            failures.append(f"{name}, number {number}: {traceback.format_exc()}")
        if time.perf_counter() - start > TIME_LIMIT:
            failures.append(f"{name}, number {number}: took {time.perf_counter() - start:.1f} s")
    return outcomes, failures


if __name__ == "__main__":
    warnings.simplefilter("error")
    outcomes, failures = fuzz(int(sys.argv[1]))
    print(*failures, *outcomes.most_common(), f"{len(failures)} failures", sep="\n")
    sys.exit(1 if failures else 0)
