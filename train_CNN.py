"""Trains the CNN on MNIST and saves its weights to models/cnn_.pth.

Measured: 99.63 +- 0.02 % test accuracy (five trainings), after five minutes on two fast CPU cores, 14 on slow ones.
Run it: python train_CNN.py
"""

from __future__ import annotations

import argparse
import math
import time

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.optim.swa_utils import update_bn

from digits.command_line import add_shared_flags, positive_float, run_script, show_progress, whole_number
from digits.plots import draw_training_curves, save_figure, show_figure
from digits.training.augmentation import augment
from digits.training.mnist import load_mnist
from digits.training.muon import Muon
from digits.weights import check_model_path, save_weights
from model import CNN, predict_logits, to_floats

EPOCHS = 24  # passes over the training images
BATCH_SIZE = 128  # images per training step
LEARNING_RATE = 0.02  # peak of the one-cycle schedule
SEED = 0  # of all random numbers; the same seed gives the same weights on the same CPU

MAX_BATCH_SIZE = 2000  # images; larger batches need more than 2 GB of memory
MOMENTUM = 0.8
WEIGHT_DECAY = 0.05
VALIDATION_FRACTION = 1 / 30  # of the training images, held out: 2,000 of 60,000
NUM_AVERAGED = 5000  # images that batch norm averages over, after each epoch

EPOCH_LINE = (
    "Epoch {epoch}/{epochs}: loss {loss:.4f}, validation loss {validation_loss:.4f}, "
    "validation accuracy {validation_accuracy:.2f} %, learning rate {learning_rate:.4f}, {seconds:.1f} s"
)


def prepare_training(
    num_images: int, epochs: int, device: str, batch_size: int = BATCH_SIZE, learning_rate: float = LEARNING_RATE
) -> tuple[CNN, Muon, LRScheduler]:
    """Return a new model on `device`, its optimizer, and the schedule of the learning rate over `epochs`."""
    # glibc returns every large block to the system that is freed, only to ask for it again in the next training step,
    # until it has seen one of almost 32 MB go (mallopt(3), M_MMAP_THRESHOLD). This takes a fifth off an epoch.
    torch.empty(2**25 - 2**16, dtype=torch.uint8)
    # Channels last, in memory only: the same network, up to twice as fast on a CPU
    model = CNN().to(device).to(memory_format=torch.channels_last)
    optimizer = Muon(model.parameters(), lr=learning_rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    # One cycle: the learning rate rises to its peak during the first third, then falls to almost 0 (Smith, Topin 2018).
    total_steps = epochs * math.ceil(num_images / batch_size)
    scheduler = OneCycleLR(optimizer, max_lr=learning_rate, total_steps=total_steps, cycle_momentum=False)
    return model, optimizer, scheduler


def train_epoch(
    model: CNN, optimizer: Muon, scheduler: LRScheduler, train_images: Tensor, train_labels: Tensor, batch_size: int
) -> float:
    """Train on each of train_images (N, 1, 28, 28), uint8, once, in random order. Return the mean loss.

    train_labels (N,) are int64. The loss is the cross entropy of the augmented images, in training mode.
    """
    model.train()
    loss_sum = torch.zeros((), device=train_images.device)  # on the device: a GPU need not wait for each number
    start = time.perf_counter()
    batches = torch.randperm(len(train_images), device=train_images.device).split(batch_size)
    for step, batch in enumerate(batches, start=1):
        images, labels = to_floats(train_images[batch]), train_labels[batch]
        loss = F.cross_entropy(model(augment(images, labels)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        loss_sum += loss.detach() * len(batch)
        show_progress(step, len(batches), start)
    # Batch norm has averaged over augmented images; from now on it uses the averages of images as they are.
    update_bn((to_floats(images) for images in train_images[:NUM_AVERAGED].split(batch_size)), model)
    return float(loss_sum) / len(train_images)


def evaluate(model: torch.nn.Module, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the mean loss (cross entropy) and the accuracy (percent) on images (N, 1, 28, 28), uint8."""
    logits = predict_logits(model, images)
    num_correct = int((logits.argmax(dim=1) == labels).sum())
    return float(F.cross_entropy(logits, labels)), 100 * num_correct / len(labels)


def parse_arguments() -> argparse.Namespace:
    """Return the settings of this run: the constants above, unless flags override them."""
    parser = argparse.ArgumentParser(
        description="Trains the CNN on MNIST and saves its weights.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--epochs", type=whole_number(1, 10_000), default=EPOCHS, help="passes over the images")
    parser.add_argument("--batch-size", type=whole_number(1, MAX_BATCH_SIZE), default=BATCH_SIZE, help="images a step")
    parser.add_argument("--learning-rate", type=positive_float, default=LEARNING_RATE, help="peak of the schedule")
    parser.add_argument("--seed", type=whole_number(0, 2**63 - 1), default=SEED, help="same seed, same weights")
    add_shared_flags(parser, "--data-dir", "--model-path", "--figures-dir", "--no-plot", "--device")
    return parser.parse_args()


def main() -> None:
    """Load the images, train with a line per epoch, save the weights, and only then draw the figure."""
    args = parse_arguments()
    start = time.perf_counter()
    torch.manual_seed(args.seed)
    check_model_path(args.model_path)  # now rather than after minutes of training
    # The data set lives on the device as two tensors; a batch is an index into them.
    images, labels = load_mnist(args.data_dir, train=True, device=args.device)
    num_train = len(images) - math.ceil(len(images) * VALIDATION_FRACTION)
    print(f"Device: {args.device}, epochs: {args.epochs}")
    print(f"Images: {num_train} to train with, {len(images) - num_train} to validate with", flush=True)

    model, optimizer, scheduler = prepare_training(
        num_train, args.epochs, args.device, args.batch_size, args.learning_rate
    )
    history = []
    for epoch in range(1, args.epochs + 1):
        epoch_start = time.perf_counter()
        loss = train_epoch(model, optimizer, scheduler, images[:num_train], labels[:num_train], args.batch_size)
        if not math.isfinite(loss):
            raise ValueError("the loss is no longer a number, nothing is saved; try a smaller --learning-rate")
        validation_loss, validation_accuracy = evaluate(model, images[num_train:], labels[num_train:])
        history.append(
            {
                "loss": loss,
                "validation_loss": validation_loss,
                "validation_accuracy": validation_accuracy,
                "learning_rate": float(scheduler.get_last_lr()[0]),
                "seconds": time.perf_counter() - epoch_start,
            }
        )
        print(EPOCH_LINE.format(epoch=epoch, epochs=args.epochs, **history[-1]), flush=True)

    save_weights(model, args.model_path)
    print(f"Weights saved to {args.model_path}")
    seconds = time.perf_counter() - start
    print(f"Validation accuracy {history[-1]['validation_accuracy']:.2f} %, total time {seconds:.1f} s", flush=True)
    figure_path = args.figures_dir / "training_curves.png"
    if not args.no_plot and save_figure(figure_path, draw_training_curves, history, args.epochs):
        show_figure(draw_training_curves, history, args.epochs)


if __name__ == "__main__":
    run_script(main)
