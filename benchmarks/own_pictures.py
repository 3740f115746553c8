"""Counts how many pictures of digits, each named with its label in a CSV file, are read as predict_CNN.py reads them.

The file has the columns path (from its own folder) and label, and may have kind, for which all is counted as well. A
label holds the digits of a picture, with spaces between numbers and slashes between lines; one without a digit (empty,
none, letters, printed) means that nothing should be found. Several finders give means over them.
Run it: python -m benchmarks.own_pictures labels.csv
or, to see what single digits lose without any preparation: python -m benchmarks.own_pictures labels.csv --naive squeeze
"""

from __future__ import annotations

import argparse
import csv
import difflib
import time
from pathlib import Path
from typing import Callable, NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image

from digits.command_line import FINDER_PATH, add_shared_flags, run_script
from digits.formatting import CONFIDENT
from digits.plots import save_figure
from digits.prediction_plot import join_images
from digits.reading.digits import Digit, find_digits
from digits.reading.finder import Finder
from digits.reading.mnist_format import IMAGE_SIZE, bounding_box, format_digit
from digits.reading.picture import read_picture
from digits.weights import load_finder, load_weights
from model import CNN
from predict_CNN import predict_probabilities
from test_CNN import calibration_error

SHEET_PATH = Path("mistakes_pictures.png")
MAX_SHOWN = 100  # pictures on the sheet
MAX_TITLE = 24  # letters above each


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
    """Return the image (28, 28), uint8, that format_digit() makes of what Otsu's threshold finds.

    Raises ValueError when the picture is of one shade.
    """
    grey = np.asarray(picture.convert("L"), dtype=np.float32)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    light = 255 - grey if border.mean() > 127 else grey
    light = np.where(light > otsu_threshold(light), light, 0)
    if not light.any():
        raise ValueError("no digit found")
    left, top, right, bottom = bounding_box(light > 0)
    return format_digit(light[top:bottom, left:right])


def otsu_threshold(values: np.ndarray) -> float:
    """Return the threshold that best separates values of any shape into two groups.

    The groups' means differ most, given their sizes (Otsu 1979, "A threshold selection method from gray-level
    histograms").
    """
    values = np.sort(values, axis=None).astype(np.float64)
    num_low, sum_low = np.arange(1, values.size), values.cumsum()[:-1]
    num_high, sum_high = values.size - num_low, values.sum() - sum_low
    separation = num_low * num_high * (sum_high / num_high - sum_low / num_low) ** 2
    best = separation.argmax()
    return float(values[best : best + 2].mean())


WAYS = {"squeeze": squeeze, "inverted": squeeze_inverted, "border": squeeze_by_border, "crop": crop_and_centre}


class Result(NamedTuple):
    """What is read in one picture."""

    digits: str  # predicted, line by line
    image: np.ndarray  # those of the digits, joined line by line; (28, 28) where there are none
    probabilities: np.ndarray  # (number of digits, 10)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of the CSV file, with the digits of the label alone. Raises ValueError when it has no labels."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or any(not row.get("path") or row.get("label") is None for row in rows):
        raise ValueError(f"{path} needs the columns path and label")
    for row in rows:
        row["digits"] = "".join(letter for letter in row["label"] if letter.isdigit())
    return rows


def read_result(picture: Path | Image.Image, model: CNN, find: Callable[[Image.Image], list[Digit]]) -> Result:
    """Return what is read in a picture, a file or opened by Pillow: nothing where it is refused."""
    try:
        digits = find(read_picture(picture))
    except (OSError, ValueError):
        return Result("", np.zeros((IMAGE_SIZE, IMAGE_SIZE)), np.zeros((0, 10)))
    probabilities = predict_probabilities(digits, model)
    return Result("".join(map(str, probabilities.argmax(axis=1))), join_images(digits), probabilities)


def count_read(label: str, digits: str) -> int:
    """Return how many digits of a label are read, in their order."""
    blocks = difflib.SequenceMatcher(None, label, digits, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)


