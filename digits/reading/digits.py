"""Reads a picture: where its digits are, in which lines, and the image of each."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from digits.reading.finder import MIN_SCORE, Finder, look, suppress
from digits.reading.mnist_format import bounding_box, format_digit

FIRST_SIZES = 96, 256  # pixels: longer side of a picture at the first looks, for large and for small digits
DIGIT_HEIGHT = 44  # pixels: median height of the digits at the looks that follow
MAX_LOOKS, MAX_MISFIT = 3, 1.4  # largest number of those looks; factor by which the height may be missed
MAX_AREA = 600_000  # pixels in a look, for time and memory
FAINT_SCORE = 0.03  # probability of a digit at the first looks without which none is found later
MAX_ZOOM = 4.0  # largest magnification of the picture at the first looks
MIN_INK = 0.25  # smallest probability of ink in the soft edges of a stroke
MAX_TAIL = 0.6  # largest length of a stroke outside the box of its digit, relative to the longer side of the box
MAX_OFFSET = 0.7  # largest vertical distance of neighbours in a line, relative to the height of the higher one


class Digit(NamedTuple):
    """A digit that was found in a picture."""

    image: np.ndarray  # (28, 28), uint8, in MNIST's form
    box: tuple[int, int, int, int]  # left, top, right and bottom in the picture, in pixels
    line: int  # 0 is the first line of the picture


class View(NamedTuple):
    """What the finder has seen in a part of a picture."""

    ink: np.ndarray  # (H, W): probability of ink in each pixel
    boxes: np.ndarray  # (N, 4): left, top, right and bottom of the digits, in these pixels
    scores: np.ndarray  # (N,): their probabilities
    origin: tuple[float, float]  # left and top of the part, in pixels of the picture
    scale: float  # of these pixels for each pixel of the picture, along a side


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
        corners = np.array([left, top, right, bottom]) / view.scale + np.tile(view.origin, 2)
        left_x, top_y, right_x, bottom_y = corners.round().astype(int).tolist()
        image = format_digit((ink * mask)[top:bottom, left:right])
        digits.append(Digit(image, (left_x, top_y, right_x, bottom_y), line))
    digits.sort(key=lambda digit: (digit.line, digit.box[0] + digit.box[2]))
    return digits, 1 - float((ink * masks.any(axis=0)).sum() / ink.sum())


def look_at(
    picture: Image.Image, finder: Finder, part: tuple[float, float, float, float], scale: float, min_score: float
) -> View:
    """Return what the finder sees in a part (left, top, right and bottom) of a picture that is enlarged by `scale`."""
    left, top, right, bottom = part
    size = max(16, round(scale * (right - left))), max(16, round(scale * (bottom - top)))
    resampling = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX
    pixels = np.array(picture.resize(size, resampling, part))
    ink, boxes, scores = look(finder, torch.from_numpy(pixels).permute(2, 0, 1).float(), min_score)
    return View(ink.numpy(), boxes.numpy(), scores.numpy(), (left, top), scale)


def look_closely(picture: Image.Image, finder: Finder) -> View:
    """Return what the finder sees at the scale at which the digits have DIGIT_HEIGHT, which two first looks give.

    What the first looks have not even faintly seen, such as print that shines through the paper, is no digit later.
    """
    scales = [min(size / max(picture.size), MAX_ZOOM) for size in FIRST_SIZES]
    scales = scales if scales[1] > MAX_MISFIT * scales[0] else scales[1:]  # two looks at a tiny picture would be alike
    views = [look_at(picture, finder, (0, 0, *picture.size), scale, FAINT_SCORE) for scale in scales]
    seen = np.concatenate([view.boxes / view.scale for view in views])
    scores = np.concatenate([view.scores for view in views])
    kept = suppress(torch.from_numpy(seen), torch.from_numpy(scores)).numpy()
    kept = kept[scores[kept] > MIN_SCORE]
    view = views[-1]._replace(boxes=seen[kept] * scales[-1])
    for number in range(MAX_LOOKS):
        if not len(view.boxes):
            break
        part, scale = choose_look(picture, view)
        if number > 0 and 1 / MAX_MISFIT < scale / view.scale < MAX_MISFIT:
            break
        view = look_at(picture, finder, part, scale, MIN_SCORE)
        centres = (view.boxes[:, :2] + view.boxes[:, 2:]) / 2 / view.scale + view.origin
        is_seen = ((centres[:, None] > seen[:, :2]) & (centres[:, None] < seen[:, 2:])).all(axis=-1).any(axis=-1)
        view = view._replace(boxes=view.boxes[is_seen])
    return view


def choose_look(picture: Image.Image, view: View) -> tuple[tuple[float, float, float, float], float]:
    """Return the part of the picture to look at next, and the scale at which its digits have DIGIT_HEIGHT."""
    height = float(np.median(view.boxes[:, 3] - view.boxes[:, 1])) / view.scale
    scale, part = DIGIT_HEIGHT / height, (0.0, 0.0, float(picture.width), float(picture.height))
    if picture.width * picture.height * scale**2 > MAX_AREA:
        corners = view.boxes / view.scale + np.tile(view.origin, 2)
        left, top = np.maximum(corners[:, :2].min(axis=0) - 1.5 * height, 0)
        right, bottom = np.minimum(corners[:, 2:].max(axis=0) + 1.5 * height, picture.size)
        part = float(left), float(top), float(right), float(bottom)
        scale = min(scale, (MAX_AREA / ((right - left) * (bottom - top))) ** 0.5)
    return part, scale


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
