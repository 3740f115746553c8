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

from digits.command_line import PROJECT_DIR, add_shared_flags, path_argument, print_error, print_warning, run_script
from digits.drawing import open_window
from digits.formatting import format_prediction
from digits.plots import save_figure, show_figure
from digits.prediction_plot import draw_prediction
from digits.reading.digits import Digit, find_digits
from digits.reading.finder import Finder
from digits.reading.picture import figure_paths, find_pictures, read_picture
from digits.weights import load_finder, load_weights
from model import CNN, predict_logits

image_path = "handwritten_digit.png"  # the picture to read; a relative path starts at the folder of this script

MAX_UNREAD = 0.25  # largest fraction of the ink in no digit, without a warning
MAX_WINDOWS = 5  # figures shown one after the other; more are only saved


def read_digits(
    picture: str | Path | Image.Image, model: CNN, finder: Finder | None = None
) -> tuple[list[Digit], np.ndarray]:
    """Return the digits in a picture, a file or opened by Pillow, and their probabilities (N, 10) in 0..1.

    Raises OSError when a file cannot be read, and ValueError when it is no picture or shows no digit.
    """
    digits, _ = find_digits(read_picture(picture), finder or load_finder())
    return digits, predict_probabilities(digits, model)


def predict_probabilities(digits: list[Digit], model: CNN) -> np.ndarray:
    """Return the probabilities (N, 10) in 0..1 of 0 to 9 for N digits; what a row lacks of 1 is that of no digit."""
    images = torch.from_numpy(np.stack([digit.image for digit in digits])[:, np.newaxis])  # (N, 1, 28, 28)
    logits = predict_logits(model, images.to(next(model.parameters()).device)).cpu()
    return logits.softmax(dim=1).numpy() * np.array([[digit.score] for digit in digits])


def parse_arguments() -> argparse.Namespace:
    """Return the settings of this run."""
    parser = argparse.ArgumentParser(description="Predicts the handwritten digits in pictures.")
    parser.add_argument("images", nargs="*", type=path_argument, metavar="IMAGE", help="picture or folder")
    parser.add_argument("--draw", action="store_true", help="open a window to draw digits in")
    add_shared_flags(parser, "--model-path", "--finder-path", "--figures-dir", "--no-plot", "--device")
    args = parser.parse_args()
    if args.draw and (args.images or args.no_plot):
        parser.error("--draw goes neither with pictures nor with --no-plot")
    return args


def main() -> int:
    """Read every picture that was asked for. Return the exit status: 1 if one of them could not be read, else 0."""
    args = parse_arguments()
    model, finder = load_weights(args.model_path, args.device), load_finder(args.finder_path, args.device)
    if args.draw:
        open_window(lambda drawing: read_digits(drawing, model, finder), format_prediction)
        return 0
    names, folder = (args.images, Path()) if args.images else ([os.path.expanduser(image_path)], PROJECT_DIR)
    pictures = find_pictures(names, folder, args.figures_dir)
    unused_paths = figure_paths(args.figures_dir, [path for _, path in pictures])
    status = 0
    for name, path in pictures:
        try:
            picture = read_picture(path)
            digits, unread = find_digits(picture, finder)
        except (OSError, ValueError) as error:
            print_error(f"{name}: {error}")
            status = 1
            continue
        probabilities = predict_probabilities(digits, model)
        prediction = format_prediction(digits, probabilities)
        print(f"{name}: {prediction}", flush=True)
        if unread > MAX_UNREAD:
            print_warning(f"{name}: {100 * unread:.0f} % of the ink is in no digit; crop the picture if one is missing")
        figure = name, picture, digits, probabilities, prediction
        is_saved = not args.no_plot and save_figure(next(unused_paths), draw_prediction, *figure)
        if is_saved and len(pictures) <= MAX_WINDOWS:
            show_figure(draw_prediction, *figure)
    return status


if __name__ == "__main__":
    run_script(main)
