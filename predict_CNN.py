"""Predicts the handwritten digits in a picture of any size, dark on light or light on dark.

The picture is the one that image_path names below, or those, and all in those folders, that the arguments name.
Run it: python predict_CNN.py, or python predict_CNN.py my_digit.png another.jpg my_folder, or with --draw
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from digits.command_line import PROJECT_DIR, add_shared_flags, path_argument, print_error, run_script
from digits.drawing import open_window
from digits.plots import draw_prediction, save_figure, show_figure
from digits.reading.mnist_format import Digit, find_digits
from digits.reading.picture import figure_paths, find_pictures, read_picture
from digits.weights import load_weights
from model import CNN, predict_logits

image_path = "handwritten_digit.png"  # the picture to read; a relative path starts at the folder of this script

CONFIDENT = 0.8  # probability; below it the second best digit is printed as well
MAX_WINDOWS = 5  # figures shown one after the other; more are only saved


def read_digits(picture: str | Path | Image.Image, model: CNN) -> tuple[list[Digit], np.ndarray]:
    """Return the digits in a picture, from left to right, and their probabilities (number of digits, 10) in 0..1.

    `picture` is a file's path or a picture that Pillow has opened. Raises OSError when the file cannot be read, and
    ValueError when it is no picture or shows no digit.
    """
    digits = find_digits(read_picture(picture))
    return digits, predict_probabilities([digit.image for digit in digits], model)


def predict_probabilities(images: list[np.ndarray], model: CNN) -> np.ndarray:
    """Return the probabilities (N, 10) in 0..1 of the ten digits for N images (28, 28), uint8, in MNIST's form."""
    device = next(model.parameters()).device
    logits = predict_logits(model, torch.from_numpy(np.stack(images)[:, np.newaxis]).to(device))
    return logits.softmax(dim=1).cpu().numpy()


def format_prediction(probabilities: np.ndarray) -> str:
    """Return `Digits 42 (99.98 %, 97.10 %)` for probabilities (N, 10), or `Digit 3 (58.12 %), perhaps 8 (37.40 %)`."""
    number = "".join(str(row.argmax()) for row in probabilities)
    confidences = ", ".join(f"{100 * row.max():.2f} %" for row in probabilities)
    text = f"{'Digit' if len(number) == 1 else 'Digits'} {number} ({confidences})"
    for row in probabilities[probabilities.max(axis=1) < CONFIDENT]:
        second, first = row.argsort()[-2:]
        which = "" if len(number) == 1 else f"the {first} "
        text += f", {which}perhaps {second} ({100 * row[second]:.2f} %)"
    return text


def parse_arguments() -> argparse.Namespace:
    """Return the settings of this run."""
    parser = argparse.ArgumentParser(description="Predicts the handwritten digits in pictures.")
    parser.add_argument("images", nargs="*", type=path_argument, metavar="IMAGE", help="picture or folder")
    parser.add_argument("--draw", action="store_true", help="open a window to draw digits in")
    add_shared_flags(parser, "--model-path", "--figures-dir", "--no-plot", "--device")
    args = parser.parse_args()
    if args.draw and (args.images or args.no_plot):
        parser.error("--draw goes neither with pictures nor with --no-plot")
    return args


def main() -> int:
    """Read every picture that was asked for. Return the exit status: 1 if one of them could not be read, else 0."""
    args = parse_arguments()
    model = load_weights(args.model_path, args.device)
    if args.draw:
        open_window(lambda drawing: read_digits(drawing, model), format_prediction)
        return 0
    names, folder = (args.images, Path()) if args.images else ([os.path.expanduser(image_path)], PROJECT_DIR)
    pictures = find_pictures(names, folder, args.figures_dir)
    unused_paths = figure_paths(args.figures_dir, [path for _, path in pictures])
    status = 0
    for name, path in pictures:
        try:
            picture = read_picture(path)
            digits, probabilities = read_digits(picture, model)
        except (OSError, ValueError) as error:
            print_error(f"{name}: {error}")
            status = 1
            continue
        print(f"{name}: {format_prediction(probabilities)}", flush=True)
        if not args.no_plot:
            figure = name, picture, digits, probabilities, format_prediction(probabilities)
            if save_figure(next(unused_paths), draw_prediction, *figure) and len(pictures) <= MAX_WINDOWS:
                show_figure(draw_prediction, *figure)
    return status


if __name__ == "__main__":
    run_script(main)
