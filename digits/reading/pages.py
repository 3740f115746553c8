"""Random pictures as people make them, drawn from MNIST's training digits, and where strokes and digits are in them.

Look at a sheet of them: python -m digits.reading.pages
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import NamedTuple, Tuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from digits.command_line import add_shared_flags, run_script, whole_number
from digits.training.mnist import load_mnist

Rng = np.random.Generator
Limits = Tuple[float, float]  # smallest and largest

# How often; each a probability
PAINT = 0.35  # drawn on a screen: flat colours and sharp edges, no paper and no light
NO_DIGIT, ONE_DIGIT, ONE_NUMBER, LINES = 0.14, 0.42, 0.2, 0.18  # the rest are scatters
NO_PAGE = 0.35  # of the pictures without a digit
LIGHT_ON_DARK = 0.2  # of the papers and boards
MARKS = 0.35  # a pen has also written what is no digit
PRINT, FRAME, FORM, CAPTION, CREASE = 0.5, 0.1, 0.08, 0.12, 0.08
SURROUNDINGS = 0.18  # a desk around the sheet, or a window around the canvas
GRAIN, GAPS, PRESSURE = 0.3, 0.15, 0.3
SHADOW, FOLD, GLARE, LOW_LIGHT = 0.6, 0.2, 0.1, 0.3
FEW_PIXELS, ONE_BIT, JPEG, INVERTED, GREY = 0.4, 0.05, 0.35, 0.06, 0.08

# How much
MNIST_ZOOM = 3  # pixels of a middle line for each pixel of MNIST
OVERSAMPLING = 2  # pixels along each side of a pixel, while lines are drawn
PEN_WIDTH: Limits = (0.02, 0.24)  # relative to the height of a digit
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
TURN, PERSPECTIVE = 6.0, 0.12  # degrees, relative change of the size across the picture
RULING: Limits = (0.04, 0.4)  # distance of ruled lines, relative to the shorter side
RULING_WIDTH: Limits = (0.5, 2.2)  # pixels
BLUR: Limits = (0.0, 1.3)  # pixels
NOISE = 4.0  # of 255: mean of the standard deviation
JPEG_QUALITY: Limits = (20, 93)
SMALL_SIDE: Limits = (20, 40)  # pixels of the shorter side of pictures with few pixels
MIN_CONTRAST, MIN_SIGNAL = 8.0, 0.6  # of 255; relative to the noise: fainter digits are not asked for
MIN_PIXELS = 9  # height of the smallest digit in pictures with few pixels


class Page(NamedTuple):
    """A picture, and where strokes and digits are in it."""

    picture: np.ndarray  # (height, width, 3), uint8
    ink: np.ndarray  # (height, width), uint8: how much of each pixel a pen has covered, out of 255
    boxes: np.ndarray  # (number of digits, 4), float32: left, top, right and bottom in pixels


class Shape(NamedTuple):
    """The middle lines of a digit's strokes."""

    points: np.ndarray  # (number of points, 2): x and y, the digit being 1 high and its centre at (0, 0)
    edges: np.ndarray  # (number of edges, 2): the points that are joined


def thin(masks: np.ndarray) -> np.ndarray:
    """Return the middle lines, a pixel wide, of masks (N, H, W), booleans, that are False at the border.

    Zhang and Suen 1984, "A fast parallel algorithm for thinning digital patterns".
    """
    codes = np.arange(256)[:, np.newaxis] >> np.arange(8) & 1  # the eight neighbours, clockwise from the one above
    north, _, east, _, south, _, west, _ = codes.T
    num_transitions = ((codes == 0) & (np.roll(codes, -1, axis=1) == 1)).sum(axis=1)
    is_edge = (num_transitions == 1) & (codes.sum(axis=1) >= 2) & (codes.sum(axis=1) <= 6)
    removable = (
        is_edge & (north * east * south == 0) & (east * south * west == 0),
        is_edge & (north * east * west == 0) & (north * south * west == 0),
    )
    offsets = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # down, right
    masks = masks.copy()
    is_changed = True
    while is_changed:
        is_changed = False
        for table in removable:
            code = np.zeros(masks.shape, np.uint8)
            for bit, offset in enumerate(offsets):
                code |= np.roll(masks, (-offset[0], -offset[1]), axis=(1, 2)).astype(np.uint8) << bit
            removed = masks & table[code]
            masks &= ~removed
            is_changed |= bool(removed.any())
    return masks


