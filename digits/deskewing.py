"""Takes the slant out of digits, before the network sees them."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

MAX_SLANT = 0.6  # that is taken out of a digit: pixels to the side for each pixel upwards


def deskew(images: Tensor) -> Tensor:
    """Return images (N, 1, 28, 28), as floats, each with its rows moved sideways so that its digit no longer leans.

    Writers slant their digits each in their own way, which tells nothing of what they write (LeCun et al. 1998). Values
    keep their range.
    """
    images = images.float()
    height, width = images.shape[2:]
    y = torch.linspace(1 / height - 1, 1 - 1 / height, height, device=images.device)[:, None]  # -1 to 1: whole image
    x = torch.linspace(1 / width - 1, 1 - 1 / width, width, device=images.device)
    weights = images[:, 0] / images[:, 0].sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)

    def mean(values: Tensor) -> Tensor:
        return (weights * values).sum(dim=(1, 2), keepdim=True)

    right, down = x - mean(x), y - mean(y)
    # The line through the ink, with the side as a function of the height, leans as the digit does.
    slant = (mean(right * down) / mean(down**2).clamp(min=1e-6)).clamp(-MAX_SLANT, MAX_SLANT)
    places = torch.stack(torch.broadcast_tensors(x + slant * down, y), dim=3)
    return F.grid_sample(images, places, align_corners=False)


def set_upright(images: list[np.ndarray]) -> Tensor:
    """Return N images (28, 28), uint8, as of a `Digit`, deskewed: (N, 1, 28, 28), floats in 0..255."""
    return deskew(torch.from_numpy(np.stack(images)[:, np.newaxis]))
