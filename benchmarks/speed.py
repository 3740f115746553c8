"""Measures how much of this machine's arithmetic the training uses, and how long the scripts take from start to end.

Everything is measured in turn, several times, and the median is printed: other programs on the machine disturb it.
Training is measured on whole epochs, with all that train_CNN.py does in them.
Run it: python -m benchmarks.speed
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from typing import Callable

import torch

import train_CNN
from digits.command_line import PROJECT_DIR, add_shared_flags, run_script, whole_number
from digits.training.mnist import load_mnist
from model import predict_logits

# Multiplications and additions for one image: a value of the output takes one of each for every weight it depends on.
FORWARD_FLOP = 2 * (
    28 * 28 * 32 * (3 * 3 * 1)  # first convolution
    + 14 * 14 * 64 * (3 * 3 * 32)  # second convolution
    + 128 * 3136  # first linear layer
    + 10 * 128  # second linear layer
)
TRAINING_FLOP = 3 * FORWARD_FLOP  # backward computes the gradients of the inputs and those of the weights: 25.4 million

MATRIX_SIZE, NUM_PRODUCTS = 2048, 5
PRODUCTS_FLOP = NUM_PRODUCTS * 2 * MATRIX_SIZE**3


def measure(function: Callable[[], object]) -> float:
    """Return the seconds that one call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def run(*arguments: str) -> Callable[[], object]:
    """Return a function that runs Python with these arguments in the project's folder."""
    command = [sys.executable, *arguments]
    return lambda: subprocess.run(command, cwd=PROJECT_DIR, check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description="Measures training, evaluation and start-up on the CPU.")
    parser.add_argument("--repeats", type=whole_number(1, 100), default=3, help="default: %(default)s")
    add_shared_flags(parser, "--data-dir")
    args = parser.parse_args()
    print(f"{os.cpu_count()} CPU cores, torch {torch.__version__}, medians of {args.repeats}")

    images, labels = load_mnist(args.data_dir, train=True, device="cpu")
    test_images, _ = load_mnist(args.data_dir, train=False, device="cpu")
    left, right = torch.randn(MATRIX_SIZE, MATRIX_SIZE), torch.randn(MATRIX_SIZE, MATRIX_SIZE)
    model, optimizer, scheduler = train_CNN.prepare_training(
        num_images=len(images), epochs=args.repeats + 1, device="cpu"
    )
    functions = {
        "matrix product": lambda: [left @ right for _ in range(NUM_PRODUCTS)],
        "training": lambda: train_CNN.train_epoch(model, optimizer, scheduler, images, labels, train_CNN.BATCH_SIZE),
        "evaluation": lambda: predict_logits(model, test_images),
        "import for predict_CNN.py": run("-c", "import torch, PIL.Image, numpy"),
        "predict_CNN.py --no-plot": run("predict_CNN.py", "--no-plot"),
        "import for test_CNN.py": run("-c", "import torch, torchvision"),
        "test_CNN.py --no-plot": run("test_CNN.py", "--no-plot", "--data-dir", str(args.data_dir)),
    }
    times = {name: [] for name in functions}
    for _ in range(args.repeats + 1):  # the first one warms up and does not count
        for name, function in functions.items():
            times[name].append(measure(function))
    seconds = {name: statistics.median(values[1:]) for name, values in times.items()}

    rate = PRODUCTS_FLOP / seconds["matrix product"]
    ratio = statistics.median(
        training / len(images) / TRAINING_FLOP * PRODUCTS_FLOP / product
        for training, product in zip(times["training"][1:], times["matrix product"][1:])
    )
    print(f"Matrix product {MATRIX_SIZE}x{MATRIX_SIZE}: {rate / 1e9:.0f} GFLOP/s")
    print(
        f"Training: {1000 * seconds['training'] / len(images):.3f} ms an image, {ratio:.2f} times its arithmetic's time"
    )
    print(f"Evaluation of {len(test_images)} images: {seconds['evaluation']:.2f} s")
    predict, predict_import = seconds["predict_CNN.py --no-plot"], seconds["import for predict_CNN.py"]
    print(f"predict_CNN.py --no-plot: {predict:.2f} s, {predict / predict_import:.2f} times its imports")
    test, test_import = seconds["test_CNN.py --no-plot"], seconds["import for test_CNN.py"]
    print(f"test_CNN.py --no-plot: {test:.2f} s, {test - test_import:.2f} s more than its imports")


if __name__ == "__main__":
    run_script(main)