def add_strokes(rng: Rng, shape: Shape) -> Shape:
    """Return the shape of a 1 with a lead-in stroke, and perhaps a serif, as many people write it."""
    length, angle = rng.uniform(0.2, 0.75), np.deg2rad(rng.uniform(20, 75))
    lead_in = length * np.array([-np.sin(angle), np.cos(angle)])  # down to the left
    serif = rng.uniform(0.2, 0.45) * np.array([1, rng.normal(0, 0.1)])
    top, bottom = shape.points[[shape.points[:, 1].argmin(), shape.points[:, 1].argmax()]]
    chains = [top + np.linspace(0, 1, 12)[:, np.newaxis] * lead_in]
    if rng.random() < 0.5:
        chains.append(bottom + np.linspace(-1, 1, 12)[:, np.newaxis] * serif)
    points, edges = shape
    for chain in chains:
        numbers = len(points) + np.arange(len(chain))
        edges = np.concatenate([edges, np.stack([numbers[:-1], numbers[1:]], axis=1)])
        points = np.concatenate([points, chain.astype(np.float32)])
    return Shape(points, edges)


def trace(images: np.ndarray, labels: np.ndarray) -> list[Shape]:
    """Return the shapes of images (N, 28, 28), uint8, in MNIST's form, with labels (N,). Half of the 1s get strokes."""
    rng = np.random.default_rng(0)
    size = MNIST_ZOOM * images.shape[1]
    large = [Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC) for image in images]
    shapes: list[Shape] = []
    masks = np.pad(np.stack([np.asarray(image) for image in large]) > 110, ((0, 0), (1, 1), (1, 1)))
    for middle_lines, label in zip(thin(masks), labels):
        rows, columns = np.nonzero(middle_lines)
        points = np.stack([columns, rows], axis=1).astype(np.float32)
        numbers = np.full(middle_lines.shape, -1)
        numbers[rows, columns] = np.arange(len(points))
        neighbours = np.concatenate(
            [numbers[rows + down, columns + right] for down, right in ((0, 1), (1, -1), (1, 0), (1, 1))]
        )
        edges = np.stack([np.tile(np.arange(len(points)), 4), neighbours], axis=1)
        used, edges = np.unique(edges[neighbours >= 0], return_inverse=True)  # specks are left out
        points, edges = points[used], edges.reshape(-1, 2)
        for _ in range(3):  # the steps from pixel to pixel are smoothed
            total, count = points.copy(), np.ones(len(points), np.float32)
            for this, other in (edges.T, edges.T[::-1]):
                np.add.at(total, this, points[other])
                np.add.at(count, this, 1)
            points = total / count[:, np.newaxis]
        low, high = points.min(axis=0), points.max(axis=0)
        shapes.append(Shape((points - (low + high) / 2) / max(high[1] - low[1], 0.5 * (high[0] - low[0])), edges))
        if label == 1 and rng.random() < 0.5:
            shapes[-1] = add_strokes(rng, shapes[-1])
    return shapes


def log_uniform(rng: Rng, limits: Limits) -> float:
    """Return a random number whose logarithm is uniform between the limits."""
    return float(np.exp(rng.uniform(*np.log(limits))))


def smooth_noise(rng: Rng, height: int, width: int, num_cells: int) -> np.ndarray:
    """Return noise (height, width) of standard deviation about 1 that changes over 1 / num_cells of the picture."""
    grid = rng.normal(size=(num_cells, num_cells)).astype(np.float32)
    return np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))


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


Slot = Tuple[float, float, float]  # x and y of a digit's centre, and its height, in pixels of the page


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
    for _ in range(int(rng.integers(1, 4))):
        if len(boxes) and rng.random() < 0.45:
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
        if slots and rng.random() < 0.5:  # beside a digit
            x, y, _ = slots[int(rng.integers(len(slots)))]
            x += size * rng.uniform(0.6, 1)
        arm = size * rng.uniform(0.2, 0.6)
        kind = rng.integers(7)
        if kind == 0:  # plus, minus, equals, times
            strokes = [
                [(-1, 0), (1, 0)],
                [(0, -1), (0, 1)],
                [(-1, 0.5), (1, 0.5)],
                [(-1, -1), (1, 1)],
                [(1, -1), (-1, 1)],
            ]
            chosen = ([0], [0, 1], [0, 2], [3, 4], [4])[int(rng.integers(5))]
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
        elif kind == 5:  # a smooth stroke
            curves = [np.cumsum(np.cumsum(rng.normal(0, 0.02, (40, 2)), axis=0) + rng.normal(0, 0.05, 2), axis=0)]
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


