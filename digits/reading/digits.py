"""Reads a picture: where its digits are, in which lines, and the image of each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image

from digits.reading.finder import MIN_SIDE, Finder
from digits.reading.looking import View, look_closely
from digits.reading.mnist_format import bounding_box, format_digit

MIN_INK = 0.25  # smallest probability of ink in the soft edges of a stroke
MAX_OFFSET = 0.7  # largest vertical distance of neighbours in a line, relative to the height of the higher one


class Digit(NamedTuple):
    """A digit that was found in a picture."""

    image: np.ndarray  # (28, 28), uint8, in MNIST's form
    box: tuple[int, int, int, int]  # left, top, right and bottom in the picture, in pixels
    line: int  # 0 is the first line of the picture
    score: float = 1.0  # the finder's probability that it is a digit


def find_digits(picture: Image.Image, finder: Finder) -> tuple[list[Digit], float]:
    """Return the digits in a picture (mode RGB), line by line from left to right, and the fraction of ink in none.

    Raises ValueError when the picture shows no digit.
    """
    view = look_closely(picture, finder)
    masks = separate_digits(view)
    is_digit = masks.any(axis=(1, 2))
    if not is_digit.any():
        raise ValueError("no digit found")
    ink = view.ink * (view.ink > MIN_INK)
    boxes = np.array([bounding_box(mask) for mask in masks[is_digit]])
    digits = []
    for mask, box, score, line in zip(masks[is_digit], boxes, view.scores[is_digit].tolist(), find_lines(boxes)):
        left, top, right, bottom = view.to_picture(box).round().astype(int).tolist()
        image = format_digit((ink * mask)[box[1] : box[3], box[0] : box[2]])
        digits.append(Digit(image, (left, top, right, bottom), line, score))
    digits.sort(key=lambda digit: (digit.line, digit.box[0] + digit.box[2]))
    return digits, 1 - float((ink * masks.any(axis=0)).sum() / ink.sum())


def separate_digits(view: View) -> np.ndarray:
    """Return masks (N, H, W) of the ink of each digit.

    Its centre lies in the ellipse in the digit's box, and is nearer to the middle of that than to any other.
    """
    middles, reach = (view.boxes[:, :2] + view.boxes[:, 2:]) / 2, (view.boxes[:, 2:] - view.boxes[:, :2]) / 2
    reach = np.maximum(reach, MIN_SIDE * reach.max(axis=1, keepdims=True))
    is_ink, masks = view.ink > MIN_INK, np.zeros((len(view.boxes), *view.ink.shape), bool)
    x, y = view.centres[:, is_ink]
    owners, nearest = np.full(len(x), -1), np.ones(len(x), np.float32)  # 1 is the border of an ellipse
    for number, ((middle_x, middle_y), (reach_x, reach_y)) in enumerate(zip(middles, reach)):
        distances = np.hypot((x - middle_x) / reach_x, (y - middle_y) / reach_y)
        owners[distances < nearest] = number
        nearest = np.minimum(nearest, distances)
    masks[:, is_ink] = owners == np.arange(len(masks))[:, np.newaxis]
    return masks


def find_lines(boxes: np.ndarray) -> list[int]:
    """Return the number of the line, from 0 at the top, that each of the digits in boxes (N, 4) is in.

    A digit follows the one to the left that is nearly as high up; it may be the next step of stairs.
    """
    middles, heights = (boxes[:, 1] + boxes[:, 3]) / 2, boxes[:, 3] - boxes[:, 1]
    lines: list[list[int]] = []
    for number in np.argsort(boxes[:, 0] + boxes[:, 2]).tolist():
        offsets = [abs(middles[line[-1]] - middles[number]) / max(heights[line[-1]], heights[number]) for line in lines]
        if offsets and min(offsets) < MAX_OFFSET:
            lines[int(np.argmin(offsets))].append(number)
        else:
            lines.append([number])
    lines.sort(key=lambda line: float(middles[line].mean()))
    numbers = {number: index for index, line in enumerate(lines) for number in line}
    return [numbers[number] for number in range(len(boxes))]
