"""The shapes of MNIST's digits: the middle lines of their strokes, to be written anew with any pen."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

BAR_APART = 0.35  # fraction of the 5s
MNIST_ZOOM = 3  # pixels of a middle line for each pixel of MNIST


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


def add_strokes(rng: np.random.Generator, shape: Shape) -> Shape:
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


def lift_bar(rng: np.random.Generator, shape: Shape) -> Shape:
    """Return the shape of a 5 whose bar, written last, stands apart from the rest, as many people write it."""
    x, y = shape.points.T
    is_upper = y < -0.25  # of the height
    is_bar = is_upper & (x > x.min(where=is_upper, initial=np.inf) + 0.08)  # right of the corner
    points = shape.points + is_bar[:, np.newaxis] * (rng.uniform(-0.08, 0.15), -rng.uniform(0, 0.25))
    edges = shape.edges[is_bar[shape.edges[:, 0]] == is_bar[shape.edges[:, 1]]]
    return Shape(normalize(points.astype(np.float32)), edges)


def normalize(points: np.ndarray) -> np.ndarray:
    """Return points (N, 2) moved and scaled: 1 high, or 2 wide where they are wider than that, centred at (0, 0)."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - (low + high) / 2) / max(high[1] - low[1], 0.5 * (high[0] - low[0]))


def trace(images: np.ndarray, labels: np.ndarray) -> list[Shape]:
    """Return the shapes of images (N, 28, 28), uint8, in MNIST's form, with labels (N,).

    Each 1 comes as it is and with strokes added: so half the world writes it, and of all digits it is missed most.
    The bars of some 5s stand apart.
    """
    rng = np.random.default_rng(0)
    size = MNIST_ZOOM * images.shape[1]
    sharpen = ImageFilter.UnsharpMask(radius=3, percent=200, threshold=0)  # opens the small loops of bold digits
    large = [Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC).filter(sharpen) for image in images]
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
        shapes.append(Shape(normalize(points), edges))
        if label == 1:
            shapes.append(add_strokes(rng, shapes[-1]))
        if label == 5 and rng.random() < BAR_APART:
            shapes[-1] = lift_bar(rng, shapes[-1])
    return shapes