def print_page(rng: Rng, slots: list[Slot], boxes: np.ndarray, canvas: Canvas, is_paint: bool) -> None:
    """Draw what is printed on a page: ruled or squared lines, dots, frames, the boxes of a form, a caption, creases."""
    width, height, side = canvas.width, canvas.height, min(canvas.width, canvas.height)
    if rng.random() < PRINT * (0.15 if is_paint else 1):
        distance, line_width = side * log_uniform(rng, RULING), rng.uniform(*RULING_WIDTH)
        rows = np.arange(-0.2 * height + rng.uniform(0, distance), 1.2 * height, distance)
        columns = np.arange(-0.2 * width + rng.uniform(0, distance), 1.2 * width, distance)
        style = rng.random()
        if style < 0.85:
            ends = np.full(len(rows), 1.2 * width)
            canvas.draw_lines(np.stack([-0.2 * ends, rows], axis=1), np.stack([ends, rows], axis=1), line_width)
        if style < 0.4:
            ends = np.full(len(columns), 1.2 * height)
            canvas.draw_lines(np.stack([columns, -0.2 * ends], axis=1), np.stack([columns, ends], axis=1), line_width)
        if style >= 0.85 and len(rows) * len(columns) < 2000:
            dots = np.stack(np.meshgrid(columns, rows), axis=2).reshape(-1, 2)
            canvas.draw_lines(dots, dots + np.array([0.6, 0]), line_width + 0.6)
        if rng.random() < 0.2:  # a margin
            x = rng.uniform(0, 0.3) * width
            canvas.draw_curve(np.array([(x, -0.2 * height), (x, 1.2 * height)]), line_width)
    if rng.random() < FRAME:
        low, high = (boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)) if len(boxes) else ((side,) * 2, (0, 0))
        room = max(0, min(*low, width - high[0], height - high[1]) - 4)
        left, top, right, bottom = rng.uniform(0, min(room, 0.15 * side), 4)
        corners = [(left, top), (width - right, top), (width - right, height - bottom), (left, height - bottom)]
        for start, end in zip(corners, corners[1:] + corners[:1]):
            if rng.random() < 0.85:
                canvas.draw_curve(np.array([start, end]), rng.uniform(1, 0.03 * side + 1), rng.uniform(120, 255))
    if rng.random() < FORM:
        for x, y, size in slots:
            reach = size * rng.uniform(0.6, 0.8)
            corners = reach * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)]) + (x, y)
            canvas.draw_curve(corners, rng.uniform(1, 3), rng.uniform(120, 255))
    if rng.random() < CREASE:
        for _ in range(int(rng.integers(1, 5))):
            canvas.draw_curve(rng.uniform(0, 1, (2, 2)) * (width, height), 1, rng.uniform(60, 220))
    if rng.random() < CAPTION:
        y = float(rng.choice([rng.uniform(0, 0.08), rng.uniform(0.85, 0.95)])) * height
        position = (OVERSAMPLING * rng.uniform(-0.1, 0.6) * width, OVERSAMPLING * y)
        font = load_font(OVERSAMPLING * max(7, side * rng.uniform(0.04, 0.12)))
        canvas.pencil.text(position, sample_text(rng, 24), int(rng.uniform(150, 255)), font)