def print_table(rows: list[dict[str, str]], runs: list[list[Result]]) -> None:
    """Print, by kind, what is read: means over the finders, each of which gave a result for each row."""
    print("| pictures | number | read in full | digits read | right count | surely wrong |")
    print("|---|---:|---:|---:|---:|---:|")
    for kind in ["all", *sorted({row.get("kind") or "" for row in rows} - {""})]:
        chosen = [
            (row["digits"], result)
            for results in runs
            for row, result in zip(rows, results)
            if kind in ("all", row.get("kind"))
        ]
        full = [label == result.digits for label, result in chosen]
        num_digits = sum(len(label) for label, _ in chosen)
        num_read = sum(count_read(label, result.digits) for label, result in chosen)
        right_count = [len(label) == len(result.digits) for label, result in chosen]
        sure = [
            label != result.digits and len(result.digits) > 0 and result.probabilities.max(axis=1).min() >= CONFIDENT
            for label, result in chosen
        ]
        cells = [f"{100 * np.mean(values):.2f} %" for values in (full, right_count, sure)]
        digits_read = f"{100 * num_read / num_digits:.2f} %" if num_digits else "-"
        print(f"| {kind} | {len(chosen) // len(runs)} | {cells[0]} | {digits_read} | {cells[1]} | {cells[2]} |")


def draw_sheet(figure: Figure, pictures: list[Image.Image], images: list[np.ndarray], titles: list[str]) -> None:
    """Draw the pictures, each beside the image, or the joined images, made of it."""
    num_rows = max(1, -(-len(pictures) // 4))
    figure.set_size_inches(12, 1.9 * num_rows)
    cells = figure.subplots(num_rows, 8, squeeze=False).reshape(-1, 2)
    for left, right in cells:
        left.axis("off")
        right.axis("off")
    for (left, right), picture, image, title in zip(cells, pictures, images, titles):
        left.imshow(picture)
        left.set_title(title if len(title) <= MAX_TITLE else f"{title[: MAX_TITLE - 1]}…", fontsize=8, loc="left")
        right.imshow(image, cmap="gray", vmin=0, vmax=255)


def main() -> None:
    """Read all pictures; print a table, calibration, time and mistakes, and draw the mistakes of the first finder."""
    parser = argparse.ArgumentParser(description="Counts how many of your pictures are read in full.")
    parser.add_argument("labels", type=Path, help="CSV file with the columns path and label")
    parser.add_argument("--naive", choices=WAYS, help="make one image of the picture instead of finding digits")
    parser.add_argument(
        "--finders", type=Path, nargs="+", default=[FINDER_PATH], help="files of weights (default: ours)"
    )
    parser.add_argument("--sheet", type=Path, default=SHEET_PATH, help="where it goes (default: %(default)s)")
    add_shared_flags(parser, "--model-path")
    args = parser.parse_args()
    model, rows = load_weights(args.model_path), read_rows(args.labels)
    paths = [args.labels.parent / row["path"] for row in rows]

    runs, start = [], time.perf_counter()
    for path in args.finders[: 1 if args.naive else None]:
        finder = load_finder(path)

        def find(picture: Image.Image, finder: Finder = finder) -> list[Digit]:
            if args.naive:
                return [Digit(WAYS[args.naive](picture), (0, 0, *picture.size), 0)]
            return find_digits(picture, finder)[0]

        runs.append([read_result(path, model, find) for path in paths])
    seconds = time.perf_counter() - start

    print_table(rows, runs)
    print(f"{1000 * seconds / len(runs) / len(rows):.1f} ms a picture")
    single = [(row, result) for row, result in zip(rows, runs[0]) if len(row["digits"]) == len(result.digits) == 1]
    if single:
        probabilities = torch.from_numpy(np.concatenate([result.probabilities for _, result in single]))
        labels = torch.tensor([int(row["digits"]) for row, _ in single])
        print(f"Expected calibration error of single digits: {calibration_error(probabilities, labels):.2f} %")

    mistakes = [index for index, row in enumerate(rows) if row["digits"] != runs[0][index].digits]
    titles = [f"is {rows[index]['digits'] or 'none'}: {runs[0][index].digits or 'none'}" for index in mistakes]
    for index, title in zip(mistakes, titles):
        print(f"{rows[index]['path']}: {title}")
    shown = mistakes[:MAX_SHOWN]
    images = [runs[0][index].image for index in shown]
    save_figure(args.sheet, draw_sheet, [read_picture(paths[index]) for index in shown], images, titles[:MAX_SHOWN])


if __name__ == "__main__":
    run_script(main)
