"""Augmentation: random changes of the training images, so that the network never sees the same image twice."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from digits.deskewing import deskew

MAX_ROTATION = 12  # degrees
MAX_SCALING = 0.12  # largest relative change of width and of height
MAX_SHEAR = 0.15  # largest slant: pixels to the side for each pixel upwards
MAX_SHIFT = 2  # pixels
ELASTICITY = 0.4  # pixels: standard deviation of the shifts that bend the strokes

LEAD_IN_FRACTION = 0.5  # fraction of the 1s that get a lead-in stroke
SERIF_FRACTION = 0.5  # fraction of those that get a serif too
LEAD_IN_LENGTH = 0.25, 0.75  # smallest and largest, relative to the height of the digit
LEAD_IN_ANGLE = 20, 70  # degrees off the vertical
LEAD_IN_BEND = -20, 20  # degrees: turn of the lower half, and of the upper half to the other side
SERIF_LENGTH = 0.4, 0.9  # relative to the height of the digit
SERIF_ANGLE = 70, 110  # degrees off the vertical
RELATIVE_WIDTH = 0.6, 1.1  # width of an added stroke, relative to the digit's own stroke


def add_strokes(images: Tensor, labels: Tensor) -> Tensor:
    """Return images (N, 1, 28, 28), floats in 0..1, where some 1s, as labels (N,) say, get a lead-in stroke at the top.

    Some of these get a serif too. So half the world writes them, but hardly any of MNIST's writers.
    """
    chosen = (labels == 1) & (torch.rand(len(labels), device=images.device) < LEAD_IN_FRACTION)
    ones = images[chosen, 0]

    def sample(limits: tuple[float, float]) -> Tensor:
        return torch.empty(len(ones), 1, 1, device=images.device).uniform_(*limits)

    positions = torch.arange(images.shape[2], device=images.device)
    is_inked = (ones > 0.5).any(dim=2)
    top = torch.where(is_inked, positions, positions[-1]).amin(dim=1)
    bottom = torch.where(is_inked, positions, top[:, None]).amax(dim=1)
    height = (bottom - top + 1)[:, None, None]
    width = sample(RELATIVE_WIDTH) * ones.sum(dim=(1, 2))[:, None, None] / height

    def find_middle(y: Tensor) -> tuple[Tensor, Tensor]:
        row = ones[torch.arange(len(ones), device=images.device), y]
        return ((row * positions).sum(dim=1) / row.sum(dim=1).clamp(min=1e-6))[:, None, None], y[:, None, None]

    def offset(length: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:  # down to the left
        angle = angle.deg2rad()
        return -length * angle.sin(), length * angle.cos()

    def draw_line(x: Tensor, y: Tensor, dx: Tensor, dy: Tensor) -> Tensor:
        right, down = positions - x, positions[:, None] - y
        # Fraction of the line up to the point that is nearest to a pixel
        fraction = ((right * dx + down * dy) / (dx**2 + dy**2)).clamp(0, 1)
        return (width / 2 + 0.5 - torch.hypot(right - fraction * dx, down - fraction * dy)).clamp(0, 1)

    x, y = find_middle(top)
    half, angle, bend = sample(LEAD_IN_LENGTH) * height / 2, sample(LEAD_IN_ANGLE), sample(LEAD_IN_BEND)
    dx, dy = offset(half, angle - bend)
    lead_in = torch.maximum(draw_line(x, y, dx, dy), draw_line(x + dx, y + dy, *offset(half, angle + bend)))
    x, y = find_middle(bottom)
    dx, dy = offset(sample(SERIF_LENGTH) * height, sample(SERIF_ANGLE))
    serif = draw_line(x - dx / 2, y - dy / 2, dx, dy) * (sample((0, 1)) < SERIF_FRACTION)
    images = images.clone()
    images[chosen, 0] = torch.maximum(ones, torch.maximum(lead_in, serif))
    return images


def augment(images: Tensor, labels: Tensor) -> Tensor:
    """Return images (N, 1, 28, 28), floats in 0..1, each changed at random, without changing its label (N,).

    Strokes are added; then each image is deskewed, so that the network sees in training what it sees later, and from
    there rotated, scaled, slanted, shifted and bent (Simard et al. 2003, "Best practices for convolutional neural
    networks"). Pixels from outside an image are black (0).
    """
    images = deskew(add_strokes(images, labels))
    num_images, _, height, width = images.shape

    def sample(limit: float) -> Tensor:
        return torch.empty(num_images, device=images.device).uniform_(-limit, limit)

    angle, shear = sample(math.radians(MAX_ROTATION)), sample(MAX_SHEAR)
    scale_x, scale_y = 1 + sample(MAX_SCALING), 1 + sample(MAX_SCALING)
    shift_x, shift_y = sample(2 * MAX_SHIFT / width), sample(2 * MAX_SHIFT / height)  # in units of half the image
    # For each pixel of the result these two rows give the coordinates in the image that it is taken from.
    row_x = torch.stack([scale_x * angle.cos(), shear - angle.sin(), shift_x], dim=1)
    row_y = torch.stack([angle.sin(), scale_y * angle.cos(), shift_y], dim=1)
    matrices = torch.stack([row_x, row_y], dim=1)  # (N, 2, 3)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    # Random shifts at 5x5 points, and smoothly in between, bend the strokes: an elastic distortion. The bicubic
    # interpolation is a matrix, which is computed on the CPU, since not every device has the operation.
    basis = F.interpolate(torch.eye(5)[None, None], size=(height, 5), mode="bicubic", align_corners=True)[0, 0]
    basis = basis.to(images.device)  # (28, 5)
    shifts = torch.randn(num_images, 2, 5, 5, device=images.device) * (2 * ELASTICITY / width)
    grid = grid + (basis @ shifts @ basis.T).permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, align_corners=False)
