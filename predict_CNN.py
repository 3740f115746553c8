"""Reads the handwritten digits in a picture of any size, dark on light or light on dark.

The picture is the one that image_path names below, or those, and all in those folders, named behind the command.
Run it: python predict_CNN.py, or python predict_CNN.py my_digit.png another.jpg my_folder, or with --draw
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from digits.command_line import PROJECT_DIR, add_shared_flags, run_script, say_error
from digits.deskewing import set_upright
from digits.drawing import open_window
from digits.picture import find_pictures, read_picture, simplify_picture
from digits.plots import PICTURES_PER_FIGURE, draw_predictions, save_figure, show_figure
from digits.preparation import Digit, find_digits
from digits.weights import load_weights
from model import CNN, predict_views

image_path = "handwritten_digit.png"  # the picture to read; one without a folder is looked for beside this script

CONFIDENT = 0.8  # below this probability the second best digit is named as well


def read_digits(picture: str | Path | Image.Image, model: CNN) -> tuple[list[Digit], np.ndarray]:
    """Return the digits in a picture, from left to right, and their probabilities (number of digits, 10) in 0..1.

    The digits' images are upright, as the network sees them. `picture` is a file's path or a picture that Pillow has
    opened. Raises OSError when the file cannot be read, and ValueError when it is no picture or shows no digit.
    """
    digits = find_digits(simplify_picture(picture) if isinstance(picture, Image.Image) else read_picture(picture))
    upright = set_upright([digit.image for digit in digits])
    digits = [digit._replace(image=image) for digit, image in zip(digits, upright.round().byte()[:, 0].numpy())]
    return digits, predict_probabilities(model, upright)


def predict_probabilities(model: CNN, upright: Tensor) -> np.ndarray:
    """Return the probabilities (N, 10) in 0..1 of the ten digits for deskewed images, as of set_upright()."""
    return predict_views(model, upright).mean(dim=0).softmax(dim=1).numpy()


def format_answer(probabilities: np.ndarray) -> str:
    """Return the answer of the probabilities (N, 10) of N digits: `Digit 8 (99.98 %)`, `Digits 42 (99.98 %, 97.10 %)`.

    Where one is not sure, the second best follows: `Digit 3 (58.12 %), perhaps 8 (37.40 %)`.
    """
    number = "".join(str(row.argmax()) for row in probabilities)
    chances = ", ".join(f"{100 * row.max():.2f} %" for row in probabilities)
    answer = f"{'Digit' if len(number) == 1 else 'Digits'} {number} ({chances})"
    for row in probabilities[probabilities.max(axis=1) < CONFIDENT]:
        second, first = row.argsort()[-2:]
        which = "" if len(number) == 1 else f"the {first} "
        answer += f", {which}perhaps {second} ({100 * row[second]:.2f} %)"
    return answer


def draw_figure(number: int, in_window: bool, *columns: Any) -> None:
    """Draw what draw_predictions() draws of `columns`, a row for each picture, in a window or in a numbered file."""
    path = Path(f"prediction_{number}.png")
    if not (in_window and show_figure(draw_predictions, *columns)) and save_figure(path, draw_predictions, *columns):
        print(f"Figure saved to {path}")


def parse_arguments() -> argparse.Namespace:
    """Return the settings of this run."""
    parser = argparse.ArgumentParser(description="Reads the handwritten digits in a picture.")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"pictures or folders (default: {image_path})")
    parser.add_argument("--draw", action="store_true", help="open a window to draw digits in")
    add_shared_flags(parser, "--model-path", "--no-plot")
    args = parser.parse_args()
    if args.draw and (args.images or args.no_plot):
        parser.error("--draw goes neither with pictures nor with --no-plot")
    return args


def main() -> int:
    """Read every picture that was asked for. Return the exit status: 1 if one of them could not be read, else 0."""
    args = parse_arguments()
    model = load_weights(args.model_path)
    if args.draw:
        open_window(lambda drawing: read_digits(drawing, model), format_answer)
        return 0
    paths = find_pictures(args.images or [image_path], Path() if args.images else PROJECT_DIR)

    in_window = len(paths) <= PICTURES_PER_FIGURE  # many figures go into files, not into one window after the other
    num_read, num_figures, rows = 0, 0, []
    for number, (name, path) in enumerate(paths, start=1):
        try:
            picture = read_picture(path)
            digits, probabilities = read_digits(picture, model)
        except (OSError, ValueError) as error:
            say_error(f"{name}: {error}")
        else:
            answer = format_answer(probabilities)
            print(f"{name}: {answer}", flush=True)
            num_read += 1
            rows.append((name, picture, digits, probabilities, answer))
        if args.no_plot:
            rows.clear()
        elif len(rows) == PICTURES_PER_FIGURE or (rows and number == len(paths)):
            num_figures += 1
            draw_figure(num_figures, in_window, *zip(*rows))
            rows.clear()
    return 0 if num_read == len(paths) else 1


if __name__ == "__main__":
    run_script(main)
