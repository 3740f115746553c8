"""Batches of random pages, drawn as they are asked for."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from digits.reading.finder import MULTIPLE, pad
from digits.reading.pages.page import draw_page
from digits.reading.pages.shapes import Shape

BATCH_AREA, MAX_PAGES = 16 * 128 * 128, 32  # pixels in a batch, and the most pages
# Width and height of a batch of pages, in pixels. On the large ones much is empty, as in people's pictures.
PAGE_SIZES = (
    5 * [(128, 128)]
    + [(32, 64), (64, 64), (64, 96), (96, 64), (96, 128), (160, 96)]
    + 4 * [(256, 192)]
    + 3 * [(320, 256), (384, 288)]
)
PADDED = 0.4  # fraction of the pages that are smaller, and padded as pictures are


class Pages(Dataset):
    """Batches of random pages, the same for the same seed, however many processes draw them."""

    def __init__(self, shapes: list[Shape], num_batches: int, seed: int) -> None:
        self.shapes, self.num_batches, self.seed = shapes, num_batches, seed

    def __len__(self) -> int:
        return self.num_batches

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return pictures (N, 3, H, W), ink and owners (N, 1, H, W), all uint8, and boxes (N, D, 4).

        Owners are numbers of boxes, from 1, where there is ink of a digit. Boxes are 0 where a page has fewer digits.
        """
        rng = np.random.default_rng([self.seed, number])
        size = PAGE_SIZES[int(rng.integers(len(PAGE_SIZES)))]
        num_pages = min(BATCH_AREA // (size[0] * size[1]), MAX_PAGES)
        pictures = torch.zeros(num_pages, 3, size[1], size[0], dtype=torch.uint8)
        inks, owners = torch.zeros(2, num_pages, 1, size[1], size[0], dtype=torch.uint8)
        boxes = [torch.zeros(1, 4)]  # so that there is a row even where no page has a digit
        for picture, ink, owner in zip(pictures, inks, owners):
            right, bottom = (rng.integers(MULTIPLE // 2, size=2) * (rng.random() < PADDED)).tolist()
            page = draw_page(rng, self.shapes, size[0] - right, size[1] - bottom)
            picture[:] = pad(torch.from_numpy(page.picture).permute(2, 0, 1).float())
            drawn = np.s_[0, : size[1] - bottom, : size[0] - right]
            ink[drawn], owner[drawn] = torch.from_numpy(page.ink), torch.from_numpy(page.owners)
            boxes.append(torch.from_numpy(page.boxes))
        return pictures, inks, owners, pad_sequence(boxes, batch_first=True)[1:]