def sample_colours(rng: Rng, is_paint: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the colours (3,) of background and pen, in 0..255."""
    is_dark = rng.random() < LIGHT_ON_DARK
    if is_paint:
        style = rng.random()
        if style < 0.6:  # black on white, or the reverse
            background, pen = np.full(3, rng.uniform(225, 255)), np.full(3, rng.uniform(0, 50))
            return (pen, background) if rng.random() < 0.4 else (background, pen)
        background, pen = rng.uniform(0, 255, (2, 3))
        while np.abs(background - pen).max() < 60:
            background, pen = rng.uniform(0, 255, (2, 3))
        strength = rng.uniform(0.2, 1) if style > 0.85 else 1
        return background, background + strength * (pen - background)
    if is_dark:
        return rng.uniform(15, 100) * rng.uniform(0.7, 1.3, 3), rng.uniform(150, 250) * rng.uniform(0.9, 1, 3)
    background = rng.uniform(90, 240, 3) if rng.random() < 0.15 else rng.uniform(165, 255) * rng.uniform(0.88, 1, 3)
    pen = rng.uniform(5, 75, 3) if rng.random() < 0.5 else background * rng.uniform(0.1, 0.75)
    pen[int(rng.integers(3))] += rng.uniform(0, 130) * (rng.random() < 0.35)
    return background, np.minimum(pen, 0.9 * background.max())


def wear_ink(rng: Rng, ink: np.ndarray, pen: float) -> np.ndarray:
    """Return how much of the pen's colour is left of ink (height, width): grain of paper or chalk, fading, gaps."""
    height, width = ink.shape
    if rng.random() < GRAIN:
        ink = ink * (1 - rng.uniform(0.1, 0.6) * (rng.random(ink.shape) < rng.uniform(0.1, 0.5)))
    if rng.random() < GRAIN:
        ink = ink * (1 + 0.25 * smooth_noise(rng, height, width, int(rng.integers(4, 24)))).clip(0.35, 1)
    if rng.random() < GAPS:
        gaps = Canvas(width, height, np.eye(3))
        for _ in range(int(rng.integers(1, 12))):
            start, angle = rng.uniform(0, 1, 2) * (width, height), rng.uniform(0, 6.3)
            length = rng.choice([1.0, float(max(width, height))])
            end = start + length * np.array([np.cos(angle), np.sin(angle)])
            gaps.draw_curve(np.stack([start, end]), rng.uniform(0.5, max(1, 0.03 * height)))
        ink = ink * (1 - gaps.to_array())
    return ink


def surround(
    rng: Rng, colours: np.ndarray, ink: np.ndarray, boxes: np.ndarray, is_paint: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the picture (height, width, 3) with a desk around the sheet or a window around a canvas, and the ink left.

    No digit is covered, but what else is written may be.
    """
    height, width = colours.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    low, high = (boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)) if len(boxes) else ((width, height), (0, 0))
    lean = 0 if is_paint else rng.normal(0, 0.06)
    sides = (x + lean * (y - height / 2), width - x - lean * (y - height / 2), y, height - y)
    outside = np.zeros((height, width), bool)
    for distance, room in zip(sides, (low[0], width - high[0], low[1], height - high[1])):
        outside |= distance < rng.uniform(-0.3, 1) * max(0, min(room - 3, 0.4 * width))
    texture = 0 if is_paint else 0.1 * smooth_noise(rng, height, width, int(rng.integers(3, 60)))
    desk = rng.uniform(10, 250, 3) * (1 + np.broadcast_to(texture, outside.shape)[..., np.newaxis])
    return np.where(outside[..., np.newaxis], desk, colours), np.where(outside, 0, ink)


def light_page(rng: Rng, colours: np.ndarray) -> np.ndarray:
    """Return the picture (height, width, 3) in uneven light: falling off, shadows, folds, glare, a camera's tones."""
    height, width = colours.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = (x - width / 2) / max(width, height), (y - height / 2) / max(width, height)

    def ramp(angle: float) -> np.ndarray:
        return x * np.cos(angle) + y * np.sin(angle)

    light = 1 - rng.uniform(0, 0.45) * (ramp(rng.uniform(0, 6.3)) + 0.7) / 1.4
    for _ in range(int(rng.integers(1, 4)) if rng.random() < SHADOW else 0):
        angle = rng.uniform(0, 6.3)
        depth = ramp(angle) - rng.uniform(-0.45, 0.45)
        if rng.random() < 0.3:  # a corner
            depth = np.maximum(depth, ramp(angle + rng.uniform(1, 2)) - rng.uniform(-0.45, 0.45))
        if rng.random() < 0.3:
            depth = depth + 0.03 * smooth_noise(rng, height, width, 8)
        light *= 1 - rng.uniform(0.1, 0.65) / (1 + np.exp(-(depth * log_uniform(rng, (6, 200))).clip(-30, 30)))
    if rng.random() < FOLD:
        slopes = np.gradient(smooth_noise(rng, height, width, int(rng.integers(5, 12))))[0]
        light *= (1 + rng.uniform(0.03, 0.12) * slopes / (slopes.std() + 1e-6)).clip(0.4, 1.4)
    if rng.random() < LOW_LIGHT:
        light *= rng.uniform(0.2, 0.9)
    colours = colours * light[..., np.newaxis]
    if rng.random() < GLARE:
        distance = ((x - rng.uniform(-0.5, 0.5)) ** 2 + (y - rng.uniform(-0.5, 0.5)) ** 2) / rng.uniform(0.1, 0.4) ** 2
        colours = colours + (np.exp(-distance) * rng.uniform(0.2, 0.8))[..., np.newaxis] * (255 - colours)
    return 255 * (colours / 255).clip(0, 1) ** rng.uniform(0.75, 1.35) * (1 + rng.normal(0, 0.04, 3))


def draw_things(rng: Rng, colours: np.ndarray) -> np.ndarray:
    """Return a picture (height, width, 3) of things that are no page, on top of `colours`: blobs and corners."""
    height, width = colours.shape[:2]
    picture = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
    pencil = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(1, 40))):
        colour = tuple(int(value) for value in rng.uniform(0, 255, 3))
        centre = rng.uniform(-0.2, 1.2, 2) * (width, height)
        size = min(width, height) * log_uniform(rng, (0.03, 0.6))
        if rng.random() < 0.5:
            reach = size * np.array([1, rng.uniform(0.2, 1)])
            pencil.ellipse((*(centre - reach), *(centre + reach)), colour)
        else:
            corners = centre + size * rng.normal(0, 0.7, (int(rng.integers(3, 8)), 2))
            pencil.polygon([tuple(corner) for corner in corners.tolist()], colour)
    picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0, 4)))
    texture = 1 + 0.1 * smooth_noise(rng, height, width, int(rng.integers(4, 90)))
    return np.asarray(picture, np.float32) * texture[..., np.newaxis]


