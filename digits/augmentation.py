"""Changes the training images a little each time that they are shown, so that the network never sees one twice."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

# How far an image is changed at most
MAX_ROTATION = 12  # degrees
MAX_SCALING = 0.12  # 0.12 is from 12 % narrower to 12 % wider, and the same for the height
MAX_SHEAR = 0.15  # slant: shift of the upper edge against the middle, as a fraction of half the height
MAX_SHIFT = 2  # pixels
ELASTICITY = 0.4  # pixels: standard deviation of the shifts that bend the strokes

UPSTROKE_SHARE = 0.5  # of the 1s are given an upstroke
FOOT_SHARE = 0.5  # of those are given a foot too
# Of which each is drawn between two limits:
UPSTROKE_LENGTH = 0.25, 0.75  # of the digit's height
UPSTROKE_ANGLE = 20, 70  # degrees off the vertical
UPSTROKE_BEND = -20, 20  # degrees: the lower half is turned by as many, the upper half the other way
FOOT_LENGTH = 0.4, 0.9  # of the digit's height
FOOT_ANGLE = 70, 110  # degrees off the vertical
STROKE_WIDTH = 0.6, 1.1  # of the width of the digit's own stroke


def add_upstrokes(images: Tensor, labels: Tensor) -> Tensor:
    """Return images (N, 1, 28, 28), floats in 0..1, where to the top of some 1s, as labels (N,) say, a stroke leads up.

    Some of these 1s stand on a foot too. So half the world writes them, but next to none of MNIST's writers.
    """
    chosen = (labels == 1) & (torch.rand(len(labels), device=images.device) < UPSTROKE_SHARE)
    ones = images[chosen, 0]

    def draw(limits: tuple[float, float]) -> Tensor:
        return torch.empty(len(ones), 1, 1, device=images.device).uniform_(*limits)

    places = torch.arange(images.shape[2], device=images.device)
    is_inked = (ones > 0.5).any(dim=2)
    top = torch.where(is_inked, places, places[-1]).amin(dim=1)
    bottom = torch.where(is_inked, places, top[:, None]).amax(dim=1)
    height = (bottom - top + 1)[:, None, None]
    width = draw(STROKE_WIDTH) * ones.sum(dim=(1, 2))[:, None, None] / height

    def find_middle(y: Tensor) -> tuple[Tensor, Tensor]:
        row = ones[torch.arange(len(ones), device=images.device), y]
        return ((row * places).sum(dim=1) / row.sum(dim=1).clamp(min=1e-6))[:, None, None], y[:, None, None]

    def step(length: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:  # down to the left
        angle = angle.deg2rad()
        return -length * angle.sin(), length * angle.cos()

    def draw_line(x: Tensor, y: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
        right, down = places - x, places[:, None] - y
        share = ((right * dx + down * dy) / (dx**2 + dy**2)).clamp(0, 1)  # of the line, up to the point next to a pixel
        return (width / 2 + 0.5 - torch.hypot(right - share * dx, down - share * dy)).clamp(0, 1)

    x, y = find_middle(top)
    half, angle, bend = draw(UPSTROKE_LENGTH) * height / 2, draw(UPSTROKE_ANGLE), draw(UPSTROKE_BEND)
    dx, dy = step(half, angle - bend)
    upstroke = torch.maximum(draw_line(x, y, dx, dy), draw_line(x + dx, y + dy, *step(half, angle + bend)))
    x, y = find_middle(bottom)
    dx, dy = step(draw(FOOT_LENGTH) * height, draw(FOOT_ANGLE))
    foot = draw_line(x - dx / 2, y - dy / 2, dx, dy) * (draw((0, 1)) < FOOT_SHARE)
    images = images.clone()
    images[chosen, 0] = torch.maximum(ones, torch.maximum(upstroke, foot))
    return images


def augment(images: Tensor) -> Tensor:
    """Return images (N, 1, 28, 28), floats, each rotated, scaled, slanted, shifted and bent by a draw of its own.

    The digits stay what they are (Simard et al. 2003, "Best practices for convolutional neural networks"). Black (0)
    comes in where an image is moved away from its edge.
    """
    num_images, _, height, width = images.shape

    def draw(limit: float) -> Tensor:
        return torch.empty(num_images, device=images.device).uniform_(-limit, limit)

    angle, shear = draw(math.radians(MAX_ROTATION)), draw(MAX_SHEAR)
    scale_x, scale_y = 1 + draw(MAX_SCALING), 1 + draw(MAX_SCALING)
    shift_x, shift_y = draw(2 * MAX_SHIFT / width), draw(2 * MAX_SHIFT / height)  # in units of half the image
    # For each pixel of the result these two rows give the place in the image that it is taken from.
    row_x = torch.stack([scale_x * angle.cos(), shear - angle.sin(), shift_x], dim=1)
    row_y = torch.stack([angle.sin(), scale_y * angle.cos(), shift_y], dim=1)
    matrices = torch.stack([row_x, row_y], dim=1)  # (N, 2, 3)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    # Random shifts at 5x5 points, and smoothly in between, bend the strokes: an elastic distortion.
    shifts = torch.randn(num_images, 2, 5, 5, device=images.device) * (2 * ELASTICITY / width)
    shifts = F.interpolate(shifts, size=(height, width), mode="bicubic", align_corners=True)
    grid = grid + shifts.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, align_corners=False)
