"""The figure of a prediction: the picture with its digits, and the images that the network sees."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from digits.plots import BLUE, ORANGE
from digits.reading.digits import Digit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIGITS_PER_ROW = 8  # longer lines go on in the next row


def arrange(digits: list[Digit]) -> tuple[list[tuple[int, int]], tuple[int, int]]:
    """Return row and column of each digit, and their numbers; each line starts a row of at most DIGITS_PER_ROW."""
    cells: list[tuple[int, int]] = []
    for index, digit in enumerate(digits):
        row, column = cells[-1] if cells else (0, -1)
        is_new = index > 0 and (digit.line != digits[index - 1].line or column + 1 == DIGITS_PER_ROW)
        cells.append((row + 1, 0) if is_new else (row, column + 1))
    return cells, (cells[-1][0] + 1, max(column for _, column in cells) + 1)


def join_images(digits: list[Digit]) -> np.ndarray:
    """Return the images of the digits as one (28 * rows, 28 * columns), uint8, line by line."""
    cells, (num_rows, num_columns) = arrange(digits)
    joined = np.zeros((28 * num_rows, 28 * num_columns), np.uint8)
    for digit, (row, column) in zip(digits, cells):
        joined[28 * row : 28 * row + 28, 28 * column : 28 * column + 28] = digit.image
    return joined


def draw_prediction(
    figure: Figure,
    name: str,
    picture: Image.Image,
    digits: list[Digit],
    probabilities: np.ndarray,
    prediction: str,
) -> None:
    """Draw a picture with a frame around each digit and its prediction, and the image made of each, line by line.

    `probabilities` (number of digits, 10) are in 0..1, `prediction` is what they mean in words.
    """
    cells, (num_rows, num_columns) = arrange(digits)
    figure.set_size_inches(10, max(3.6, min(0.9 * num_rows, 40)))
    predictions, confidences = probabilities.argmax(axis=1), 100 * probabilities.max(axis=1)
    left, right = figure.subplots(1, 2)
    left.imshow(picture)
    for digit, predicted in zip(digits, predictions):
        x, y, end_x, end_y = digit.box
        left.plot([x, end_x, end_x, x, x], [y, y, end_y, end_y, y], color=ORANGE, linewidth=1.2)
        if len(digits) > 1:
            left.annotate(str(predicted), (x, y), color=ORANGE, fontsize=9, ha="right", va="bottom")
    title = Path(name).name.encode(errors="backslashreplace").decode()  # a name may have bytes that are no letters
    left.set_title(title, parse_math=False)
    figure.suptitle("\n".join(textwrap.wrap(prediction, 100)[:4]))
    left.axis("off")
    right.axis("off")
    if len(digits) == 1:
        middle, bars = right.inset_axes((0, 0, 0.45, 1)), right.inset_axes((0.6, 0.1, 0.4, 0.8))
        middle.imshow(digits[0].image, cmap="gray", vmin=0, vmax=255)
        middle.set_title("what the network sees")
        middle.axis("off")
        bars.bar(range(10), 100 * probabilities[0], color=BLUE)
        bars.set(xticks=range(10), ylim=(0, 100), ylabel="probability in %")
        bars.grid(visible=False, axis="x")
        return
    right.set_title("what the network sees")
    for digit, (row, column), predicted, confidence in zip(digits, cells, predictions, confidences):
        extent = (column + 0.05, column + 0.95, 1.3 * row + 1.25, 1.3 * row + 0.35)
        right.imshow(digit.image, cmap="gray", vmin=0, vmax=255, extent=extent)
        text = f"{predicted} ({confidence:.0f} %)"
        right.text(column + 0.5, 1.3 * row + 0.3, text, ha="center", va="bottom", fontsize=8)
    right.set(xlim=(0, max(4, num_columns)), ylim=(1.3 * num_rows, 0), aspect="equal")
