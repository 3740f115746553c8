"""Deskewing: the slant taken out of digits, the first step of the network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_SLANT = 0.6  # largest slant that is taken out: pixels to the side for each pixel upwards


def deskew(images: Tensor) -> Tensor:
    """Return images (N, 1, 28, 28), floats, each sheared horizontally until its digit no longer leans.

    Writers slant their digits each in their own way, which tells nothing of what they write (LeCun et al. 1998,
    "Gradient-based learning applied to document recognition"). The range of the values is kept.
    """
    height, width = images.shape[2:]
    y = torch.linspace(1 / height - 1, 1 - 1 / height, height, device=images.device)[:, None]  # -1 to 1
    x = torch.linspace(1 / width - 1, 1 - 1 / width, width, device=images.device)
    ink = images[:, 0] / images[:, 0].sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)  # sums to 1

    def mean(values: Tensor) -> Tensor:
        return (ink * values).sum(dim=(1, 2), keepdim=True)

    right, down = x - mean(x), y - mean(y)
    # The regression line of x on y through the ink leans as the digit does.
    slant = (mean(right * down) / mean(down**2).clamp(min=1e-6)).clamp(-MAX_SLANT, MAX_SLANT)
    grid = torch.stack(torch.broadcast_tensors(x + slant * down, y), dim=3)
    return F.grid_sample(images, grid, align_corners=False)
