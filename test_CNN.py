"""Evaluates the saved weights on MNIST's 10,000 test images, which training never opens.

Run it: python test_CNN.py
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch.nn.functional as F
from torch import Tensor

from digits.command_line import add_shared_flags, run_script
from digits.deskewing import deskew
from digits.mnist import load_mnist
from digits.plots import draw_confusion_matrix, draw_mistakes, save_figure, show_figure
from digits.weights import load_weights
from model import predict_views

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


def print_report(logits: Tensor, labels: Tensor) -> None:
    """Print what logits (N, num_classes) say of images with labels (N,): accuracy, loss, calibration, each digit."""
    is_correct = logits.argmax(dim=1) == labels
    low, high = wilson_interval(int(is_correct.sum()), len(labels))
    print(f"Accuracy: {format_accuracy(is_correct)}, 95 % confidence interval {low:.2f} to {high:.2f} %")
    print(f"Mean loss: {F.cross_entropy(logits, labels):.4f}")
    print(f"Expected calibration error: {calibration_error(logits.softmax(dim=1), labels):.2f} %")
    for digit in labels.unique().tolist():
        print(f"Digit {digit}: {format_accuracy(is_correct[labels == digit])}", flush=True)


def draw_figures(images: Tensor, labels: Tensor, logits: Tensor, figures_dir: Path) -> None:
    """Draw which digits are mistaken for which, and all misread ones of images (N, 1, 28, 28), into `figures_dir`."""
    true_digits, probabilities = labels.cpu().numpy(), logits.softmax(dim=1).cpu().numpy()
    figures = {
        "confusion_matrix.png": (draw_confusion_matrix, true_digits, probabilities.argmax(axis=1)),
        "mistakes.png": (draw_mistakes, images[:, 0].cpu().numpy(), true_digits, probabilities),
    }
    for name, figure in figures.items():
        if save_figure(figures_dir / name, *figure):
            print(f"Figure saved to {figures_dir / name}", flush=True)
    for figure in figures.values():
        show_figure(*figure)


def parse_arguments() -> argparse.Namespace:
    """Return the settings of this run."""
    parser = argparse.ArgumentParser(description="Evaluates the saved weights on MNIST's test images.")
    add_shared_flags(parser, "--data-dir", "--model-path", "--figures-dir", "--no-plot", "--device")
    return parser.parse_args()


def main() -> None:
    """Print the accuracy on all test images and on those of each digit, and draw the mistakes."""
    args = parse_arguments()
    model = load_weights(args.model_path, args.device)
    images, labels = load_mnist(args.data_dir, train=False, device=args.device)
    views = predict_views(model, deskew(images))
    logits = views.mean(dim=0)  # as predict_CNN.py answers
    print_report(logits, labels)
    print(f"With one view of each image: {format_accuracy(views[0].argmax(dim=1) == labels)}")
    if not args.no_plot:
        draw_figures(images, labels, logits, args.figures_dir)


if __name__ == "__main__":
    run_script(main)
