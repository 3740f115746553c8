"""Augmentation: random changes of the training images, so that the network never sees the same image twice."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_ROTATION = 18  # degrees
MAX_SCALING = 0.12  # largest relative change of width and of height
MAX_SHIFT = 2  # pixels
ELASTICITY = 0.4  # pixels: standard deviation of the shifts that bend the strokes
CHANGED_WIDTHS = 0.25  # fraction of the images whose strokes become wider or thinner, as other pens would write them

# Strokes that half the world writes and hardly any of MNIST's writers: lead-in stroke of a 1, its serif (only together
# with a lead-in stroke), arm of a 6. Digit, fraction of its images, end (0 starts at the top, 1 is centred on the lower
# end), angle in degrees (0 is down, 90 right), length relative to the height of the digit
ADDED_STROKES = (
    (1, 0.4, 0, (-65, -20), (0.2, 0.7)),
    (1, 0.2, 1, (70, 110), (0.4, 1.0)),
    (6, 0.2, 0, (60, 110), (0.15, 0.4)),
)
MAX_BEND = 20  # degrees: largest turn of an added stroke to either side, between its middle and its ends
RELATIVE_WIDTH = 0.6, 1.1  # width of an added stroke, relative to the digit's own stroke


def add_strokes(images: Tensor, labels: Tensor) -> Tensor:
    """Return images (N, 1, 28, 28), floats in 0..1, some with strokes added, as their labels (N,) allow."""
    images, positions = images.clone(), torch.arange(28, device=images.device)
    chance = torch.rand(len(labels), device=images.device)  # one for all strokes of an image
    for digit, fraction, end, angles, lengths in ADDED_STROKES:
        chosen = (labels == digit) & (chance < fraction)
        digits = images[chosen, 0]  # (n, 28, 28)

        def sample(limits: tuple[float, float], count: int = len(digits)) -> Tensor:
            return torch.empty(count, 1, device=images.device).uniform_(*limits)

        has_ink = (digits > 0.5).any(dim=2)  # (n, 28)
        top, height = has_ink.int().argmax(dim=1, keepdim=True), has_ink.sum(dim=1, keepdim=True)  # (n, 1)
        start_y = (top + end * (height - 1)).clamp(min=0)
        row = digits[torch.arange(len(digits), device=images.device), start_y[:, 0]]
        start_x = (row * positions).sum(dim=1, keepdim=True) / row.sum(dim=1, keepdim=True).clamp(min=1e-6)
        # The upper third of a 1 and of a 6 is a single stroke, as wide as there is ink in a row.
        is_upper = (positions >= top) & (positions < top + height / 3)
        width = (digits.sum(dim=2) * is_upper).sum(dim=1, keepdim=True) / is_upper.sum(dim=1, keepdim=True).clamp(min=1)
        # A chain of 16 points at a slowly turning angle
        turn = torch.linspace(-1, 1, 16, device=images.device) * sample((-MAX_BEND, MAX_BEND))
        angle, spacing = (sample(angles) + turn).deg2rad(), sample(lengths) * height / 16
        dx, dy = (spacing * angle.sin()).cumsum(dim=1), (spacing * angle.cos()).cumsum(dim=1)  # (n, 16)
        x = (start_x + dx - end * dx.mean(dim=1, keepdim=True))[:, :, None, None]
        y = (start_y + dy - end * dy.mean(dim=1, keepdim=True))[:, :, None, None]
        distance = torch.hypot(positions - x, positions[:, None] - y).amin(dim=1)  # (n, 28, 28), in pixels
        stroke = ((sample(RELATIVE_WIDTH) * width)[:, :, None] / 2 + 0.5 - distance).clamp(0, 1)
        images[chosen, 0] = torch.maximum(digits, stroke)
    return images


def change_widths(images: Tensor) -> Tensor:
    """Return images (N, 1, 28, 28), floats in 0..1, some with strokes that are up to 2 pixels wider or thinner.

    They are mixed with their dilation or erosion, the lightest or darkest of 3x3 pixels around each.
    """
    images = images.clone()
    chosen = torch.rand(len(images), device=images.device) < CHANGED_WIDTHS
    strokes = images[chosen]
    sign = 2.0 * torch.randint(2, (len(strokes), 1, 1, 1), device=images.device) - 1  # the darkest is -max(-pixels)
    changed = sign * F.max_pool2d(sign * strokes, kernel_size=3, stride=1, padding=1)
    images[chosen] = torch.lerp(strokes, changed, torch.rand_like(sign))
    return images


def augment(images: Tensor, labels: Tensor) -> Tensor:
    """Return images (N, 1, 28, 28), floats in 0..1, each changed at random, without changing its label (N,).

    Strokes are added, and made wider or thinner; then each image is rotated, scaled, shifted and bent (Simard et al.
    2003, "Best practices for convolutional neural networks"). Pixels from outside an image are black (0).
    """
    images = change_widths(add_strokes(images, labels))
    num_images, _, height, width = images.shape

    def sample(limit: float) -> Tensor:
        return torch.empty(num_images, device=images.device).uniform_(-limit, limit)

    angle, scale_x, scale_y = sample(math.radians(MAX_ROTATION)), 1 + sample(MAX_SCALING), 1 + sample(MAX_SCALING)
    shift_x, shift_y = sample(2 * MAX_SHIFT / width), sample(2 * MAX_SHIFT / height)  # in units of half the image
    # For each pixel of the result these two rows give the coordinates in the image that it is taken from.
    row_x = torch.stack([scale_x * angle.cos(), -angle.sin(), shift_x], dim=1)
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
