"""What several test files need: drawn digits in place of MNIST and of pictures, and runs of scripts."""

from __future__ import annotations

import io
import math
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageOps

import predict_CNN
from digits.command_line import DATA_DIR, PROJECT_DIR, run_script
from digits.formatting import join_digits
from digits.reading.digits import find_digits
from digits.reading.finder import Finder
from model import CNN

FILES = sorted((PROJECT_DIR / "digits").rglob("[!_]*.py"))
MODULES = ["model", *(".".join(path.relative_to(PROJECT_DIR).with_suffix("").parts) for path in FILES)]
TRAINING_IMAGES = DATA_DIR / "MNIST" / "raw" / "train-images-idx3-ubyte"
needs_mnist = pytest.mark.skipif(
    not (TRAINING_IMAGES.exists() or TRAINING_IMAGES.with_suffix(".gz").exists()),
    reason=f"no MNIST in {DATA_DIR}, and tests download nothing; set MNIST_DIR, or run train_CNN.py once",
)


def arc(centre_x: float, centre_y: float, radius_x: float, radius_y: float, start: float, end: float) -> list:
    """Return points on an ellipse, from one angle to another, in degrees, clockwise from the right."""
    angles = [math.radians(start + (end - start) * step / 16) for step in range(17)]
    return [(centre_x + radius_x * math.cos(angle), centre_y + radius_y * math.sin(angle)) for angle in angles]


# The pen strokes of each digit, as points (x, y) in a square from 0 to 1, y downwards
STROKES = {
    0: [arc(0.5, 0.5, 0.3, 0.45, -90, 270)],
    1: [[(0.35, 0.2), (0.55, 0.05), (0.55, 0.95)]],
    2: [[*arc(0.5, 0.3, 0.28, 0.25, 180, 390), (0.2, 0.95), (0.82, 0.95)]],
    3: [arc(0.45, 0.28, 0.28, 0.23, 200, 450) + arc(0.45, 0.73, 0.32, 0.23, -90, 160)],
    4: [[(0.55, 0.05), (0.15, 0.62), (0.85, 0.62)], [(0.65, 0.35), (0.65, 0.95)]],
    5: [[(0.78, 0.05), (0.28, 0.05), (0.25, 0.45), *arc(0.48, 0.67, 0.3, 0.27, 230, 520)]],
    6: [[(0.65, 0.03), (0.4, 0.25), *arc(0.48, 0.68, 0.26, 0.27, 200, 560)]],
    7: [[(0.18, 0.07), (0.82, 0.07), (0.42, 0.95)]],
    8: [arc(0.5, 0.27, 0.24, 0.22, 90, 450), arc(0.5, 0.72, 0.29, 0.23, -90, 270)],
    9: [[*arc(0.5, 0.3, 0.27, 0.26, 0, 360), (0.77, 0.3), (0.68, 0.95)]],
}


def draw_digit(
    digit: int,
    size: tuple[int, int],
    box: tuple[float, float, float, float],
    pen: float,
    wobble: float = 0.0,
    seed: float = 0,
) -> Image.Image:
    """Return a picture (mode L) of `size` with a white digit on black in `box` (left, top, right, bottom; pixels).

    `pen` is the width of the stroke in pixels; `wobble`, from 0 to 1, how far it strays from the ideal, by `seed`.
    """
    generator = random.Random(seed)
    slant, turn = generator.uniform(-wobble, wobble), generator.uniform(-wobble, wobble)
    picture = Image.new("L", (4 * size[0], 4 * size[1]))  # drawn four times as large, for smooth edges
    pencil = ImageDraw.Draw(picture)
    left, top, right, bottom = (4 * edge for edge in box)
    for stroke in STROKES[digit]:
        points = []
        for x, y in stroke:
            x, y = x - slant * (y - 0.5), y + turn * (x - 0.5)
            x, y = (value + generator.gauss(0, wobble / 12) for value in (x, y))
            points.append((left + x * (right - left), top + y * (bottom - top)))
        pencil.line(points, fill=255, width=round(4 * pen), joint="curve")
        for x, y in points:
            pencil.ellipse([x - 2 * pen, y - 2 * pen, x + 2 * pen, y + 2 * pen], fill=255)
    return picture.resize(size, Image.Resampling.BOX)


def draw_three() -> Image.Image:
    """Return a 3, white on black, off centre (mode L)."""
    return draw_digit(3, (240, 180), (130, 30, 200, 140), pen=9)


def draw_four() -> Image.Image:
    """Return a 4, black on white (mode L)."""
    return ImageOps.invert(draw_digit(4, (160, 160), (40, 30, 120, 130), pen=9))


def encode(picture: Image.Image, file_type: str, **options: Any) -> bytes:
    """Return the bytes of a file of this type, such as PNG, that holds the picture."""
    file = io.BytesIO()
    picture.save(file, file_type, **options)
    return file.getvalue()


def draw_images(num_images: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 28, 28), uint8, of digits drawn in many ways, and their labels (N,), uint8."""
    generator = random.Random(seed)
    labels = np.array([generator.randrange(10) for _ in range(num_images)], dtype=np.uint8)
    images = np.zeros((num_images, 28, 28), dtype=np.uint8)
    for index, digit in enumerate(labels):
        left, top = generator.uniform(4, 8), generator.uniform(3, 5)
        box = (left, top, left + generator.uniform(12, 18), top + generator.uniform(17, 20))
        pen = generator.uniform(1.5, 3.5)
        images[index] = np.asarray(draw_digit(int(digit), (28, 28), box, pen, wobble=0.25, seed=generator.random()))
    return images, labels


def to_idx(values: np.ndarray) -> bytes:
    """Return an array of uint8 in the form of MNIST's files: http://yann.lecun.com/exdb/mnist (magic, sizes, bytes)."""
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


def write_mnist(data_dir: Path, num_train: int, num_test: int) -> None:
    """Write generated digits where torchvision looks for MNIST's four unpacked files."""
    raw_dir = data_dir / "MNIST" / "raw"
    raw_dir.mkdir(parents=True)
    for name, num_images, seed in (("train", num_train, 1), ("t10k", num_test, 2)):
        images, labels = draw_images(num_images, seed)
        (raw_dir / f"{name}-images-idx3-ubyte").write_bytes(to_idx(images))
        (raw_dir / f"{name}-labels-idx1-ubyte").write_bytes(to_idx(labels))


def run_here(monkeypatch: pytest.MonkeyPatch, script: ModuleType, *arguments: object) -> object:
    """Run a script in this process, which starts faster than a new one; return its exit status."""
    monkeypatch.setattr(sys, "argv", [f"{script.__name__}.py", *map(str, arguments)])
    with pytest.raises(SystemExit) as exit_info:
        run_script(script.main)
    return exit_info.value.code


def run_predict(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> object:
    """Run predict_CNN.py here, its figures in the folder `figures` of the current one; return its exit status."""
    return run_here(monkeypatch, predict_CNN, "--figures-dir", "figures", *arguments)


def read_picture_of(finder: Finder, model: CNN, picture: Image.Image) -> str:
    """Return the digits in a picture, as text: spaces at wide gaps, slashes between lines."""
    digits, _ = find_digits(picture.convert("RGB"), finder)
    return join_digits(digits, predict_CNN.predict_probabilities(digits, model).argmax(axis=1))


def make_trained_like_model(num_classes: int = 10) -> CNN:
    """Return a CNN whose batch norms have seen images, with negative factors among theirs."""
    torch.manual_seed(0)
    model = CNN(num_classes)
    for layer in model.layers:
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
    model.train()
    model(torch.rand(50, 1, 28, 28))
    return model.eval()
