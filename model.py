"""The network, its answers and its table: the architecture stands here, once, and the three scripts import it.

To see the table: python model.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MOVES = (0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)  # pixels to the right, and down


class CNN(nn.Module):
    """Two convolutions and two linear layers: 421,834 parameters at ten classes.

    Input: images (N, 1, 28, 28), float32 in 0..1, light ink on black.
    Output: logits (N, num_classes), float32; softmax turns them into probabilities.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        # Leaky ReLU never changes which of two values is larger, so pooling before it gives the very same result as
        # pooling after it, and leaves it a quarter of the work.
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, stride=1, padding=1),  # (N, 32, 28, 28)
            nn.BatchNorm2d(32),
            nn.MaxPool2d(kernel_size=2, stride=2),  # (N, 32, 14, 14)
            nn.LeakyReLU(),
            nn.Conv2d(32, 64, kernel_size=3, stride=1, padding=1),  # (N, 64, 14, 14)
            nn.BatchNorm2d(64),
            nn.MaxPool2d(kernel_size=2, stride=2),  # (N, 64, 7, 7)
            nn.LeakyReLU(),
            nn.Flatten(),  # (N, 3136)
            nn.Linear(64 * 7 * 7, 128),  # (N, 128)
            nn.LeakyReLU(),
            nn.Linear(128, num_classes),  # (N, num_classes)
        )
        # Keeps the channels of a pixel together in memory: the same network, up to twice as fast on a CPU.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def predict_logits(model: nn.Module, images: Tensor, batch_size: int = 100) -> Tensor:
    """Return the logits (N, num_classes) of images (N, 1, 28, 28), in 0..255, on the device of both.

    Works in batches that fit into a CPU's cache, without gradients, and leaves the model in evaluation mode, in which
    batch norm uses what it learned in training instead of the batch at hand.
    """
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(batch.float() / 255) for batch in images.split(batch_size)])


def predict_views(model: nn.Module, images: Tensor) -> Tensor:
    """Return the same of five views of each image: as it is, and moved by a pixel to each side: (5, N, num_classes).

    Their mean is a better answer than each of them: what the network happens to take a digit for in one place balances
    out with what it does in the others.
    """
    # Padded with 1 pixel on one side, and with -1 on the other, an image moves by 1 pixel.
    views = torch.cat([nn.functional.pad(images, (right, -right, down, -down)) for right, down in MOVES])
    return predict_logits(model, views).unflatten(0, (len(MOVES), len(images)))


def architecture_table(model: CNN) -> str:
    """Return the layers of the model as a Markdown table: name, shape of the output for one image, parameters."""
    rows = ["| layer | output | parameters |", "|---|---:|---:|"]
    output = torch.zeros(1, 1, 28, 28)
    for layer in model.layers:
        output = layer(output)
        num_parameters = sum(parameter.numel() for parameter in layer.parameters())
        shape = " x ".join(str(size) for size in output.shape[1:])
        rows.append(f"| {type(layer).__name__} | {shape} | {num_parameters:,} |")
    total = sum(parameter.numel() for parameter in model.parameters())
    return "\n".join([*rows, f"| **total** | | **{total:,}** |"])


if __name__ == "__main__":
    print(architecture_table(CNN()))
