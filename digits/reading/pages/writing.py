"""Digits on a page, written by random hands."""

from __future__ import annotations

import numpy as np

from digits.reading.pages.canvas import MIN_PEN_WIDTH, Canvas, Rng, Slot
from digits.reading.pages.shapes import Shape

MAX_BEND = 0.22  # of top and bottom of a digit to the side, relative to its height
MAX_OVERLAP, MAX_BOX_OVERLAP = 0.12, 0.5  # of two digits, relative to the ink of one, to the smaller box
STRETCHED, MAX_STRETCH = 0.3, 1.6  # fraction of the digits whose upper or lower half is higher, up to so many times
SLANT, LEAN = 0.16, 9.0  # standard deviation (pixels to the side per pixel upwards), largest rotation (degrees)
PRESSURE = 0.3  # fraction of the pages on which the width changes along a stroke


def deform(rng: Rng, points: np.ndarray) -> np.ndarray:
    """Return the points of a shape (N, 2) with top and bottom bent to the side, a long tail or a long arm, or as is."""
    x, y = points.T
    if rng.random() < 0.5:
        above, below = (-0.1 - y).clip(min=0) / 0.4, (y - 0.1).clip(min=0) / 0.4
        x = x + rng.uniform(-MAX_BEND, MAX_BEND) * above**2 + rng.uniform(-MAX_BEND, MAX_BEND) * below**2
    if rng.random() < STRETCHED:
        is_stretched = y > 0 if rng.random() < 0.7 else y < 0
        y = np.where(is_stretched, rng.uniform(1, MAX_STRETCH) * y, y)
    return np.stack([x, y], axis=1)


def place(rng: Rng, points: np.ndarray, slot: Slot, slant: float) -> np.ndarray:
    """Return the points of a shape (N, 2) written at a slot, slanting and turned a little: in pixels of the page."""
    x, y = points.T * rng.uniform((0.8, 0.94), (1.2, 1.06))[:, np.newaxis]
    x = x - (slant + rng.normal(0, 0.05)) * y
    angle = np.deg2rad(rng.uniform(-LEAN, LEAN))
    x, y = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    return np.stack([slot[0] + slot[2] * x, slot[1] + slot[2] * y], axis=1)


def box_overlap(box: np.ndarray, other: np.ndarray) -> float:
    """Return the area of the intersection of two boxes (4,), relative to the smaller one."""
    width, height = (np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])).clip(0)
    return width * height / min(np.prod(box[2:] - box[:2]), np.prod(other[2:] - other[:2]))


def fit(points: np.ndarray, width: float, canvas: Canvas) -> np.ndarray:
    """Return points (N, 2), written with a pen of this width, moved and shrunk until they lie inside the canvas."""
    for _ in range(2):  # the second time for what the first did not reach in perspective
        inner, size = canvas.project(points), np.array([canvas.width, canvas.height]) - width
        low, high = inner.min(axis=0), inner.max(axis=0)
        points = points.mean(axis=0) + min(1, *(size / (high - low + 1e-6))) * (points - points.mean(axis=0))
        inner = canvas.project(points)
        low, high = inner.min(axis=0) - width / 2, inner.max(axis=0) + width / 2
        points = points + np.maximum(0, -low) - np.maximum(0, high - (canvas.width, canvas.height))
    return points


def write_digits(
    rng: Rng, shapes: list[Shape], slots: list[Slot], pen: float, canvas: Canvas, is_deformed: bool = True
) -> np.ndarray:
    """Write a digit of each shape at its slot where there is room, the pen relative to it. Return the boxes (N, 4).

    Deformed, there are more kinds of digits to learn from, but not all of them are still what they were.
    """
    boxes: list[tuple[float, ...]] = []
    slant, pressure = rng.normal(0, SLANT), rng.random() < PRESSURE
    covered = np.zeros((canvas.height, canvas.width), np.float32)
    for shape, slot in zip(shapes, slots):
        points = place(rng, deform(rng, shape.points) if is_deformed else shape.points, slot, slant)
        width = max(MIN_PEN_WIDTH, pen * slot[2] * rng.uniform(0.9, 1.1))
        if len(slots) == 1:
            points = fit(points, width, canvas)
        inner = canvas.project(points)
        low, high = inner.min(axis=0) - width / 2, inner.max(axis=0) + width / 2
        if (low < -1).any() or (high > (canvas.width + 1, canvas.height + 1)).any():
            continue
        if any(box_overlap(np.concatenate([low, high]), np.array(box)) > MAX_BOX_OVERLAP for box in boxes):
            continue
        digit = Canvas(canvas.width, canvas.height, canvas.matrix)
        starts, ends = points[shape.edges[:, 0]], points[shape.edges[:, 1]]
        widths = np.full(len(starts), width)
        if pressure:
            widths *= 1 + 0.3 * np.sin(rng.uniform(0, 6.3) + (starts - points[0]) @ rng.normal(0, 3, 2) / slot[2])
        digit.draw_lines(starts, ends, np.maximum(widths, MIN_PEN_WIDTH))
        new = digit.to_array()
        overlap = np.minimum(covered, new).sum()
        if overlap > MAX_OVERLAP * new.sum():
            continue
        canvas.owners[new > covered] = canvas.owners.max() + 1
        covered = np.maximum(covered, new)
        canvas.layer.paste(255, mask=digit.layer)
        (left, top), (right, bottom) = low.clip(0), high.clip(max=(canvas.width, canvas.height))
        boxes.append((left, top, right, bottom))
    return np.array(boxes, np.float32).reshape(-1, 4)
