"""What the finder learns: where a batch of pages has ink and digits, and how far its outputs are from that."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from digits.reading.finder import MIN_SIDE, STRIDE, TYPICAL_SIZE, Finder, decode_boxes, find_positions

CORE = 0.5  # size of the ellipse around the middle of a digit where it is to be found, relative to its box
MIN_REACH = 3.0  # smallest half of a side, in pixels
OTHER_INK = 0.25  # what a pixel of other ink counts for its centre: where in doubt, ink is a digit's


def assign(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Return where digits are to be found (N, H/4, W/4), booleans, and the box (N, H/4, W/4, 4) of the nearest digit.

    `boxes` (N, D, 4), in pixels, are 0 where a page has fewer than D digits: too small for any position to be near.
    """
    x, y = find_positions(height, width, STRIDE, boxes.device)
    sides = boxes[..., 2:] - boxes[..., :2]
    reach = torch.maximum(sides, MIN_SIDE * sides.amax(dim=2, keepdim=True)).div(2).clamp(min=MIN_REACH)
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    reach_x, reach_y, centre_x, centre_y = (
        values[..., None, None] for values in (reach[..., 0], reach[..., 1], centre[..., 0], centre[..., 1])
    )
    distances = torch.hypot((x - centre_x) / reach_x, (y - centre_y) / reach_y)  # (N, D, H/4, W/4)
    nearest_distance, nearest = distances.min(dim=1)
    index = nearest.flatten(1)[..., None].expand(-1, -1, 4)
    return nearest_distance < CORE, boxes.gather(1, index).view(*nearest.shape, 4)


def overlap_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return how badly logits (any shape) agree with targets in 0..1: cross entropy, and Dice's coefficient."""
    probabilities = logits.sigmoid()
    dice = (2 * (probabilities * targets).sum() + 1) / ((probabilities + targets).sum() + 1)
    return 4 * F.binary_cross_entropy_with_logits(logits, targets) + 1 - dice


def centre_loss(centres: Tensor, ink: Tensor, owners: Tensor, boxes: Tensor) -> Tensor:
    """Return the distance of the centres (N, 2, H, W) of ink from those that they should be, relative to the digits.

    These are of the boxes that `owners` (N, 1, H, W) number from 1; for other ink it is the pixel itself.
    """
    page, _, row, column = torch.nonzero(ink, as_tuple=True)
    owner, pixels = owners[page, 0, row, column].long(), torch.stack([column, row], dim=1) + 0.5
    left_top, right_bottom = boxes[page, owner - 1].split(2, dim=1)
    is_own = owner > 0
    targets = torch.where(is_own[:, None], (left_top + right_bottom) / 2, pixels)
    sizes = torch.where(is_own, (right_bottom - left_top).amax(dim=1), 2 * TYPICAL_SIZE)
    weights = ink[page, 0, row, column] * torch.where(is_own, 1.0, OTHER_INK)
    errors = (centres[page, :, row, column] - targets).abs().sum(dim=1) / sizes
    return (weights * errors).sum() / weights.sum().clamp(min=1)


def compute_loss(finder: Finder, pictures: Tensor, ink: Tensor, owners: Tensor, boxes: Tensor) -> Tensor:
    """Return the loss of ink, centres, digits and boxes together.

    pictures (N, 3, H, W), ink and owners (N, 1, H, W) are uint8, boxes (N, D, 4) in pixels, 0 where a page has fewer
    digits.
    """
    ink = ink.float() / 255
    ink_logits, centres, digit_logits, distances = (output.float() for output in finder(pictures.float()))
    is_digit, nearest_boxes = assign(boxes, *pictures.shape[2:])
    loss = overlap_loss(ink_logits, ink) + overlap_loss(digit_logits[:, 0], is_digit.float())
    loss = loss + centre_loss(centres, ink, owners, boxes)
    if is_digit.any():
        found = decode_boxes(distances)[is_digit]
        loss = loss + generalized_box_iou_loss(found, nearest_boxes[is_digit], reduction="mean")
    return loss
