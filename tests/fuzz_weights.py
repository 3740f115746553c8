"""Mutated copies of good weights: each is loaded, or refused with one exception, in good time and without a warning.

Every second one is mutated as a file, which its checksums give away; the others inside, with checksums that fit.
The tests run a short slice of it.
All of it: python -m tests.fuzz_weights 10000
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

from digits.weights import load_weights
from model import CNN
from tests.fuzz_pictures import TIME_LIMIT, mutate


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


def fuzz(num_files: int, seed: int = 0) -> tuple[collections.Counter[str], list[str]]:
    """Load `num_files` mutated files. Return how each ended, and a report of each that ended as none may."""
    generator = random.Random(seed)
    good = io.BytesIO()
    torch.save(CNN().state_dict(), good)
    outcomes: collections.Counter[str] = collections.Counter()
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cnn_.pth"
        for number in range(num_files):
            path.write_bytes((mutate_inside if number % 2 else mutate)(good.getvalue(), generator))
            start = time.perf_counter()
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                try:
                    load_weights(path)
                    outcomes["loaded"] += 1
                except ValueError as error:
                    outcomes[str(error)[len(str(path)) :].split(";")[0].strip()] += 1
                except Exception:
                    failures.append(f"number {number}: {traceback.format_exc()}")
            failures += [f"number {number}: {warning.message}" for warning in caught]
            if time.perf_counter() - start > TIME_LIMIT:
                failures.append(f"number {number}: took {time.perf_counter() - start:.1f} s")
    return outcomes, failures


if __name__ == "__main__":
    outcomes, failures = fuzz(int(sys.argv[1]))
    print(*failures, *outcomes.most_common(), f"{len(failures)} failures", sep="\n")
    sys.exit(1 if failures else 0)
