"""The network: the architecture is defined here, once, and the three scripts import it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from digits.deskewing import deskew


class CNN(nn.Module):
    """Two convolutions and two linear layers: 421,834 parameters at ten classes.

    Input: images (N, 1, 28, 28), float32 in 0..1, light ink on black, as in MNIST.
    Output: logits (N, num_classes), float32; softmax turns them into probabilities.
    """

    _version = 2  # in the metadata of the state_dict; weights of version 1 expect images that are deskewed already

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, stride=1, padding=1),  # (N, 32, 28, 28)
            nn.BatchNorm2d(32),  # (N, 32, 28, 28)
            nn.LeakyReLU(inplace=True),  # (N, 32, 28, 28)
            nn.MaxPool2d(kernel_size=2, stride=2),  # (N, 32, 14, 14)
            nn.Conv2d(32, 64, kernel_size=3, stride=1, padding=1),  # (N, 64, 14, 14)
            nn.BatchNorm2d(64),  # (N, 64, 14, 14)
            nn.LeakyReLU(inplace=True),  # (N, 64, 14, 14)
            nn.MaxPool2d(kernel_size=2, stride=2),  # (N, 64, 7, 7)
            nn.Flatten(),  # (N, 3136)
            nn.Linear(3136, 128),  # (N, 128)
            nn.LeakyReLU(inplace=True),  # (N, 128)
            nn.Linear(128, num_classes),  # (N, num_classes)
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(deskew(images))


def to_floats(images: Tensor) -> Tensor:
    """Return images, uint8 in 0..255 as data sets store them, as the network takes them: float32 in 0..1."""
    return images.float() / 255


def predict_logits(model: nn.Module, images: Tensor, batch_size: int = 100) -> Tensor:
    """Return the logits (N, num_classes) of images (N, 1, 28, 28), uint8, on the device of both.

    Works in batches that fit into a CPU's cache, without gradients, and leaves the model in evaluation mode, in which
    batch norm uses its averages over the training instead of those of the batch.
    """
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(to_floats(batch)) for batch in images.split(batch_size)])
