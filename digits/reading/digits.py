"""Reads a picture: where its digits are, in which lines, and the image of each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from digits.reading.finder import Finder
from digits.reading.looking import View, look_closely
from digits.reading.mnist_format import bounding_box, format_digit

MIN_INK = 0.25  # smallest probability of ink in the soft edges of a stroke
MAX_TAIL = 0.6  # largest length of a stroke outside the box of its digit, relative to the longer side of the box
MAX_OFFSET = 0.7  # largest vertical distance of neighbours in a line, relative to the height of the higher one


class Digit(NamedTuple):
    """A digit that was found in a picture."""

    image: np.ndarray  # (28, 28), uint8, in MNIST's form
    box: tuple[int, int, int, int]  # left, top, right and bottom in the picture, in pixels
    line: int  # 0 is the first line of the picture


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
    lines = find_lines(view.boxes[is_digit])
    digits = []
    for mask, line in zip(masks[is_digit], lines):
        left, top, right, bottom = bounding_box(mask)
        corners = view.to_picture(np.array([left, top, right, bottom]))
        left_x, top_y, right_x, bottom_y = corners.round().astype(int).tolist()
        image = format_digit((ink * mask)[top:bottom, left:right])
        digits.append(Digit(image, (left_x, top_y, right_x, bottom_y), line))
    digits.sort(key=lambda digit: (digit.line, digit.box[0] + digit.box[2]))
    return digits, 1 - float((ink * masks.any(axis=0)).sum() / ink.sum())


def separate_digits(view: View) -> np.ndarray:
    """Return masks (N, H, W) of the ink of each digit: what is in its box, and the ends of strokes beside it."""
    is_ink = torch.from_numpy(view.ink > MIN_INK)
    height, width = is_ink.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    masks = torch.zeros(len(view.boxes), height, width, dtype=torch.bool)
    boxes = torch.from_numpy(view.boxes)
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    reach = torch.maximum(sides, 0.3 * sides.amax(dim=1, keepdim=True))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    for number, (left, top, right, bottom) in enumerate(boxes.tolist()):
        tail = int(MAX_TAIL * max(right - left, bottom - top)) + 1
        around = np.s_[
            max(0, int(top) - tail) : int(bottom) + tail + 1, max(0, int(left) - tail) : int(right) + tail + 1
        ]
        points = torch.stack([x[around], y[around]], dim=2)[:, :, None] + 0.5  # (h, w, 1, 2)
        nearest = ((points - centres) / reach).square().sum(dim=3).argmin(dim=2)
        is_mine = is_ink[around] & (nearest == number)
        inside = is_mine & ((points[:, :, 0] >= boxes[number, :2]) & (points[:, :, 0] <= boxes[number, 2:])).all(dim=2)
        num_inside = 0
        while num_inside < inside.sum():  # strokes grow out of the box
            num_inside = int(inside.sum())
            inside = is_mine & (F.max_pool2d(inside[None].float(), 3, stride=1, padding=1)[0] > 0)
        masks[(number, *around)] = inside
    return masks.numpy()


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
