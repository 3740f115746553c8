"""Trains four recipes in turn on one machine; prints and draws their time to accuracy on MNIST's test images.

1. ours: train_CNN.py as it stands, for its default number of epochs, for 4 and for 1;
2. AdamW with the same one-cycle schedule: the layers of this network, shuffled images, no augmentation, no deskewing;
3. the classic one for these layers: Adam, images in the order of the file, no augmentation;
4. that of PyTorch's own MNIST example, with its network: Adadelta, each image made a tensor when its turn comes.

The seconds are those of training alone, without loading the images and without the evaluation after each epoch, which
is for the figure only and steers nothing.
Run it: python -m benchmarks.time_to_accuracy
or, to see within a minute that it works: python -m benchmarks.time_to_accuracy --quick
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import time
from pathlib import Path
from typing import Callable, Iterator

import torch
import torch.nn.functional as F
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from torchvision import transforms
from torchvision.datasets import MNIST

import train_CNN
from digits.command_line import add_shared_flags, run_script, whole_number
from digits.plots import BLUE, GRAY, GREEN, ORANGE, PURPLE, SKY_BLUE, save_figure
from digits.training.mnist import load_mnist
from model import CNN, to_floats
from train_CNN import evaluate

TARGETS = (99.0, 99.2)  # percent of the test images
MNIST_MEAN, MNIST_STD = 0.1307, 0.3081  # of the training images' pixels in 0..1, as PyTorch's example states them
FIGURE_PATH = Path("time_to_accuracy.png")
COLOURS = (BLUE, SKY_BLUE, GREEN, GRAY, ORANGE, PURPLE)
ADAMW_LEARNING_RATE = 0.003  # peak of the one-cycle schedule

Recipe = Callable[[Tensor, Tensor], Iterator[nn.Module]]  # trains on images and labels, yields the model every epoch


def ours(epochs: int) -> Recipe:
    """Return the recipe of train_CNN.py, with its schedule over `epochs`."""

    def train(images: Tensor, labels: Tensor) -> Iterator[nn.Module]:
        model, optimizer, scheduler = train_CNN.prepare_training(len(images), epochs, str(images.device))
        for _ in range(epochs):
            train_CNN.train_epoch(model, optimizer, scheduler, images, labels, train_CNN.BATCH_SIZE)
            yield model

    return train


def adamw(epochs: int) -> Recipe:
    """Return the recipe that most of today's scripts would take: AdamW, one cycle, shuffled batches of 128."""

    def train(images: Tensor, labels: Tensor) -> Iterator[nn.Module]:
        model = CNN().layers.to(images.device).to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(model.parameters())
        total_steps = epochs * math.ceil(len(images) / 128)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=ADAMW_LEARNING_RATE, total_steps=total_steps)
        for _ in range(epochs):
            model.train()
            for batch in torch.randperm(len(images), device=images.device).split(128):
                loss = F.cross_entropy(model(to_floats(images[batch])), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                scheduler.step()
            yield model

    return train


def classic(epochs: int) -> Recipe:
    """Return the recipe that this network is mostly seen with: Adam, batches of 32 in the order of the file."""

    def train(images: Tensor, labels: Tensor) -> Iterator[nn.Module]:
        model = CNN().layers.to(images.device)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(epochs):
            model.train()
            for batch, batch_labels in zip(images.split(32), labels.split(32)):
                loss = F.cross_entropy(model(to_floats(batch)), batch_labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            yield model

    return train


def pytorch_example(epochs: int, data_dir: str | Path) -> Recipe:
    """Return the recipe of PyTorch's MNIST example: its network, Adadelta with a step decay, a DataLoader."""

    def train(images: Tensor, labels: Tensor) -> Iterator[nn.Module]:
        network = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3),
            nn.ReLU(),
            nn.Conv2d(32, 64, kernel_size=3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Dropout(0.25),
            nn.Flatten(),
            nn.Linear(64 * 12 * 12, 128),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(128, 10),
        ).to(images.device)
        normalize = transforms.Normalize((MNIST_MEAN,), (MNIST_STD,))
        dataset = MNIST(data_dir, train=True, transform=transforms.Compose([transforms.ToTensor(), normalize]))
        loader = DataLoader(Subset(dataset, range(len(images))), batch_size=64, shuffle=True)
        optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0)
        scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.7)
        for _ in range(epochs):
            network.train()
            for batch, batch_labels in loader:
                batch, batch_labels = batch.to(images.device), batch_labels.to(images.device)
                loss = F.cross_entropy(network(batch), batch_labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            scheduler.step()
            yield nn.Sequential(normalize, network)

    return train


def run(recipe: Recipe, seed: int, train_set: tuple[Tensor, Tensor], test_set: tuple[Tensor, Tensor]) -> list:
    """Train once. Return (seconds of training so far, accuracy in percent on the test set) after each epoch."""
    torch.manual_seed(seed)
    points, seconds = [], 0.0
    epochs = recipe(*train_set)
    while True:
        start = time.perf_counter()
        model = next(epochs, None)
        if train_set[0].is_cuda:
            torch.cuda.synchronize()
        seconds += time.perf_counter() - start
        if model is None:
            return points
        points.append((seconds, evaluate(model, *test_set)[1]))


def seconds_to(target: float, runs: list) -> tuple[float, int]:
    """Return the mean seconds after which runs reached `target` percent, of those that did, and how many did."""
    firsts = [next((seconds for seconds, accuracy in points if accuracy >= target), None) for points in runs]
    reached = [seconds for seconds in firsts if seconds is not None]
    return (statistics.mean(reached) if reached else math.inf), len(reached)


def print_table(results: dict[str, list]) -> None:
    """Print a row for each recipe. The ratio is to our default run, the first of the results."""
    print("| recipe | epochs | s/epoch | accuracy in % | " + " | ".join(f"s to {t} % | ratio" for t in TARGETS) + " |")
    print("|---|---:|---:|---:|" + "---:|---:|" * len(TARGETS))
    default_seconds = {target: seconds_to(target, next(iter(results.values())))[0] for target in TARGETS}
    for name, runs in results.items():
        seconds = statistics.median(points[-1][0] / len(points) for points in runs)
        finals = [points[-1][1] for points in runs]
        accuracy = f"{statistics.mean(finals):.2f}"
        if len(runs) > 1:
            accuracy += f" ± {statistics.stdev(finals):.2f}"
        cells = [name, str(len(runs[0])), f"{seconds:.1f}", accuracy]
        for target in TARGETS:
            mean, num_reached = seconds_to(target, runs)
            note = "" if num_reached == len(runs) else f" ({num_reached} of {len(runs)} runs)"
            ratio = f"{mean / default_seconds[target]:.1f}" if math.isfinite(default_seconds[target]) else ""
            cells += [f"{mean:.0f}{note}", ratio] if num_reached else ["never", ""]
        print("| " + " | ".join(cells) + " |")


def draw_comparison(figure: Figure, results: dict[str, list], title: str) -> None:
    """Draw test accuracy against seconds of training, a line for each run, a colour for each recipe."""
    figure.set_size_inches(8, 5)
    axes = figure.subplots()
    for colour, (name, runs) in zip(COLOURS, results.items()):
        for points in runs:
            seconds, accuracies = zip(*points)
            label = name if points is runs[0] else None
            marker = "." if len(points) > 1 else "D"  # which stands alone, without a line
            axes.plot(seconds, accuracies, marker=marker, color=colour, label=label, linewidth=1)
    for target in TARGETS:
        axes.axhline(target, color=GRAY, linestyle=":", linewidth=1)
    axes.set(xscale="log", xlabel="seconds of training", ylabel="test accuracy in %", ylim=(98, 99.85), title=title)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.legend(loc="lower right")


def main() -> None:
    """Train every recipe with every seed; print the table and draw the figure after each seed."""
    parser = argparse.ArgumentParser(description="Trains four recipes in turn and compares their time to accuracy.")
    parser.add_argument("--seeds", type=whole_number(1, 100), default=3, help="runs of each (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="2 epochs on 6,000 images, to see that it works")
    parser.add_argument("--figure", type=Path, default=FIGURE_PATH, help="where it goes (default: %(default)s)")
    add_shared_flags(parser, "--data-dir", "--device")
    args = parser.parse_args()

    test_set = load_mnist(args.data_dir, train=False, device=args.device)
    images, labels = load_mnist(args.data_dir, train=True, device=args.device)
    num_images, most_epochs = (6000, 2) if args.quick else (len(images), 30)
    train_set = images[:num_images], labels[:num_images]
    recipes = {
        "ours, default": ours(min(train_CNN.EPOCHS, most_epochs)),
        "ours, 4 epochs": ours(min(4, most_epochs)),
        "ours, 1 epoch": ours(1),
        "AdamW, 4 epochs": adamw(min(4, most_epochs)),
        "classic": classic(min(30, most_epochs)),
        "PyTorch example": pytorch_example(min(14, most_epochs), args.data_dir),
    }

    results = {name: [] for name in recipes}
    for seed in range(args.seeds):
        for name, recipe in recipes.items():
            points = run(recipe, seed, train_set, test_set)
            results[name].append(points)
            seconds, accuracy = points[-1]
            print(f"{name}, seed {seed}: {accuracy:.2f} % after {seconds:.1f} s", file=sys.stderr, flush=True)
        # After each seed, because the next one takes half an hour
        seeds = "1 seed" if seed == 0 else f"{seed + 1} seeds"
        threads = "1 CPU thread" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} CPU threads"
        title = f"{seeds} on {args.device}, {threads}, {num_images:,} training images"
        print(f"\n{title}\n")
        print_table(results)
        save_figure(args.figure, draw_comparison, results, title)


if __name__ == "__main__":
    run_script(main)
