"""Digits on random positions of a page, written by random hands."""

from __future__ import annotations

from typing import Tuple

import numpy as np
from PIL import Image, ImageDraw

from digits.reading.shapes import Shape

Rng = np.random.Generator
Limits = Tuple[float, float]  # smallest and largest
Slot = Tuple[float, float, float]  # x and y of a digit's centre, and its height, in pixels of the page

OVERSAMPLING = 2  # pixels along each side of a pixel, while lines are drawn
NO_DIGIT, ONE_DIGIT, ONE_NUMBER, LINES = 0.14, 0.42, 0.2, 0.18  # fractions of the pages; the rest are scatters
CENTRED = 0.5  # fraction of the single digits that fill a picture's height; the others lie anywhere
TOUCHING, SPACED = 0.2, 0.25  # fractions of the pages whose digits touch, or stand far apart
STAIRS = 0.15  # fraction of the pages whose lines go up or down
MIN_PEN_WIDTH = 1.0  # pixels
DIGIT_HEIGHT: Limits = (0.08, 1.0)  # of a single digit, relative to the shorter side of the picture
FILLING_HEIGHT: Limits = (0.5, 1.0)  # of a single digit that fills the picture, relative to the picture's height
LINE_HEIGHT: Limits = (0.08, 0.45)  # of the digits in a number, relative to the shorter side of the picture
MIN_HEIGHT = 9  # pixels; smaller digits cannot be read
GAP: Limits = (0.0, 0.6)  # between the digits of a number, relative to their height
NO_GAP: Limits = (-0.15, 0.0)  # between touching digits
WIDE_GAP: Limits = (0.5, 2.0)  # between numbers
PITCH: Limits = (1.1, 2.2)  # from line to line, relative to the height of the digits
MAX_BEND = 0.22  # of top and bottom of a digit to the side, relative to its height
MAX_OVERLAP, MAX_BOX_OVERLAP = 0.12, 0.35  # of two digits, relative to the ink of one, to the smaller box
SLANT, LEAN = 0.16, 9.0  # standard deviation (pixels to the side per pixel upwards), largest rotation (degrees)
PRESSURE = 0.3  # fraction of the pages on which the width changes along a stroke
TURN, PERSPECTIVE = 6.0, 0.12  # degrees, relative change of the size across the picture


def log_uniform(rng: Rng, limits: Limits) -> float:
    """Return a random number whose logarithm is uniform between the limits."""
    return float(np.exp(rng.uniform(*np.log(limits))))


