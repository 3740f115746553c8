"""The network, its answers and its table: the architecture stands here, once, and the three scripts import it.

To see the table: python model.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MAX_SLANT = 0.6  # that is taken out of a digit: pixels to the side for each pixel upwards
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


def deskew(images: Tensor) -> Tensor:
    """Return images (N, 1, 28, 28), floats, each with its rows moved sideways so that its digit no longer leans.

    Writers slant their digits each in their own way, which tells nothing of what they write (LeCun et al. 1998).
    """
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
    return nn.functional.grid_sample(images, places, align_corners=False)


def predict_logits(model: nn.Module, images: Tensor, batch_size: int = 100) -> Tensor:
    """Return the logits (N, num_classes) of images (N, 1, 28, 28), uint8 in 0..255, on the device of both.

    The images are deskewed first, as in training. Works in batches that fit into a CPU's cache, without gradients, and
    leaves the model in evaluation mode, in which batch norm uses what it learned in training instead of the batch at
    hand.
    """
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(deskew(batch.float() / 255)) for batch in images.split(batch_size)])


def predict_mean_logits(model: nn.Module, images: Tensor) -> Tensor:
    """Return the same as the mean over five views of each image: as it is, and moved by a pixel to each side.

    What the network happens to take a digit for in one place balances out with what it does in the others.
    """
    # Padded with 1 pixel on one side, and with -1 on the other, an image moves by 1 pixel.
    views = torch.cat([nn.functional.pad(images, (right, -right, down, -down)) for right, down in MOVES])
    return predict_logits(model, views).unflatten(0, (len(MOVES), len(images))).mean(dim=0)


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
