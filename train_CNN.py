"""Trains the CNN on MNIST and saves its weights to models/cnn_.pth.

Measured: 99.61 +- 0.04 % of the 10,000 test images right (mean and standard deviation of the seeds 0 to 4), in about
six minutes on 4 CPU cores; after one epoch, about 15 s, 99.34 +- 0.03 % (seeds 0 to 9). The settings below made the
shipped weights; a flag overrides the setting of its name.
Run it: python train_CNN.py
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from pathlib import Path
from typing import Callable, Iterable

from command_line import run_script

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import update_bn

from mnist import DATA_DIR, load_mnist
from model import CNN, MODEL_PATH, available_devices, check_model_path, predict_logits, save_weights
from plots import FIGURES_DIR, draw_training_curves, save_figure, show_figure

EPOCHS = 24  # times that each training image is shown
BATCH_SIZE = 128  # images a step
LEARNING_RATE = 0.02  # at its highest, see the schedule in prepare_training()
SEED = 0  # the same seed gives the same weights, another seed gives others

MAX_BATCH_SIZE = 2000  # more would need more than 2 GB of memory
MOMENTUM = 0.8
WEIGHT_DECAY = 0.05
VALIDATION_FRACTION = 1 / 30  # of the training images, kept back to validate: 2,000 of 60,000

NUM_BATCH_NORM_BATCHES = 40  # that batch norm takes its averages from, after each epoch

# How far a training image is changed at most, each time that it is shown
MAX_ROTATION = 12  # degrees
MAX_SCALING = 0.12  # 0.12 is from 12 % narrower to 12 % wider, and the same for the height
MAX_SHEAR = 0.15  # slant: shift of the upper edge against the middle, as a fraction of half the height
MAX_SHIFT = 2  # pixels
ELASTICITY = 0.4  # pixels: standard deviation of the shifts that bend the strokes


def augment(images: Tensor) -> Tensor:
    """Return images (N, 1, 28, 28), floats, each rotated, scaled, slanted, shifted and bent by a draw of its own.

    The digits stay what they are, yet the network never sees the same picture twice (Simard et al. 2003, "Best
    practices for convolutional neural networks"). Black (0) comes in where an image is moved away from its edge.
    """
    num_images, _, height, width = images.shape

    def draw(limit: float) -> Tensor:
        return torch.empty(num_images, device=images.device).uniform_(-limit, limit)

    angle, shear = draw(math.radians(MAX_ROTATION)), draw(MAX_SHEAR)
    scale_x, scale_y = 1 + draw(MAX_SCALING), 1 + draw(MAX_SCALING)
    shift_x, shift_y = draw(2 * MAX_SHIFT / width), draw(2 * MAX_SHIFT / height)  # in units of half the image
    # For each pixel of the result these two rows give the place in the image that it is taken from.
    row_x = torch.stack([scale_x * angle.cos(), shear - angle.sin(), shift_x], dim=1)
    row_y = torch.stack([angle.sin(), scale_y * angle.cos(), shift_y], dim=1)
    matrices = torch.stack([row_x, row_y], dim=1)  # (N, 2, 3)
    grid = F.affine_grid(matrices, list(images.shape), align_corners=False)
    # Random shifts at 5x5 points, and smoothly in between, bend the strokes: an elastic distortion.
    shifts = torch.randn(num_images, 2, 5, 5, device=images.device) * (2 * ELASTICITY / width)
    shifts = F.interpolate(shifts, size=(height, width), mode="bicubic", align_corners=True)
    grid = grid + shifts.permute(0, 2, 3, 1)
    return F.grid_sample(images, grid, align_corners=False)


def orthogonalize(matrix: Tensor) -> Tensor:
    """Return the matrix (M, N) that has the directions of `matrix` (M, N), all of them about equally strong.

    In terms of the singular value decomposition, every singular value becomes about 1 (from 0.7 to 1.2). Five steps of
    a Newton-Schulz iteration come close enough, and need nothing but products of small matrices.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalize(matrix.T).T
    gram = matrix @ matrix.T  # (M, M), whose eigenvalues are the squares of the singular values
    identity = torch.eye(len(gram), device=gram.device)
    scale = 1 / (gram.trace() + 1e-14)  # brings the singular values into 0..1
    gram, result = gram * scale, identity * scale.sqrt()
    for _ in range(5):
        polynomial = 3.4445 * identity - 4.775 * gram + 2.0315 * gram @ gram
        gram, result = polynomial @ gram @ polynomial, polynomial @ result
    return result @ matrix


class Muon(torch.optim.Optimizer):
    """Gradient descent with momentum that steps equally far in all directions of a layer's weights.

    The gradients of a layer point mostly in a few directions, and the rest would be learned slowly; so each step is
    orthogonalized first (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"). Biases and
    the parameters of batch norm, which are no matrices, take the plain step and no weight decay.
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self) -> None:
        """Change all parameters by one step along their gradients."""
        for group in self.param_groups:
            lr, momentum = group["lr"], group["momentum"]
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    state["velocity"] = torch.zeros_like(parameter)
                velocity = state["velocity"]
                velocity.mul_(momentum).add_(parameter.grad)
                step = parameter.grad + momentum * velocity  # Nesterov's form: it looks one step ahead
                if parameter.ndim > 1:
                    step = orthogonalize(step.flatten(start_dim=1)).reshape(parameter.shape)
                    parameter.mul_(1 - lr * group["weight_decay"])
                parameter.sub_(lr * step)


def prepare_training(
    num_images: int,
    epochs: int,
    batch_size: int = BATCH_SIZE,
    learning_rate: float = LEARNING_RATE,
    device: str = "cpu",
) -> tuple[CNN, Muon, torch.optim.lr_scheduler.LRScheduler]:
    """Return a new model on `device`, its optimizer, and the schedule of the learning rate for this many epochs."""
    # Linux gives large blocks that are freed back to the system, only to fetch them again in the next step. Having seen
    # one of almost 32 MB go, it keeps them at hand (mallopt(3), M_MMAP_THRESHOLD): a fifth faster.
    torch.empty(2**25 - 2**16, dtype=torch.uint8)
    model = CNN().to(device)
    optimizer = Muon(model.parameters(), lr=learning_rate, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    # One cycle: the rate climbs to its highest in the first third, then falls to almost 0 (Smith and Topin 2018).
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        max_lr=learning_rate,
        total_steps=epochs * math.ceil(num_images / batch_size),
        cycle_momentum=False,
    )
    return model, optimizer, scheduler


def train_epoch(
    model: CNN,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    images: Tensor,
    labels: Tensor,
    batch_size: int = BATCH_SIZE,
) -> tuple[float, float]:
    """Show the model each of images (N, 1, 28, 28), uint8, once, in a new order, with a step after each batch.

    Returns the mean loss (cross entropy) and the accuracy (percent), both on the augmented images as they passed.
    """
    model.train()
    loss_sum, num_correct = 0.0, 0
    start = time.perf_counter()
    batches = torch.randperm(len(images), device=images.device).split(batch_size)
    for step, batch in enumerate(batches, start=1):
        logits = model(augment(images[batch].float() / 255))
        loss = F.cross_entropy(logits, labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        # Added up on the device: asking for the numbers now would make a GPU wait for each step to end.
        loss_sum += loss.detach() * len(batch)
        num_correct += (logits.argmax(dim=1) == labels[batch]).sum()
        if step % 10 == 0 and sys.stdout.isatty():
            seconds_left = (time.perf_counter() - start) * (len(batches) - step) / step
            print(f"\r  step {step}/{len(batches)}, {seconds_left:.0f} s left in this epoch ", end="", flush=True)
    if sys.stdout.isatty():
        print("\r" + " " * 60 + "\r", end="")
    # Batch norm has averaged over augmented images, yet it will see images as they are: those set its averages anew.
    update_bn((images[batch].float() / 255 for batch in batches[:NUM_BATCH_NORM_BATCHES]), model)
    return float(loss_sum) / len(images), 100 * int(num_correct) / len(images)


def evaluate(model: CNN, images: Tensor, labels: Tensor) -> tuple[float, float]:
    """Return the mean loss (cross entropy) and the accuracy (percent) of the model on images (N, 1, 28, 28), uint8."""
    logits = predict_logits(model, images)
    num_correct = int((logits.argmax(dim=1) == labels).sum())
    return float(F.cross_entropy(logits, labels)), 100 * num_correct / len(labels)


def whole_number(lowest: int, highest: int) -> Callable[[str], int]:
    """Return a function that gives the number in a flag's text, or raises ArgumentTypeError if it is none of these."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {lowest} to {highest}")
        return int(text)

    return parse


def positive_float(text: str) -> float:
    """Return the number that a flag's text gives; raises ArgumentTypeError when that is no number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def parse_arguments() -> argparse.Namespace:
    """Return the settings of this run: the constants above, unless flags override them."""
    devices = available_devices()
    parser = argparse.ArgumentParser(
        description="Trains the CNN on MNIST and saves its weights.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--epochs", type=whole_number(1, 10_000), default=EPOCHS, help="times that each image is shown")
    parser.add_argument("--batch-size", type=whole_number(1, MAX_BATCH_SIZE), default=BATCH_SIZE, help="images a step")
    parser.add_argument("--learning-rate", type=positive_float, default=LEARNING_RATE, help="the highest one")
    parser.add_argument(
        "--seed", type=whole_number(0, 2**63 - 1), default=SEED, help="the same seed gives the same weights"
    )
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR, help="where MNIST is, or is downloaded to")
    parser.add_argument("--model-path", type=Path, default=MODEL_PATH, help="where the weights go")
    parser.add_argument("--figures-dir", type=Path, default=FIGURES_DIR, help="where training_curves.png goes")
    parser.add_argument("--no-plot", action="store_true", help="draw no figure")
    parser.add_argument("--device", choices=devices, default=devices[0], help="what to compute on")
    return parser.parse_args()


def main() -> None:
    """Load the images, train for all epochs with a line about each, and save the weights."""
    args = parse_arguments()
    start = time.perf_counter()
    torch.manual_seed(args.seed)
    check_model_path(args.model_path)  # now rather than after minutes of training

    # The whole data set lives on the device as two tensors; a batch is an index into them.
    images, labels = load_mnist(args.data_dir, train=True, device=args.device)
    num_validation = math.ceil(len(images) * VALIDATION_FRACTION)
    train_images, validation_images = images[:-num_validation], images[-num_validation:]
    train_labels, validation_labels = labels[:-num_validation], labels[-num_validation:]
    print(f"Device: {args.device}, epochs: {args.epochs}")
    print(f"Images: {len(train_images)} to train with, {num_validation} to validate with", flush=True)

    model, optimizer, scheduler = prepare_training(
        len(train_images), args.epochs, args.batch_size, args.learning_rate, args.device
    )

    figure_path = args.figures_dir / "training_curves.png"
    history, is_drawn = [], not args.no_plot
    for epoch in range(1, args.epochs + 1):
        epoch_start = time.perf_counter()
        loss, accuracy = train_epoch(model, optimizer, scheduler, train_images, train_labels, args.batch_size)
        if not math.isfinite(loss):
            raise ValueError("the loss is no longer a number, nothing is saved; try a smaller --learning-rate")
        validation_loss, validation_accuracy = evaluate(model, validation_images, validation_labels)
        learning_rate = scheduler.get_last_lr()[0]
        print(
            f"Epoch {epoch}/{args.epochs}: loss {loss:.4f}, training accuracy {accuracy:.2f} %, "
            f"validation accuracy {validation_accuracy:.2f} %, learning rate {learning_rate:.4f}, "
            f"{time.perf_counter() - epoch_start:.1f} s",
            flush=True,
        )
        history.append(
            {
                "loss": loss,
                "validation_loss": validation_loss,
                "accuracy": accuracy,
                "validation_accuracy": validation_accuracy,
                "learning_rate": learning_rate,
            }
        )
        is_drawn = is_drawn and save_figure(figure_path, draw_training_curves, history, args.epochs)

    save_weights(model, args.model_path)
    print(f"Weights saved to {args.model_path}")
    print(
        f"Validation accuracy {validation_accuracy:.2f} %, total time {time.perf_counter() - start:.1f} s", flush=True
    )
    if is_drawn:
        print(f"Figure saved to {figure_path}", flush=True)
        show_figure(draw_training_curves, history, args.epochs)


if __name__ == "__main__":
    run_script(main)
