"""Reads the handwritten digit in a picture of any size, dark on light or light on dark.

The picture is the one that image_path names below, or those, and all in those folders, named behind the command.
Run it: python predict_CNN.py
or:     python predict_CNN.py my_digit.png another.jpg my_folder
"""

from __future__ import annotations

import argparse
from pathlib import Path

from command_line import run_script, say_error

import numpy as np
import torch
from PIL import Image

from model import MODEL_PATH, load_weights, predict_logits
from picture import prepare, read_picture
from plots import PICTURES_PER_FIGURE, draw_predictions, save_figure, show_figure

image_path = "handwritten_digit.png"  # the picture to read; one without a folder is looked for beside this script

BATCH_SIZE = 100  # pictures in memory at a time
CONFIDENT = 0.8  # below this probability the second best digit is named as well


def find_pictures(path: Path) -> list[Path]:
    """Return `path` alone or, if it is a folder, the paths of all pictures in it and its folders, sorted.

    Raises FileNotFoundError when a folder holds none.
    """
    if not path.is_dir():
        return [path]
    suffixes = Image.registered_extensions()
    paths = sorted(path for path in path.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not paths:
        raise FileNotFoundError("no pictures in this folder")
    return paths


def predict_probabilities(model: torch.nn.Module, images: list[np.ndarray]) -> np.ndarray:
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


def parse_arguments() -> argparse.Namespace:
    """Return the settings of this run."""
    parser = argparse.ArgumentParser(description="Reads the handwritten digit in a picture.")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"pictures or folders (default: {image_path})")
    parser.add_argument("--model-path", type=Path, default=MODEL_PATH, help="the weights (default: %(default)s)")
    parser.add_argument("--no-plot", action="store_true", help="print the answers, without a figure")
    return parser.parse_args()


def main() -> int:
    """Read every picture that was asked for. Return the exit status: 1 if one of them could not be read, else 0."""
    args = parse_arguments()
    model = load_weights(args.model_path)

    paths, num_failed, num_figures = [], 0, 0
    for name in args.images or [Path(__file__).resolve().parent / image_path]:
        try:
            paths += find_pictures(Path(name))
        except OSError as error:
            say_error(f"{name}: {error}")
            num_failed += 1

    for start in range(0, len(paths), BATCH_SIZE):
        names, pictures, images = [], [], []
        for path in paths[start : start + BATCH_SIZE]:
            name = str(path) if args.images else image_path
            try:
                picture = read_picture(path)
                images.append(prepare(picture))
            except (OSError, ValueError) as error:
                say_error(f"{name}: {error}")
                num_failed += 1
                continue
            names.append(name)
            pictures.append(picture)
        if not images:
            continue

        probabilities = predict_probabilities(model, images)
        answers = [format_answer(row) for row in probabilities]
        for name, answer in zip(names, answers):
            print(f"{name}: {answer}", flush=True)
        if args.no_plot:
            continue
        for first in range(0, len(names), PICTURES_PER_FIGURE):
            page = slice(first, first + PICTURES_PER_FIGURE)
            data = names[page], pictures[page], images[page], probabilities[page], answers[page]
            num_figures += 1
            figure_path = Path(f"prediction_{num_figures}.png")
            # Many figures go into files at once, rather than into windows to be closed one after the other.
            is_shown = len(paths) <= PICTURES_PER_FIGURE and show_figure(draw_predictions, *data)
            if not is_shown and save_figure(figure_path, draw_predictions, *data):
                print(f"Figure saved to {figure_path}")
    return 1 if num_failed else 0


if __name__ == "__main__":
    run_script(main)
