"""Digits that lean are deskewed."""

from __future__ import annotations

import pytest
import torch

from digits.deskewing import deskew
from model import CNN


def bars(slant: float, width: float = 3) -> torch.Tensor:
    """Return an image (1, 1, 28, 28) of a bar that goes `slant` pixels to the right for each pixel that it goes up."""
    positions = torch.arange(28.0)
    bar = (width / 2 + 0.5 - (positions - 11 + slant * (positions[:, None] - 15)).abs()).clamp(0, 1)
    bar[:6] = bar[25:] = 0
    return bar[None, None]


def mean_columns(image: torch.Tensor) -> torch.Tensor:
    """Return the mean column of the ink in each row with ink."""
    rows = image[0, 0, 6:25]
    return (rows * torch.arange(28)).sum(dim=1) / rows.sum(dim=1)


@pytest.mark.parametrize("slant, left", [(-0.5, 0), (-0.2, 0), (0, 0), (0.3, 0), (0.6, 0), (0.9, 0.3)])
def test_a_bar_is_deskewed(slant, left):
    """Of a larger slant than MAX_SLANT the rest is left."""
    bar = bars(slant)
    deskewed = deskew(bar)
    assert deskewed.shape == (1, 1, 28, 28) and deskewed.min() >= 0 and deskewed.max() <= 1
    # The middle of the bar stays where it is, and all of it comes to stand above and below that.
    expected = mean_columns(bar).mean() + left * torch.arange(9.0, -10, -1)
    torch.testing.assert_close(mean_columns(deskewed), expected, rtol=0, atol=0.15 if left == 0 else 0.6)
    torch.testing.assert_close(deskewed.sum(dim=3), bar.sum(dim=3), rtol=0, atol=0.05)  # rows keep their ink
    if slant == 0:
        torch.testing.assert_close(deskewed, bar, rtol=0, atol=1e-4)


def test_deskew_takes_each_image_by_itself():
    images = torch.cat([bars(0.4), torch.zeros(1, 1, 28, 28), bars(-0.3, width=5), torch.ones(1, 1, 28, 28)])
    together = deskew(images)
    for image, deskewed in zip(images, together):
        torch.testing.assert_close(deskew(image[None])[0], deskewed, rtol=0, atol=1e-5)
    torch.testing.assert_close(together[[1, 3]], images[[1, 3]], rtol=0, atol=1e-4)  # nothing leans


def test_the_network_deskews_what_it_is_given():
    images = torch.cat([bars(0.4), bars(-0.3, width=5)])
    network = CNN()
    network.layers = torch.nn.Sequential()  # what the layers are given
    for is_training in (False, True):
        assert torch.equal(network.train(is_training)(images), deskew(images))
