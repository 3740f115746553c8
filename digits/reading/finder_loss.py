"""What the finder learns: where a batch of pages has ink and digits, and how far its outputs are from that."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss

from digits.reading.finder import MIN_SIDE, STRIDE, TYPICAL_SIZE, Finder, decode_boxes, find_positions

CORE = 0.5  # size of the ellipse around the middle of a digit where it is to be found, relative to its box
MIN_REACH = 5.6  # pixels: smallest half of a side, so that each digit has a position; that of (0, 0) has none
TYPICAL_POSITIONS = 15  # of a digit at a close look: each digit counts as much as one with so many
MAX_WEIGHT = 3.0  # largest factor by which a position of a small digit counts more, and one of a large digit less
OTHER_INK = 0.25  # what a pixel of other ink counts for its centre: where in doubt, ink is a digit's


def assign(boxes: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return where digits are to be found, booleans, the weights, and the box (N, H/4, W/4, 4) of the nearest digit.

    The first two are (N, H/4, W/4). With the weights a digit of few positions, small or thin, counts as much as others.
    `boxes` (N, D, 4), in pixels, are 0 where a page has fewer than D digits: no position is so near to its corner.
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
    is_digit, nearest = nearest_distance < CORE, nearest.flatten(1)
    num_positions = math.pi * CORE**2 * reach.prod(dim=2) / STRIDE**2
    weights = (TYPICAL_POSITIONS / num_positions).clamp(1 / MAX_WEIGHT, MAX_WEIGHT).gather(1, nearest).view_as(is_digit)
    nearest_boxes = boxes.gather(1, nearest[..., None].expand(-1, -1, 4)).view(*is_digit.shape, 4)
    return is_digit, torch.where(is_digit, weights, 1.0), nearest_boxes


def overlap_loss(logits: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Return how badly logits agree with targets in 0..1, weighted: cross entropy, and Dice's coefficient.

    All three have the same shape.
    """
    probabilities = logits.sigmoid()
    dice = (2 * (weights * probabilities * targets).sum() + 1) / ((weights * (probabilities + targets)).sum() + 1)
    return 4 * F.binary_cross_entropy_with_logits(logits, targets, weights) + 1 - dice


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
    is_digit, weights, nearest_boxes = assign(boxes, *pictures.shape[2:])
    loss = overlap_loss(ink_logits, ink, torch.ones_like(ink))
    loss = loss + overlap_loss(digit_logits[:, 0], is_digit.float(), weights)
    loss = loss + centre_loss(centres, ink, owners, boxes)
    if is_digit.any():
        found = decode_boxes(distances)[is_digit]
        loss = loss + generalized_box_iou_loss(found, nearest_boxes[is_digit], reduction="mean")
    return loss
