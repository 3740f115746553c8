"""Digits, and what else a pen writes, on random places of a page."""

from __future__ import annotations

from typing import Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from digits.reading.shapes import Shape

Rng = np.random.Generator
Limits = Tuple[float, float]  # smallest and largest
Slot = Tuple[float, float, float]  # x and y of a digit's centre, and its height, in pixels of the page

OVERSAMPLING = 2  # pixels along each side of a pixel, while lines are drawn
NO_DIGIT, ONE_DIGIT, ONE_NUMBER, LINES = 0.14, 0.42, 0.2, 0.18  # the rest are scatters
MIN_PEN_WIDTH = 1.0  # pixels
DIGIT_HEIGHT: Limits = (0.08, 1.0)  # of a single digit, relative to the shorter side of the picture
LINE_HEIGHT: Limits = (0.08, 0.45)  # of the digits in a number, likewise
MIN_HEIGHT = 9  # pixels; smaller digits cannot be read
GAP: Limits = (-0.1, 0.6)  # between the digits of a number, relative to their height
WIDE_GAP: Limits = (0.5, 2.0)  # between numbers
PITCH: Limits = (1.1, 2.2)  # from line to line, relative to the height of the digits
MAX_BEND = 0.22  # of top and bottom of a digit to the side, relative to its height
MAX_OVERLAP, MAX_BOX_OVERLAP = 0.12, 0.35  # of two digits, relative to the ink of one, to the smaller box
SLANT, LEAN = 0.16, 9.0  # standard deviation (pixels to the side per pixel upwards), largest rotation (degrees)
PRESSURE = 0.3  # how often the width changes along a stroke
TURN, PERSPECTIVE = 6.0, 0.12  # degrees, relative change of the size across the picture
# How often a mark that is not around digits is a sign, a point, a tick, a zigzag, a scribble, a smooth stroke, letters
MARK_KINDS = 0.4, 0.1, 0.06, 0.08, 0.1, 0.08, 0.18


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
    side, kind = min(width, height), rng.random()
    if kind < NO_DIGIT:
        return []
    kind -= NO_DIGIT
    if kind < ONE_DIGIT:
        size = side * (log_uniform(rng, DIGIT_HEIGHT) if rng.random() < 0.6 else rng.uniform(0.5, 1.0))
        size = max(size, MIN_HEIGHT)
        if size > 0.45 * side and rng.random() < 0.7:
            return [(width / 2 + rng.normal(0, 0.04) * side, height / 2 + rng.normal(0, 0.02) * side, size)]
        reach = 0.5 * size
        return [(rng.uniform(reach, width - reach), rng.uniform(reach, height - reach), size)]
    kind -= ONE_DIGIT
    num_rows = 1 if kind < ONE_NUMBER else int(rng.integers(2, 6))
    size = max(MIN_HEIGHT, min(side * log_uniform(rng, LINE_HEIGHT), 0.8 * height / num_rows))
    slots = []
    if kind < ONE_NUMBER + LINES:
        pitch = size * rng.uniform(*PITCH)
        y = rng.uniform(0.6 * size, max(0.7 * size, height - 0.6 * size - pitch * (num_rows - 1)))
        is_wide = rng.random() < 0.25
        gap = rng.uniform(*(WIDE_GAP if is_wide else GAP))
        stairs = rng.normal(0, 0.05) if rng.random() < 0.85 else rng.uniform(-0.6, 0.6)
        for _ in range(num_rows):
            num_digits = int(rng.integers(1, 9))
            x = rng.uniform(0.4 * size, max(0.5 * size, width - num_digits * 0.8 * size))
            line_y = y
            for _ in range(num_digits):
                if rng.random() < 0.12:
                    x += size * rng.uniform(*WIDE_GAP)
                slots.append((x, line_y + rng.normal(0, 0.05) * size, size * rng.uniform(0.82, 1.12)))
                x += size * (rng.uniform(0.55, 0.75) + gap)
                line_y += stairs * size
            y += pitch
        return slots
    for _ in range(int(rng.integers(2, 12))):
        digit_size = max(MIN_HEIGHT, size * rng.uniform(0.5, 1.3))
        slots.append((rng.uniform(0, width), rng.uniform(0, height), digit_size))
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
    """Return the area that two boxes (4,) share, relative to the smaller one."""
    width, height = (np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2])).clip(0)
    return width * height / min(np.prod(box[2:] - box[:2]), np.prod(other[2:] - other[:2]))


def write_digits(rng: Rng, shapes: list[Shape], slots: list[Slot], pen: float, canvas: Canvas) -> np.ndarray:
    """Write a random digit at each slot where there is room, the pen relative to it. Return the boxes (N, 4)."""
    boxes: list[tuple[float, ...]] = []
    slant, pressure = rng.normal(0, SLANT), rng.random() < PRESSURE
    covered = np.zeros((canvas.height, canvas.width), np.float32)
    for slot in slots:
        shape = shapes[int(rng.integers(len(shapes)))]
        points = sample_points(rng, shape, slot, slant)
        width = max(MIN_PEN_WIDTH, pen * slot[2] * rng.uniform(0.9, 1.1))
        inner = canvas.project(points)
        low, high = inner.min(axis=0) - width / 2, inner.max(axis=0) + width / 2
        if len(slots) == 1:  # a picture that is cropped tightly: the digit may touch the border, but not run out of it
            shift = np.maximum(0, -low) - np.maximum(0, high - (canvas.width, canvas.height))
            points, low, high = points + shift, low + shift, high + shift
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