class Canvas:
    """Lines drawn in perspective, on a layer of their own."""

    def __init__(self, width: int, height: int, matrix: np.ndarray) -> None:
        self.width, self.height, self.matrix = width, height, matrix
        self.layer = Image.new("L", (OVERSAMPLING * width, OVERSAMPLING * height))
        self.pencil = ImageDraw.Draw(self.layer)

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return points (N, 2) of the page as points of the picture, in pixels."""
        projected = np.column_stack([points, np.ones(len(points))]) @ self.matrix.T
        return projected[:, :2] / projected[:, 2:]

    def draw_lines(self, starts: np.ndarray, ends: np.ndarray, widths: np.ndarray | float, ink: float = 255) -> None:
        """Draw a line from each of the starts (N, 2) to each of the ends (N, 2), in pixels of the page."""
        coordinates = OVERSAMPLING * np.hstack([self.project(starts), self.project(ends)])
        widths = OVERSAMPLING * np.broadcast_to(widths, len(coordinates))
        for (x, y, end_x, end_y), width in zip(coordinates.tolist(), widths.tolist()):
            self.pencil.line((x, y, end_x, end_y), int(ink), max(1, round(width)))
            if width > 3:
                radius = width / 2 - 0.5
                self.pencil.ellipse((end_x - radius, end_y - radius, end_x + radius, end_y + radius), int(ink))

    def draw_curve(self, points: np.ndarray, width: float, ink: float = 255) -> None:
        """Draw lines from each of the points (N, 2) to the next one."""
        self.draw_lines(points[:-1], points[1:], width, ink)

    def to_array(self) -> np.ndarray:
        """Return how much of each pixel is covered (height, width), floats in 0..1."""
        return np.asarray(self.layer.reduce(OVERSAMPLING), np.float32) / 255


def sample_view(rng: Rng, width: int, height: int) -> np.ndarray:
    """Return the matrix (3, 3) of a camera that looks at the middle of the page, turned and a little from aside."""
    angle = np.deg2rad(rng.uniform(-TURN, TURN))
    sin, cos = np.sin(angle), np.cos(angle)
    to_middle = np.array([[1, 0, -width / 2], [0, 1, -height / 2], [0, 0, 1]])
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    turn[2, :2] = rng.uniform(-PERSPECTIVE, PERSPECTIVE, 2) / max(width, height)
    return np.linalg.inv(to_middle) @ turn @ to_middle


def lay_out(rng: Rng, width: int, height: int) -> list[Slot]:
    """Return where digits go: one, a number, lines of numbers, a scatter, or none."""
    kind = rng.choice(5, p=(NO_DIGIT, ONE_DIGIT, ONE_NUMBER, LINES, 1 - NO_DIGIT - ONE_DIGIT - ONE_NUMBER - LINES))
    if kind == 0:
        return []
    if kind == 1:
        return [lay_out_digit(rng, width, height)]
    num_lines = 1 if kind == 2 else int(rng.integers(2, 6))
    size = min(min(width, height) * log_uniform(rng, LINE_HEIGHT), 0.8 * height / num_lines)
    if kind < 4:
        return lay_out_lines(rng, width, height, num_lines, max(MIN_HEIGHT, size))
    return [
        (rng.uniform(0, width), rng.uniform(0, height), max(MIN_HEIGHT, size * rng.uniform(0.5, 1.3)))
        for _ in range(int(rng.integers(2, 12)))
    ]


def lay_out_digit(rng: Rng, width: int, height: int) -> Slot:
    """Return where a single digit goes: in the middle of a picture that was cropped to it, or anywhere."""
    if rng.random() < CENTRED:
        size = height * rng.uniform(*FILLING_HEIGHT)
        return width / 2 + rng.normal(0, 0.04) * size, height / 2 + rng.normal(0, 0.02) * size, size
    size = max(MIN_HEIGHT, min(width, height) * log_uniform(rng, DIGIT_HEIGHT))
    return rng.uniform(size / 2, width - size / 2), rng.uniform(size / 2, height - size / 2), size


def lay_out_lines(rng: Rng, width: int, height: int, num_lines: int, size: float) -> list[Slot]:
    """Return where the digits of lines of numbers go, about `size` pixels high, line by line from left to right."""
    pitch, slots = size * rng.uniform(*PITCH), []
    y = rng.uniform(0.6 * size, max(0.7 * size, height - 0.6 * size - pitch * (num_lines - 1)))
    gap = rng.uniform(*(GAP, NO_GAP, WIDE_GAP)[rng.choice(3, p=(1 - TOUCHING - SPACED, TOUCHING, SPACED))])
    climb = rng.uniform(-0.6, 0.6) if rng.random() < STAIRS else rng.normal(0, 0.05)  # from digit to digit
    for line in range(num_lines):
        num_digits = int(rng.integers(1, 9))
        x = rng.uniform(0.4 * size, max(0.5 * size, width - num_digits * 0.8 * size))
        for number in range(num_digits):
            if rng.random() < 0.12:
                x += size * rng.uniform(*WIDE_GAP)
            line_y = y + pitch * line + size * (climb * number + rng.normal(0, 0.05))
            slots.append((x, line_y, size * rng.uniform(0.82, 1.12)))
            x += size * (rng.uniform(0.55, 0.75) + gap)
    return slots


def sample_points(rng: Rng, shape: Shape, slot: Slot, slant: float) -> np.ndarray:
    """Return the points of a shape (N, 2) written at a slot by a hand of its own: in pixels of the page."""
    x, y = shape.points.T * rng.uniform((0.8, 0.94), (1.2, 1.06))[:, np.newaxis]
    if rng.random() < 0.5:  # top and bottom bent to the side
        above, below = (-0.1 - y).clip(min=0) / 0.4, (y - 0.1).clip(min=0) / 0.4
        x = x + rng.uniform(-MAX_BEND, MAX_BEND) * above**2 + rng.uniform(-MAX_BEND, MAX_BEND) * below**2
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


def write_digits(rng: Rng, shapes: list[Shape], slots: list[Slot], pen: float, canvas: Canvas) -> np.ndarray:
    """Write a random digit at each slot where there is room, the pen relative to it. Return the boxes (N, 4)."""
    boxes: list[tuple[float, ...]] = []
    slant, pressure = rng.normal(0, SLANT), rng.random() < PRESSURE
    covered = np.zeros((canvas.height, canvas.width), np.float32)
    for slot in slots:
        shape = shapes[int(rng.integers(len(shapes)))]
        points = sample_points(rng, shape, slot, slant)
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
        covered = np.maximum(covered, new)
        canvas.layer.paste(255, mask=digit.layer)
        (left, top), (right, bottom) = low.clip(0), high.clip(max=(canvas.width, canvas.height))
        boxes.append((left, top, right, bottom))
    return np.array(boxes, np.float32).reshape(-1, 4)