def take_picture(rng: Rng, colours: np.ndarray, boxes: np.ndarray, is_paint: bool) -> np.ndarray:
    """Return colours (height, width, 3) as a camera, a scanner or a small canvas records them, uint8."""
    picture = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
    size = picture.size
    if rng.random() < FEW_PIXELS:
        scale = rng.uniform(*SMALL_SIDE) / min(size) if rng.random() < 0.5 else log_uniform(rng, (0.25, 1))
        if len(boxes):  # few, but enough for the smallest digit
            scale = min(1, max(scale, MIN_PIXELS / (boxes[:, 3] - boxes[:, 1]).min()))
        small = [max(8, round(scale * length)) for length in size]
        filters = [Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.NEAREST]
        picture = picture.resize((small[0], small[1]), filters[int(rng.integers(3 if is_paint else 2))])
    elif not is_paint or rng.random() < 0.3:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(*BLUR)))
    if not is_paint or rng.random() < 0.1:
        values = np.asarray(picture, np.float32)
        channels = 3 if rng.random() < 0.5 else 1
        noise = rng.normal(0, rng.exponential(NOISE), (*values.shape[:2], channels))
        picture = Image.fromarray((values + noise).clip(0, 255).astype(np.uint8))
    if rng.random() < JPEG:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=int(rng.uniform(*JPEG_QUALITY)))
        picture = Image.open(file).convert("RGB")
    if rng.random() < ONE_BIT:
        values = np.asarray(picture.convert("L"), np.float32)
        values = values + rng.normal(0, rng.uniform(0, 30), values.shape)
        low, high = np.percentile(values, (1, 99))
        picture = Image.fromarray(np.where(values > (low + high) / 2, 255, 0).astype(np.uint8)).convert("RGB")
    if rng.random() < GREY:
        picture = picture.convert("L").convert("RGB")
    return np.asarray(picture.resize(size, Image.Resampling.BICUBIC))


