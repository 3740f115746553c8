"""Finds the connected parts of the ink in a picture, and which of them are digits."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from digits.reading.page import border

MIN_SIZE_AT_BORDER = 0.4  # of the picture's shorter side; what is shorter and touches the border is cut off
MAX_AT_BORDER = 0.5  # of a digit's longer side lies along the border
MIN_HEIGHT = 0.45  # of the digits, in heights of the one with the most ink
MAX_WIDTH = 3  # heights of a digit; what is wider is a line
MAX_OVERLAP = 0.4  # of its width may a digit reach under or over its neighbour
MIN_PART = 0.08  # a part with less ink than this share of the largest is a speck
MAX_GAP = 0.35  # between two parts of one digit, as a share of its longer side


class Parts(NamedTuple):
    """The connected parts of the ink in a picture."""

    labels: np.ndarray  # (H, W), whole numbers: 1 in the first part, and so on, 0 outside of all
    boxes: np.ndarray  # (N, 4): left, top, right, bottom
    weights: np.ndarray  # (N,): the ink in each
    num_at_border: np.ndarray  # (N,): how many pixels of each lie at the border of the picture


def measure_parts(ink: np.ndarray, threshold: float) -> Parts:
    """Return the connected parts of the ink (H, W), floats, that exceeds the threshold; there is at least one."""
    labels = label_parts(ink > threshold)
    num_parts = labels.max()
    rows, columns = np.nonzero(labels)
    parts = labels[rows, columns] - 1
    left, top = np.full((2, num_parts), max(labels.shape))
    right, bottom = np.zeros((2, num_parts), dtype=int)
    np.minimum.at(left, parts, columns)
    np.minimum.at(top, parts, rows)
    np.maximum.at(right, parts, columns + 1)
    np.maximum.at(bottom, parts, rows + 1)
    boxes = np.stack([left, top, right, bottom], axis=1)
    num_at_border = np.bincount(border(labels), minlength=num_parts + 1)[1:]
    return Parts(labels, boxes, np.bincount(parts, ink[rows, columns]), num_at_border)


def label_parts(mask: np.ndarray) -> np.ndarray:
    """Return labels (H, W): 1, 2, ... the same for pixels of `mask` (H, W) that are connected, and 0 outside it."""
    height, width = mask.shape[0], mask.shape[1] + 1
    # Runs of pixels side by side, from `starts` to before `ends`, row after row, each row ending with a pixel outside
    is_inside = np.pad(mask, ((0, 0), (0, 1))).ravel()
    starts, ends = np.flatnonzero(np.diff(is_inside, prepend=False, append=False)).reshape(-1, 2).T
    # The runs in the next row that each run touches, at a corner too
    first, last = np.searchsorted(ends, starts + width), np.searchsorted(starts, ends + width, side="right")
    upper = np.arange(len(starts)).repeat(last - first)
    lower = np.arange(len(upper)) + (last - (last - first).cumsum()).repeat(last - first)
    names = np.arange(len(starts))
    while (names[upper] != names[lower]).any():  # each name becomes the lowest that it touches, and so on
        lowest = np.minimum(names[upper], names[lower])
        np.minimum.at(names, names[upper], lowest)
        np.minimum.at(names, names[lower], lowest)
        while (names != names[names]).any():
            names = names[names]
    changes = np.zeros(is_inside.size, dtype=np.int64)
    changes[starts] = np.unique(names, return_inverse=True)[1] + 1
    changes[ends] -= changes[starts]
    return changes.cumsum().reshape(height, width)[:, :-1]


def runs_out(parts: Parts) -> np.ndarray:
    """Return which parts (N,), booleans, run out of the picture: a line, a shadow or a neighbour, not the digit."""
    height, width = parts.labels.shape
    widths, heights = parts.boxes[:, 2] - parts.boxes[:, 0], parts.boxes[:, 3] - parts.boxes[:, 1]
    sizes = np.maximum(widths, heights)
    is_small = (parts.num_at_border > 0) & (sizes < MIN_SIZE_AT_BORDER * min(height, width))
    is_side = (parts.num_at_border > MAX_AT_BORDER * sizes) & (sizes < min(height, width))
    is_frame = parts.num_at_border > (height + width) / 2  # a quarter of the whole border
    is_line = (widths == width) & (widths > 2 * heights) | (heights == height) & (heights > 2 * widths)
    return is_small | is_side | is_frame | is_line


def group_parts(parts: Parts) -> list[list[int]]:
    """Return the parts of each digit, from left to right; a digit may have several, such as a 5 with a loose bar.

    None of them may be a digit; then the list is empty.
    """
    _, boxes, weights, num_at_border = parts
    widths, heights = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    # The main digit has the most ink, and rather lies within the picture than at its border.
    scores = weights * np.where(runs_out(parts), 0, np.where(num_at_border > 0, 0.3, 1))
    main = int(scores.argmax())
    if not scores[main]:
        return []

    def extent(group: list[int]) -> tuple[int, int, int, int]:
        return (*boxes[group, :2].min(axis=0), *boxes[group, 2:].max(axis=0))

    def is_line(group: list[int]) -> bool:
        left, top, right, bottom = extent(group)
        return right - left > MAX_WIDTH * (bottom - top)

    # The other digits are about half as high or higher, and each stands beside another one.
    tall = np.maximum(heights, 0.3 * widths)  # for a bar may be a part of its digit
    is_speck = weights <= MIN_PART * weights[main]
    is_digit = (heights > MIN_HEIGHT * tall[main]) & ~is_speck
    is_digit &= num_at_border < 0.25 * np.maximum(widths, heights)
    is_digit[main] = False
    row, others = [main], np.flatnonzero(is_digit)
    for digit in row:  # which grows meanwhile
        shared = np.minimum(boxes[others, 3], boxes[digit, 3]) - np.maximum(boxes[others, 1], boxes[digit, 1])
        is_beside = shared > 0.5 * np.minimum(heights[others], tall[digit])
        row += others[is_beside].tolist()
        others = others[~is_beside]
    is_digit = np.isin(np.arange(len(boxes)), row)
    groups: list[list[int]] = []
    for part in sorted(np.flatnonzero(is_digit).tolist(), key=lambda part: boxes[part, 0]):
        if groups:  # one above the other, they are parts of one digit
            left, _, right, _ = extent(groups[-1])
            overlap = min(right, boxes[part, 2]) - max(left, boxes[part, 0])
            if overlap > MAX_OVERLAP * min(right - left, widths[part]):
                groups[-1].append(part)
                continue
        groups.append([part])
    # What is smaller belongs to the digit that it is near to.
    for part in np.flatnonzero(~is_digit & ~is_speck).tolist():
        if num_at_border[part] and not num_at_border[main]:
            continue
        gaps = []
        for group in groups:
            left, top, right, bottom = extent(group)
            gap_x = max(left - boxes[part, 2], boxes[part, 0] - right, 0)
            gap_y = max(top - boxes[part, 3], boxes[part, 1] - bottom, 0)
            gaps.append(np.hypot(gap_x, gap_y) / max(right - left, bottom - top))
        if min(gaps) <= MAX_GAP:
            groups[int(np.argmin(gaps))].append(part)
    return [group for group in groups if not is_line(group)]
