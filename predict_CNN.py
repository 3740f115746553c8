"""Reads the handwritten digit in a picture of any size, dark on light or light on dark.

The picture is the one that image_path names below, or those, and all in those folders, named behind the command.
Run it: python predict_CNN.py, or python predict_CNN.py my_digit.png another.jpg my_folder
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import torch
from PIL import Image

from digits.command_line import PROJECT_DIR, add_shared_flags, run_script, say_error
from digits.picture import read_picture
from digits.plots import PICTURES_PER_FIGURE, draw_predictions, save_figure, show_figure
from digits.preparation import prepare
from digits.weights import load_weights
from model import CNN, predict_logits

image_path = "handwritten_digit.png"  # the picture to read; one without a folder is looked for beside this script

BATCH_SIZE = 100  # pictures in memory at a time
CONFIDENT = 0.8  # below this probability the second best digit is named as well


def find_pictures(names: list[str], folder: Path) -> list[tuple[str, Path]]:
    """Return the names and paths of the pictures that `names` name in `folder`; a folder stands for all in it."""
    suffixes = Image.registered_extensions()
    found: list[tuple[str, Path]] = []
    for name in names:
        top = folder / name
        paths = sorted(path for path in top.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
        found += [(str(Path(name, path.relative_to(top))), path) for path in paths] or [(str(Path(name)), top)]
    return found


def read_pictures(paths: list[tuple[str, Path]]) -> tuple[list[str], list[Image.Image], list[np.ndarray]]:
    """Return the names of those pictures that can be read, the pictures, and the images (28, 28) made of them.

    Each of the others gets a line on stderr.
    """
    names, pictures, images = [], [], []
    for name, path in paths:
        try:
            picture = read_picture(path)
            images.append(prepare(picture))
        except (OSError, ValueError) as error:
            say_error(f"{name}: {error}")
            continue
        names.append(name)
        pictures.append(picture)
    return names, pictures, images


def predict_probabilities(model: CNN, images: list[np.ndarray]) -> np.ndarray:
    """Return the probabilities (N, 10) in 0..1 of the ten digits for N images (28, 28), uint8, as prepare() makes."""
    logits = predict_logits(model, torch.from_numpy(np.stack(images)[:, np.newaxis]))
    return logits.softmax(dim=1).numpy()


def format_answer(row: np.ndarray) -> str:
    """Return the answer of ten probabilities (10,): `Digit 8 (99.98 %)`, `Digit 3 (58.12 %), perhaps 8 (37.40 %)`."""
    second, first = row.argsort()[-2:]
    answer = f"Digit {first} ({100 * row[first]:.2f} %)"
    if row[first] < CONFIDENT:
        answer += f", perhaps {second} ({100 * row[second]:.2f} %)"
    return answer


def draw_figures(figure_numbers: Iterator[int], in_windows: bool, *columns: Any) -> None:
    """Draw what draw_predictions() draws of `columns`, some rows a figure, in windows or in numbered files."""
    for first in range(0, len(columns[0]), PICTURES_PER_FIGURE):
        data = [column[first : first + PICTURES_PER_FIGURE] for column in columns]
        path = Path(f"prediction_{next(figure_numbers)}.png")
        if not (in_windows and show_figure(draw_predictions, *data)) and save_figure(path, draw_predictions, *data):
            print(f"Figure saved to {path}")


def parse_arguments() -> argparse.Namespace:
    """Return the settings of this run."""
    parser = argparse.ArgumentParser(description="Reads the handwritten digit in a picture.")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"pictures or folders (default: {image_path})")
    add_shared_flags(parser, "--model-path", "--no-plot")
    return parser.parse_args()


def main() -> int:
    """Read every picture that was asked for. Return the exit status: 1 if one of them could not be read, else 0."""
    args = parse_arguments()
    model = load_weights(args.model_path)
    paths = find_pictures(args.images or [image_path], Path() if args.images else PROJECT_DIR)

    in_windows = len(paths) <= PICTURES_PER_FIGURE  # many figures go into files, not into one window after the other
    num_read, figure_numbers = 0, itertools.count(1)
    for start in range(0, len(paths), BATCH_SIZE):
        names, pictures, images = read_pictures(paths[start : start + BATCH_SIZE])
        if not names:
            continue
        num_read += len(names)
        probabilities = predict_probabilities(model, images)
        answers = [format_answer(row) for row in probabilities]
        for name, answer in zip(names, answers):
            print(f"{name}: {answer}", flush=True)
        if not args.no_plot:
            draw_figures(figure_numbers, in_windows, names, pictures, images, probabilities, answers)
    return 0 if num_read == len(paths) else 1


if __name__ == "__main__":
    run_script(main)
