"""The finder: a network that sees where in a picture strokes and digits are. The prediction of which is the CNN's."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = 16, 32, 64, 80, 96  # channels at 1/2 to 1/32 of the resolution
STRIDE = 4  # pixels from one position where a digit may be found to the next
TYPICAL_SIZE = 20.0  # pixels from the middle of a digit to a side of its box
MIN_SIDE = 0.32  # smallest side of the ellipse in the box of a digit, relative to the longer one
MIN_SCORE = 0.5  # probability from which a digit is found
MAX_OVERLAP = 0.5  # of the boxes of two digits, relative to the smaller one
MULTIPLE = 2 ** len(WIDTHS)  # pixels: width and height of the input are multiples of it


def _block(num_in: int, num_out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (num_in, num_out):
        layers += [nn.Conv2d(width, num_out, 3, padding=1, bias=False), nn.BatchNorm2d(num_out), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class Finder(nn.Module):
    """A U-Net (Ronneberger et al. 2015) with two heads: one for strokes, one for digits.

    Input: pictures (N, 3, H, W), float32 in 0..255, H and W multiples of 32.
    Output: logits of ink (N, 1, H, W), where a pen has covered a pixel; the centre (N, 2, H, W) of the digit that this
    ink belongs to, x and y in pixels, and of other ink the pixel itself (as in Panoptic-DeepLab, Cheng et al. 2020);
    logits of digits (N, 1, H/4, W/4), near the middle of one; and the distances (N, 4, H/4, W/4) from there to the
    left, top, right and bottom side of its box, in pixels (FCOS, Tian et al. 2019).
    """

    def __init__(self) -> None:
        super().__init__()
        # Two by two pixels become channels at first, and channels become pixels at last: four times cheaper.
        self.down = nn.ModuleList([_block(a, b) for a, b in zip((12, *WIDTHS), WIDTHS)])
        self.up = nn.ModuleList([_block(a + b, a) for a, b in zip(WIDTHS, WIDTHS[1:])])
        self.strokes = nn.Conv2d(WIDTHS[0], 4 * 3, 1)
        block, boxes = _block(WIDTHS[1], WIDTHS[1]), nn.Conv2d(WIDTHS[1], 5, 1)
        self.digits = nn.Sequential(block, boxes)
        # At first no pixel is ink or a digit, since most are not (RetinaNet, Lin et al. 2017).
        self.strokes.bias = nn.Parameter(torch.tensor(4 * [-3.0] + 8 * [0.0]))
        boxes.bias = nn.Parameter(torch.tensor([-4.0, 0.0, 0.0, 0.0, 0.0]))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # Light or dark, pale or strong: the mean becomes 0 and the standard deviation about 1.
        centred = pictures - pictures.mean((1, 2, 3), keepdim=True)
        deviation = centred.square().mean((1, 2, 3), keepdim=True).sqrt()
        features = F.pixel_unshuffle(centred / (deviation + 4), 2)
        features = features.contiguous(memory_format=torch.channels_last)
        skipped = []
        for level, block in enumerate(self.down):
            features = block(F.max_pool2d(features, 2) if level else features)
            skipped.append(features)
        outputs = features
        for level in reversed(range(len(self.up))):
            features = F.interpolate(features, scale_factor=2.0, mode="nearest")
            features = self.up[level](torch.cat([skipped[level], features], dim=1))
            if level == 1:
                outputs = self.digits(features)
        distances = outputs[:, 1:].clamp(-4, 4).exp() * TYPICAL_SIZE
        strokes = F.pixel_shuffle(self.strokes(features), 2).float()
        positions = find_positions(pictures.shape[2], pictures.shape[3], 1, pictures.device)
        centres = torch.stack(torch.broadcast_tensors(*positions)) + strokes[:, 1:] * TYPICAL_SIZE
        return strokes[:, :1], centres, outputs[:, :1], distances


def find_positions(height: int, width: int, stride: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return x (1, width/stride) and y (height/stride, 1), in pixels, of the positions that outputs belong to."""
    x = torch.arange(stride / 2, width, stride, device=device)
    y = torch.arange(stride / 2, height, stride, device=device)
    return x[None], y[:, None]


def decode_boxes(distances: Tensor) -> Tensor:
    """Return the boxes (N, H/4, W/4, 4), in pixels, that distances (N, 4, H/4, W/4) give."""
    x, y = find_positions(STRIDE * distances.shape[2], STRIDE * distances.shape[3], STRIDE, distances.device)
    left, top, right, bottom = distances.unbind(dim=1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=3)


def suppress(boxes: Tensor, scores: Tensor) -> Tensor:
    """Return the numbers of the boxes (N, 4) that overlap none with a higher score by more than MAX_OVERLAP.

    As torchvision.ops.nms, but relative to the smaller box; and importing torchvision takes as long as all the rest.
    """
    kept: list[int] = []
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    for number in scores.argsort(descending=True).tolist():
        sides = torch.minimum(boxes[number, 2:], boxes[kept, 2:]) - torch.maximum(boxes[number, :2], boxes[kept, :2])
        shared = sides.clamp(min=0).prod(dim=1) / torch.minimum(areas[number], areas[kept])
        if not (shared > MAX_OVERLAP).any():
            kept.append(number)
    return torch.tensor(kept, dtype=torch.long)


def pad(picture: Tensor) -> Tensor:
    """Return a picture (3, H, W), floats, continued to the right and down, until H and W are multiples of 32."""
    height, width = picture.shape[1:]
    return F.pad(picture[None], (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")[0]


@torch.inference_mode()
def look(finder: Finder, picture: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the probability of ink (H, W) in a picture (3, H, W), floats in 0..255, its centres (2, H, W), and digits.

    These are boxes (N, 4) and their probabilities (N,), the highest first, none below MIN_SCORE.
    """
    height, width = picture.shape[1:]
    device = next(finder.parameters()).device
    outputs = finder(pad(picture.to(device))[None])
    ink, centres, digits, distances = (output.cpu() for output in outputs)
    boxes, scores = decode_boxes(distances)[0], digits[0, 0].sigmoid()
    x, y = find_positions(ink.shape[2], ink.shape[3], STRIDE, ink.device)
    is_digit = (scores > MIN_SCORE) & (x < width) & (y < height)
    boxes, scores = boxes[is_digit], scores[is_digit]
    kept = suppress(boxes, scores)
    return ink[0, 0, :height, :width].sigmoid(), centres[0, :, :height, :width], boxes[kept], scores[kept]
