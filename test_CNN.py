"""Evaluates the saved weights on MNIST's 10,000 test images, which training never opens.

Run it: python test_CNN.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from torch import Tensor

from mnist import DATA_DIR, load_mnist
from model import MODEL_PATH, available_devices, load_weights, predict_logits


def format_accuracy(is_correct: Tensor) -> str:
    """Return the share of True in a tensor (N,) of booleans, N > 0, as in `99.61 % (9961/10000)`."""
    num_correct, num_images = int(is_correct.sum()), len(is_correct)
    return f"{100 * num_correct / num_images:.2f} % ({num_correct}/{num_images})"


def parse_arguments() -> argparse.Namespace:
    """Return the settings of this run."""
    devices = available_devices()
    parser = argparse.ArgumentParser(
        description="Evaluates the saved weights on MNIST's test images.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR, help="where MNIST is, or is downloaded to")
    parser.add_argument("--model-path", type=Path, default=MODEL_PATH, help="the weights")
    parser.add_argument("--device", choices=devices, default=devices[0], help="what to compute on")
    return parser.parse_args()


def main() -> None:
    """Print the accuracy on all test images, then on those of each digit."""
    args = parse_arguments()
    model = load_weights(args.model_path, args.device)
    images, labels = load_mnist(args.data_dir, train=False, device=args.device)

    is_correct = predict_logits(model, images).argmax(dim=1) == labels
    print(f"Accuracy: {format_accuracy(is_correct)}")
    for digit in labels.unique().tolist():
        print(f"Digit {digit}: {format_accuracy(is_correct[labels == digit])}")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        sys.exit(f"test_CNN.py: error: {error}")
