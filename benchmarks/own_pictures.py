"""Counts how many pictures of digits, each named with its label in a CSV file, are read as predict_CNN.py reads them.

The file has the columns path (from its own folder) and label, and may have kind and polarity, for which the accuracy is
printed as well, and source. By source the pictures are split into two halves: every second one, in alphabetical
order. With several weights the accuracies are means over them, and a mistake is what most of them misread.
Run it: python benchmarks/own_pictures.py labels.csv
or, to see what is lost without any preparation: python benchmarks/own_pictures.py labels.csv --naive squeeze
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path
from typing import Callable

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from digits.command_line import MODEL_PATH, run_script
from digits.plots import save_figure
from digits.reading.mnist_format import IMAGE_SIZE, find_digits, fit_into_image
from digits.reading.page import otsu_threshold
from digits.reading.picture import read_picture
from digits.weights import load_weights
from predict_CNN import format_prediction, predict_probabilities
from test_CNN import calibration_error

SHEET_PATH = Path("misread_pictures.png")
MAX_SHOWN = 100  # on the sheet


def squeeze(picture: Image.Image) -> np.ndarray:
    """Return a picture (mode RGB) as it is, squeezed to an image (28, 28), uint8: the naive way."""
    return np.asarray(picture.convert("L").resize((IMAGE_SIZE, IMAGE_SIZE)))


def squeeze_inverted(picture: Image.Image) -> np.ndarray:
    """Return the same with light and dark exchanged."""
    return 255 - squeeze(picture)


def squeeze_by_border(picture: Image.Image) -> np.ndarray:
    """Return the same, inverted only where the border is light."""
    image = squeeze(picture)
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    return 255 - image if border.mean() > 127 else image


def crop_and_centre(picture: Image.Image) -> np.ndarray:
    """Return the image (28, 28), uint8, that careful scripts make: Otsu, crop, 20 pixels, centre of mass.

    Raises ValueError when the picture is of one shade.
    """
    grey = np.asarray(picture.convert("L"), dtype=np.float32)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    light = 255 - grey if border.mean() > 127 else grey
    light = np.where(light > otsu_threshold(light), light, 0)
    if not light.any():
        raise ValueError("no digit found")
    return fit_into_image(Image.fromarray(light.astype(np.uint8)))


def find_one_digit(picture: Image.Image) -> np.ndarray:
    """Return the image (28, 28), uint8, of the digit in a picture as predict_CNN.py reads it.

    Raises ValueError when there is none, or more than one.
    """
    digits = find_digits(picture)
    if len(digits) > 1:
        raise ValueError("split into several digits")
    return digits[0].image


WAYS = {"squeeze": squeeze, "inverted": squeeze_inverted, "border": squeeze_by_border, "crop": crop_and_centre}


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of the CSV file, with a half (first or second) added. Raises ValueError when it has no digits."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or any(not row.get("path") or row.get("label") not in set("0123456789") for row in rows):
        raise ValueError(f"{path} needs the columns path and label, with a label from 0 to 9 in each row")
    sources = sorted({row.get("source", "") for row in rows})
    for row in rows:
        row["half"] = ("first", "second")[sources.index(row.get("source", "")) % 2]
    return rows


def read_images(
    rows: list[dict[str, str]], folder: Path, way: Callable[[Image.Image], np.ndarray]
) -> tuple[list[np.ndarray], np.ndarray]:
    """Return an image (28, 28) for each row, and whether it could be made (N,); it is black where it could not."""
    images, is_read = [], np.ones(len(rows), dtype=bool)
    for index, row in enumerate(rows):
        try:
            images.append(way(read_picture(folder / row["path"])))
        except (OSError, ValueError) as error:
            print(f"refused: {row['path']}: {error}")
            is_read[index] = False
            images.append(np.zeros((IMAGE_SIZE, IMAGE_SIZE), dtype=np.uint8))
    return images, is_read


def print_table(rows: list[dict[str, str]], shares: np.ndarray) -> None:
    """Print the accuracy by kind, polarity and half. `shares` (N,), 0..1, says how many of the weights are right."""
    print("| pictures | number | all | first half | second half |")
    print("|---|---:|---:|---:|---:|")
    groups = [("all", "", "")]
    for column in ("kind", "polarity"):
        groups += [(value, column, value) for value in sorted({row.get(column) or "" for row in rows} - {""})]
    for name, column, value in groups:
        in_group = np.array([not column or row.get(column) == value for row in rows])
        cells = []
        for half in ("", "first", "second"):
            chosen = in_group & np.array([half in ("", row["half"]) for row in rows])
            cells.append(f"{100 * shares[chosen].mean():.2f} % of {chosen.sum()}" if chosen.any() else "none")
        print(f"| {name} | {in_group.sum()} | " + " | ".join(cells) + " |")


def draw_sheet(figure: Figure, pictures: list[Image.Image], images: list[np.ndarray], titles: list[str]) -> None:
    """Draw the pictures, each beside the image (28, 28) that was made of it."""
    num_rows = max(1, -(-len(pictures) // 4))
    figure.set_size_inches(12, 1.9 * num_rows)
    cells = figure.subplots(num_rows, 8, squeeze=False).reshape(-1, 2)
    for left, right in cells:
        left.axis("off")
        right.axis("off")
    for (left, right), picture, image, title in zip(cells, pictures, images, titles):
        left.imshow(picture)
        left.set_title(title, fontsize=8, loc="left")
        right.imshow(image, cmap="gray", vmin=0, vmax=255)


def main() -> None:
    """Read all pictures; print accuracies, calibration and mistakes, and draw the mistakes."""
    parser = argparse.ArgumentParser(description="Counts how many of your pictures are read right.")
    parser.add_argument("labels", type=Path, help="CSV file with the columns path and label")
    parser.add_argument("--naive", choices=WAYS, help="squeeze the pictures to 28x28 instead of preparing them")
    parser.add_argument(
        "--model-path", type=Path, nargs="+", default=[MODEL_PATH], help="one or more files of weights (default: ours)"
    )
    parser.add_argument("--sheet", type=Path, default=SHEET_PATH, help="where it goes (default: %(default)s)")
    args = parser.parse_args()
    models = [load_weights(path) for path in args.model_path]
    rows = read_rows(args.labels)
    labels = np.array([int(row["label"]) for row in rows])

    start = time.perf_counter()
    images, is_read = read_images(rows, args.labels.parent, WAYS[args.naive] if args.naive else find_one_digit)
    seconds = time.perf_counter() - start
    probabilities = np.stack([predict_probabilities(images, model) for model in models])  # (weights, N, 10)
    shares = ((probabilities.argmax(axis=2) == labels) & is_read).mean(axis=0)

    print_table(rows, shares)
    errors = [
        calibration_error(torch.from_numpy(row[is_read]), torch.from_numpy(labels[is_read])) for row in probabilities
    ]
    print(f"Expected calibration error: {np.mean(errors):.2f} %")
    print(f"Refused: {(~is_read).sum()} of {len(rows)}; {1000 * seconds / len(rows):.1f} ms a picture to prepare")

    mistakes = np.flatnonzero(is_read & (shares <= 0.5))
    answers = [format_prediction(row[np.newaxis]) for row in probabilities.mean(axis=0)]
    for index in mistakes:
        print(f"{rows[index]['path']}: is {labels[index]}: {answers[index]}")
    shown = mistakes[:MAX_SHOWN]
    pictures = [read_picture(args.labels.parent / rows[index]["path"]) for index in shown]
    titles = [f"is {labels[index]}: {answers[index]}".replace(", ", ",\n") for index in shown]
    save_figure(args.sheet, draw_sheet, pictures, [images[index] for index in shown], titles)


if __name__ == "__main__":
    run_script(main)