def write_marks(rng: Rng, slots: list[Slot], boxes: np.ndarray, pen: float, canvas: Canvas) -> None:
    """Write what is no digit: lines below or around the digits, signs between them, ticks, scribbles, blots."""
    width, height = canvas.width, canvas.height
    size = float(np.median([slot[2] for slot in slots])) if slots else min(width, height) * log_uniform(rng, (0.1, 0.6))
    line_width = max(MIN_PEN_WIDTH, pen * size * rng.uniform(0.5, 1.3))
    for _ in range(int(rng.integers(1, 6))):
        if len(boxes) and rng.random() < 0.3:
            left, top = boxes[:, :2].min(axis=0) - size * rng.uniform(0.1, 0.5)
            right, bottom = boxes[:, 2:].max(axis=0) + size * rng.uniform(0.1, 0.5)
            kind = rng.integers(3)
            if kind == 0:  # an underline, or a line above
                x = np.linspace(left, right, 8)
                y = (bottom if rng.random() < 0.8 else top) + rng.normal(0, 0.03 * size, 8) - 0.1 * size
            elif kind == 1:  # a ring
                turn = np.linspace(0, 2 * np.pi + rng.uniform(-0.3, 0.6), 40) + rng.uniform(0, 6.3)
                x = (left + right) / 2 + 0.62 * (right - left) * np.cos(turn) * (1 + rng.uniform(-0.01, 0.01) * turn)
                y = (top + bottom) / 2 + 0.62 * (bottom - top) * np.sin(turn)
            else:  # a box
                x = np.array([left, right, right, left, left]) + rng.normal(0, 0.04 * size, 5)
                y = np.array([top, top, bottom, bottom, top]) + rng.normal(0, 0.04 * size, 5)
            canvas.draw_curve(np.stack([x, y], axis=1), line_width)
            continue
        x, y = rng.uniform(0.03, 0.97, 2) * (width, height)
        if slots and rng.random() < 0.6:  # beside a digit
            x, y, _ = slots[int(rng.integers(len(slots)))]
            x += size * rng.uniform(0.6, 1)
        arm = size * rng.uniform(0.2, 0.6)
        kind = rng.choice(7, p=MARK_KINDS)
        if kind == 0:  # plus, minus, equals, times
            strokes = [
                [(-1, 0), (1, 0)],
                [(0, -1), (0, 1)],
                [(-1, 0.5), (1, 0.5)],
                [(-1, -1), (1, 1)],
                [(1, -1), (-1, 1)],
            ]
            chosen = ([0], [0, 1], [0, 1], [0, 2], [3, 4])[int(rng.integers(5))]
            curves = [np.array(strokes[number], float) for number in chosen]
        elif kind == 1:  # a point, a comma
            curves = [np.array([(0, 0), (0, 0.01), rng.normal(0, 0.25, 2)])]
        elif kind == 2:  # a tick
            curves = [np.array([(-1, 0), (-0.3, 0.8), (1, -1)], float)]
        elif kind == 3:  # a zigzag, hatching
            count = int(rng.integers(6, 24))
            curves = [np.stack([np.linspace(-1.5, 1.5, count), np.tile([-1, 1], count)[:count]], axis=1) * 0.8]
            curves[0] += rng.normal(0, 0.15, curves[0].shape)
        elif kind == 4:  # a scribble
            curves = [rng.normal(0, 1.1, (int(rng.integers(6, 30)), 2))]
        elif kind == 5:  # a smooth stroke, wider than a 1
            curves = [np.cumsum(np.cumsum(rng.normal(0, 0.02, (40, 2)), axis=0) + rng.normal(0, (0.1, 0.03)), axis=0)]
        else:  # letters, in print as if written
            canvas.pencil.text(
                (OVERSAMPLING * x, OVERSAMPLING * y), sample_text(rng, 6), 255, load_font(OVERSAMPLING * max(8, size))
            )
            curves = []
        for curve in curves:
            turn = rng.normal(0, 0.15)
            curve = curve @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
            canvas.draw_curve(curve * arm + (x, y), line_width)


def sample_text(rng: Rng, longest: int) -> str:
    """Return random letters without those that look like digits."""
    letters = list("acdefhkmnprtuvwxyACDEFGHKLMNPRTUVWXY .:")
    return "".join(rng.choice(letters, int(rng.integers(1, longest + 1))))


def load_font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font, in pixels, or the one of fixed size of a Pillow without FreeType."""
    return ImageFont.load_default(int(size))