def hide_unseen(picture: np.ndarray, ink: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ink (height, width) and boxes (N, 4) without the digits that cannot be seen in the picture."""
    ink, seen = ink.copy(), []
    for left, top, right, bottom in boxes.astype(int):
        around = np.s_[max(0, top - 2) : bottom + 3, max(0, left - 2) : right + 3]
        is_ink, values = ink[around] > 127, picture[around].astype(np.float32)
        if is_ink.all() or not is_ink.any():
            seen.append(False)
            continue
        contrast = np.abs(values[is_ink].mean(axis=0) - values[~is_ink].mean(axis=0)).max()
        seen.append(contrast > max(MIN_CONTRAST, MIN_SIGNAL * values[~is_ink].std(axis=0).mean()))
        if not seen[-1]:
            ink[around] = 0
    return ink, boxes[np.array(seen, bool)]


def draw_page(rng: Rng, shapes: list[Shape], width: int, height: int) -> Page:
    """Return a random page with digits of random shapes, or none."""
    is_paint = rng.random() < PAINT
    view = np.eye(3) if is_paint else sample_view(rng, width, height)
    slots, pen = lay_out(rng, width, height), log_uniform(rng, PEN_WIDTH)
    written = Canvas(width, height, view)
    boxes = write_digits(rng, shapes, slots, pen, written)
    if rng.random() < MARKS:
        write_marks(rng, slots, boxes, pen, written)
    printed = Canvas(width, height, view)
    print_page(rng, slots, boxes, printed, is_paint)
    return render_page(rng, written, printed, boxes, pen, is_paint)


def render_page(rng: Rng, written: Canvas, printed: Canvas, boxes: np.ndarray, pen: float, is_paint: bool) -> Page:
    """Return a picture of what is written and printed: drawn on a screen (`is_paint`), or on paper and photographed."""
    ink, (width, height) = written.to_array(), (written.width, written.height)
    background, pen_colour = sample_colours(rng, is_paint)
    colours = np.ones((height, width, 3), np.float32) * background
    if not is_paint:
        for num_cells in (max(width, height), 60, 12):
            grain = rng.exponential(0.012) * (rng.random() < 0.5)
            colours *= 1 + grain * smooth_noise(rng, height, width, num_cells)[..., np.newaxis]
    is_light = background.mean() > pen_colour.mean()
    print_colour = background * rng.uniform(0.3, 0.8, 3) if is_light else background + rng.uniform(30, 150, 3)
    colours += rng.uniform(0.15, 0.9) * printed.to_array()[..., np.newaxis] * (print_colour - colours)
    colours += wear_ink(rng, ink, pen)[..., np.newaxis] * (pen_colour - colours)
    if rng.random() < SURROUNDINGS:
        colours, ink = surround(rng, colours, ink, boxes, is_paint)
    if not len(boxes) and rng.random() < NO_PAGE:
        colours, ink = draw_things(rng, colours), np.zeros_like(ink)
    if not is_paint:
        colours = light_page(rng, colours)
    picture = take_picture(rng, colours, boxes, is_paint)
    if rng.random() < INVERTED:
        picture = 255 - picture
    return Page(picture, *hide_unseen(picture, np.rint(255 * ink).astype(np.uint8), boxes))


def main() -> None:
    """Draw a sheet of random pages, with the boxes of their digits, and the ink below."""
    parser = argparse.ArgumentParser(description="Draws a sheet of random pages.")
    parser.add_argument("--seed", type=whole_number(0, 2**31), default=0, help="of the pages (default: 0)")
    add_shared_flags(parser, "--data-dir", "--figures-dir")
    args = parser.parse_args()
    images, labels = load_mnist(args.data_dir, train=True, device="cpu")
    shapes, rng = trace(images[:500, 0].numpy(), labels[:500].numpy()), np.random.default_rng(args.seed)
    size, columns, rows = 128, 12, 6
    sheet = Image.new("RGB", (columns * size, 2 * rows * size))
    for number in range(columns * rows):
        page = draw_page(rng, shapes, size, size)
        picture, left, top = Image.fromarray(page.picture), number % columns * size, number // columns * 2 * size
        for box in page.boxes.tolist():
            ImageDraw.Draw(picture).rectangle(box, outline="red")
        sheet.paste(picture, (left, top))
        sheet.paste(Image.fromarray(page.ink), (left, top + size))
    args.figures_dir.mkdir(parents=True, exist_ok=True)
    path = Path(args.figures_dir) / "pages.png"
    sheet.save(path)
    print(f"Sheet saved to {path}")


if __name__ == "__main__":
    run_script(main)
