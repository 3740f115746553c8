"""Evaluates the saved weights on MNIST's 10,000 test images, which training never opens.

Run it: python test_CNN.py
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from command_line import run_script

import torch.nn.functional as F
from torch import Tensor

from mnist import DATA_DIR, load_mnist
from model import MODEL_PATH, available_devices, load_weights, predict_logits
from plots import FIGURES_DIR, draw_confusion_matrix, draw_mistakes, save_figure, show_figure

NUM_BINS = 15  # of the calibration error


def format_accuracy(is_correct: Tensor) -> str:
    """Return the share of True in a tensor (N,) of booleans, N > 0, as in `99.61 % (9961/10000)`."""
    num_correct, num_images = int(is_correct.sum()), len(is_correct)
    return f"{100 * num_correct / num_images:.2f} % ({num_correct}/{num_images})"


def wilson_interval(num_correct: int, num_images: int) -> tuple[float, float]:
    """Return the 95 % confidence interval, in percent, of the accuracy that `num_correct` of `num_images` stand for.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    z = 1.96  # standard deviations that hold 95 % of a normal distribution
    share = num_correct / num_images
    centre = share + z**2 / (2 * num_images)
    margin = z * math.sqrt(share * (1 - share) / num_images + z**2 / (4 * num_images**2))
    scale = 100 / (1 + z**2 / num_images)
    return scale * (centre - margin), scale * (centre + margin)


def calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """Return how far confidence and accuracy lie apart (percent), for probabilities (N, num_classes) and labels (N,).

    The answers are sorted into NUM_BINS bins by their probability; in each bin the mean probability is compared with
    the share that is right (Guo et al. 2017, "On calibration of modern neural networks").
    """
    confidences, answers = probabilities.max(dim=1)
    surpluses = confidences - (answers == labels).float()  # on average 0 where the probabilities are honest
    bins = (confidences * NUM_BINS).long().clamp(max=NUM_BINS - 1)
    sums = surpluses.new_zeros(NUM_BINS).index_add(0, bins, surpluses)
    return 100 * float(sums.abs().sum()) / len(labels)


def parse_arguments() -> argparse.Namespace:
    """Return the settings of this run."""
    devices = available_devices()
    parser = argparse.ArgumentParser(
        description="Evaluates the saved weights on MNIST's test images.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data-dir", type=Path, default=DATA_DIR, help="where MNIST is, or is downloaded to")
    parser.add_argument("--model-path", type=Path, default=MODEL_PATH, help="the weights")
    parser.add_argument("--figures-dir", type=Path, default=FIGURES_DIR, help="where the figures go")
    parser.add_argument("--no-plot", action="store_true", help="draw no figures")
    parser.add_argument("--device", choices=devices, default=devices[0], help="what to compute on")
    return parser.parse_args()


def main() -> None:
    """Print the accuracy on all test images and on those of each digit, and draw the mistakes."""
    args = parse_arguments()
    model = load_weights(args.model_path, args.device)
    images, labels = load_mnist(args.data_dir, train=False, device=args.device)

    logits = predict_logits(model, images)
    probabilities = logits.softmax(dim=1)
    answers = logits.argmax(dim=1)
    is_correct = answers == labels
    low, high = wilson_interval(int(is_correct.sum()), len(labels))
    print(f"Accuracy: {format_accuracy(is_correct)}, 95 % confidence interval {low:.2f} to {high:.2f} %")
    print(f"Mean loss: {F.cross_entropy(logits, labels):.4f}")
    print(f"Expected calibration error: {calibration_error(probabilities, labels):.2f} %")
    for digit in labels.unique().tolist():
        print(f"Digit {digit}: {format_accuracy(is_correct[labels == digit])}")

    if not args.no_plot:
        sys.stdout.flush()
        images, labels, answers, probabilities = (
            data.cpu().numpy() for data in (images, labels, answers, probabilities)
        )
        figures = {
            "confusion_matrix.png": (draw_confusion_matrix, labels, answers),
            "mistakes.png": (draw_mistakes, images[:, 0], labels, probabilities),
        }
        for name, figure in figures.items():
            if save_figure(args.figures_dir / name, *figure):
                print(f"Figure saved to {args.figures_dir / name}", flush=True)
        for figure in figures.values():
            show_figure(*figure)


if __name__ == "__main__":
    run_script(main)
