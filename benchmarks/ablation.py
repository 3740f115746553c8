"""Changes one thing of the default training at a time, and prints what that does to the validation accuracy.

Trains on the first 50,000 of MNIST's training images and validates on the last 10,000; the test images play no part.
Run it: python -m benchmarks.ablation
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import train_CNN
from digits.command_line import add_shared_flags, run_script, whole_number
from digits.training import augmentation
from digits.training.mnist import load_mnist
from model import CNN, predict_logits

EPOCHS = (1, 4)
SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # pixels to the right, and down


def adamw(parameters: Any, lr: float, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    """Return AdamW with its own defaults but the learning rate."""
    return torch.optim.AdamW(parameters, lr=lr)


def sgd(parameters: Any, lr: float, momentum: float, weight_decay: float) -> torch.optim.Optimizer:
    """Return SGD with Nesterov momentum."""
    return torch.optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=5e-4)


def no_schedule(optimizer: torch.optim.Optimizer, **_: object) -> torch.optim.lr_scheduler.LRScheduler:
    """Return a schedule that keeps the learning rate."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1)


def without_strokes(images: Tensor, labels: Tensor) -> Tensor:
    """Return augmented images to which no strokes are added."""
    return augmentation.augment(images, torch.full_like(labels, -1))  # a label that no digit has


def without_widths(images: Tensor, labels: Tensor) -> Tensor:
    """Return augmented images whose strokes keep their width."""
    with patch.object(augmentation, "CHANGED_WIDTHS", 0):
        return augmentation.augment(images, labels)


# Name of the change, what stands for a name in train_CNN.py, and the learning rate
VARIANTS: dict[str, tuple[dict[str, Any], float]] = {
    "default": ({}, train_CNN.LEARNING_RATE),
    "no augmentation": ({"augment": lambda images, labels: images}, train_CNN.LEARNING_RATE),
    "no added strokes": ({"augment": without_strokes}, train_CNN.LEARNING_RATE),
    "no strokes made wider or thinner": ({"augment": without_widths}, train_CNN.LEARNING_RATE),
    "no deskewing": ({"CNN": lambda: CNN().layers}, train_CNN.LEARNING_RATE),
    "batch norm averaged over augmented images": ({"update_bn": lambda *_: None}, train_CNN.LEARNING_RATE),
    "no schedule": ({"OneCycleLR": no_schedule}, train_CNN.LEARNING_RATE),
    **{f"AdamW, learning rate {rate}": ({"Muon": adamw}, rate) for rate in (0.001, 0.003, 0.01)},
    **{f"SGD with Nesterov momentum, learning rate {rate}": ({"Muon": sgd}, rate) for rate in (0.03, 0.1, 0.3)},
}


def train(name: str, epochs: int, seed: int, images: Tensor, labels: Tensor) -> nn.Module:
    """Return the model that train_CNN.py trains with one change on images (N, 1, 28, 28), uint8, and labels (N,)."""
    changes, learning_rate = VARIANTS[name]
    torch.manual_seed(seed)
    with patch.multiple(train_CNN, SEED=seed, **changes):  # SEED, since it takes one name at least: default has none
        device, batch_size = str(images.device), train_CNN.BATCH_SIZE
        model, optimizer, scheduler = train_CNN.prepare_training(len(images), epochs, device, batch_size, learning_rate)
        for _ in range(epochs):
            train_CNN.train_epoch(model, optimizer, scheduler, images, labels, batch_size)
    return model


def evaluate(model: nn.Module, images: Tensor, labels: Tensor, shifts: tuple = SHIFTS[:1]) -> tuple[float, float]:
    """Return accuracy (percent) and mean loss on images (N, 1, 28, 28), from the mean logits of shifted copies."""
    # Padded with 1 pixel on one side and with -1 on the other, an image moves by 1 pixel.
    copies = [F.pad(images, (right, -right, down, -down)) for right, down in shifts]
    logits = torch.stack([predict_logits(model, copy) for copy in copies]).mean(dim=0)
    return 100 * float((logits.argmax(dim=1) == labels).float().mean()), float(F.cross_entropy(logits, labels))


def format_cells(results: list[tuple[float, float]]) -> str:
    """Return two cells of the table: accuracy, mean and standard deviation over the seeds, and mean loss."""
    accuracies, losses = zip(*results)
    deviation = f" ± {statistics.stdev(accuracies):.2f}" if len(results) > 1 else ""
    return f"{statistics.mean(accuracies):.2f}{deviation} | {statistics.mean(losses):.4f}"


def main() -> None:
    """Train every variant with every seed; print a row of the table for each."""
    parser = argparse.ArgumentParser(description="Changes one thing of the default training at a time.")
    parser.add_argument("--seeds", type=whole_number(1, 100), default=3, help="runs of each (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="on every hundredth image, to see that it works")
    add_shared_flags(parser, "--data-dir", "--device")
    args = parser.parse_args()
    images, labels = load_mnist(args.data_dir, train=True, device=args.device)
    if args.quick:
        images, labels = images[::100], labels[::100]
    num_train = len(images) * 5 // 6
    training, validation = (images[:num_train], labels[:num_train]), (images[num_train:], labels[num_train:])

    print("| changed | " + " | ".join(f"{n} epoch{'s' * (n > 1)}: accuracy in % | loss" for n in EPOCHS) + " |")
    print("|---|" + "---:|---:|" * len(EPOCHS))
    for name in VARIANTS:
        rows: dict[str, list[str]] = {name: []}
        for epochs in EPOCHS:
            models = [train(name, epochs, seed, *training) for seed in range(args.seeds)]
            rows[name].append(format_cells([evaluate(model, *validation) for model in models]))
            if name == "default":
                shifted = format_cells([evaluate(model, *validation, SHIFTS) for model in models])
                rows.setdefault("mean logits of five shifted copies", []).append(shifted)
        for row_name, cells in rows.items():
            print(f"| {row_name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    run_script(main)
