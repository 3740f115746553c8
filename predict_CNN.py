"""Reads the handwritten digit in a picture of any size, dark on light or light on dark.

The picture is the one that image_path names below, or those named behind the command.
Run it: python predict_CNN.py
or:     python predict_CNN.py my_digit.png another.jpg
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from model import MODEL_PATH, load_weights, predict_logits
from plots import PICTURES_PER_FIGURE, draw_predictions, save_figure, show_figure

image_path = "handwritten_digit.png"  # the picture to read; one without a folder is looked for beside this script

MAX_PICTURE_SIZE = 500  # pixels; larger pictures are reduced first, which also smooths the grain of the paper
MIN_CONTRAST = 20  # of 255; where nothing differs more from the paper, there is no digit
DIGIT_SIZE, IMAGE_SIZE = 20, 28  # pixels; the longer side of the digit, and the square around it, as in MNIST


def read_picture(path: str | Path) -> Image.Image:
    """Return the picture in a file as shades of gray (mode L), at most MAX_PICTURE_SIZE wide and high.

    Raises OSError when there is no such file or when it is no picture.
    """
    try:
        with Image.open(path) as file:
            picture = ImageOps.exif_transpose(file)  # phones note how they were held instead of turning the picture
    except FileNotFoundError:
        raise FileNotFoundError("no such file; check its name and its folder") from None
    except UnidentifiedImageError:
        raise UnidentifiedImageError("not a picture that can be read; save it as PNG or JPEG") from None
    if picture.mode[0] in "IF":  # 16 or 32 bits a pixel, which convert() would cut off at 255
        values = np.asarray(picture, dtype=np.float32)
        values = (values - values.min()) / max(float(np.ptp(values)), 1e-6)
        picture = Image.fromarray((255 * values).astype(np.uint8))
    elif picture.mode in ("LA", "PA", "La", "RGBA", "RGBa") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, "white")  # what is transparent hides any colour, often black
        picture = Image.alpha_composite(paper, picture)
    picture = picture.convert("L")
    picture.thumbnail((MAX_PICTURE_SIZE, MAX_PICTURE_SIZE))
    return picture


def prepare(picture: Image.Image) -> np.ndarray:
    """Return the digit in a picture (mode L) as an image (28, 28), uint8 in 0..255, in the form of MNIST's images.

    That form (LeCun et al. 1998): light ink on black, the longer side of the digit 20 pixels, its centre of mass in
    the middle. Raises ValueError when the picture shows nothing.
    """
    brightness = np.asarray(picture, dtype=np.float32)
    paper = np.median(np.concatenate([brightness[0], brightness[-1], brightness[:, 0], brightness[:, -1]]))
    # What differs from the paper is ink, whichever of the two is the darker one.
    ink = np.abs(brightness - paper)
    if ink.max() < MIN_CONTRAST:
        raise ValueError("no digit found")
    ink[ink < ink.max() / 4] = 0  # the grain and the shadows of the paper

    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = DIGIT_SIZE / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    digit = np.asarray(Image.fromarray(ink).resize((width, height), Image.Resampling.BILINEAR))

    centre_y = (digit.sum(axis=1) @ np.arange(height)) / digit.sum()
    centre_x = (digit.sum(axis=0) @ np.arange(width)) / digit.sum()
    middle = (IMAGE_SIZE - 1) / 2
    top = min(max(round(middle - centre_y), 0), IMAGE_SIZE - height)
    left = min(max(round(middle - centre_x), 0), IMAGE_SIZE - width)
    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8)
    image[top : top + height, left : left + width] = digit * (255 / digit.max())
    return image


def format_answer(row: np.ndarray) -> str:
    """Return the answer that ten probabilities (10,) in 0..1 give, as in `Digit 8 (99.98 %)`."""
    return f"Digit {row.argmax()} ({100 * row.max():.2f} %)"


def parse_arguments() -> argparse.Namespace:
    """Return the settings of this run."""
    parser = argparse.ArgumentParser(description="Reads the handwritten digit in a picture.")
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=f"pictures to read (default: {image_path})")
    parser.add_argument("--model-path", type=Path, default=MODEL_PATH, help="the weights (default: %(default)s)")
    parser.add_argument("--no-plot", action="store_true", help="print the answers, without a figure")
    return parser.parse_args()


def main() -> int:
    """Read every picture that was asked for. Return the exit status: 1 if one of them could not be read, else 0."""
    args = parse_arguments()
    model = load_weights(args.model_path)

    paths = args.images or [Path(__file__).resolve().parent / image_path]
    names, pictures, images = [], [], []
    for name, path in zip(args.images or [image_path], paths):
        try:
            picture = read_picture(path)
            images.append(prepare(picture))
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            print(f"predict_CNN.py: error: {name}: {error}", file=sys.stderr)
            continue
        names.append(name)
        pictures.append(picture)

    if images:
        logits = predict_logits(model, torch.from_numpy(np.stack(images)[:, np.newaxis]))
        probabilities = logits.softmax(dim=1).numpy()
        answers = [format_answer(row) for row in probabilities]
        for name, answer in zip(names, answers):
            print(f"{name}: {answer}")
        if not args.no_plot:
            for first in range(0, len(names), PICTURES_PER_FIGURE):
                page = slice(first, first + PICTURES_PER_FIGURE)
                data = names[page], pictures[page], images[page], probabilities[page], answers[page]
                path = Path(f"prediction_{first // PICTURES_PER_FIGURE + 1}.png")
                if not show_figure(draw_predictions, *data) and save_figure(path, draw_predictions, *data):
                    print(f"Figure saved to {path}")
    return 0 if len(names) == len(paths) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as error:
        sys.exit(f"predict_CNN.py: error: {error}")
