"""What pages are drawn with: random numbers, and lines in perspective."""

from __future__ import annotations

from typing import Tuple

import numpy as np
from PIL import Image, ImageDraw

Rng = np.random.Generator
Limits = Tuple[float, float]  # smallest and largest
Slot = Tuple[float, float, float]  # x and y of a digit's centre, and its height, in pixels of the page

OVERSAMPLING = 2  # pixels along each side of a pixel, while lines are drawn
MIN_PEN_WIDTH = 1.0  # pixels
TURN, PERSPECTIVE = 6.0, 0.12  # largest rotation (degrees), largest relative change of the size across the picture


def log_uniform(rng: Rng, limits: Limits) -> float:
    """Return a random number whose logarithm is uniform between the limits."""
    return float(np.exp(rng.uniform(*np.log(limits))))


class Canvas:
    """Lines drawn in perspective, on a layer of their own."""

    def __init__(self, width: int, height: int, matrix: np.ndarray) -> None:
        self.width, self.height, self.matrix = width, height, matrix
        self.layer = Image.new("L", (OVERSAMPLING * width, OVERSAMPLING * height))
        self.owners = np.zeros((height, width), np.uint8)  # number of the digit at each pixel, from 1; 0: none
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
