"""Evaluates the saved weights on MNIST's 10,000 test images, which training never opens.

Run it: python test_CNN.py
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from digits.command_line import add_shared_flags, run_script
from digits.plots import draw_confusion_matrix, draw_mistakes, save_figure, show_figure
from digits.training.mnist import load_mnist
from digits.weights import load_weights
from model import predict_logits

NUM_BINS = 15  # bins of the calibration error


def format_accuracy(is_correct: Tensor) -> str:
    """Return the fraction of True in a tensor (N,) of booleans, N > 0, as in `99.61 % (9961/10000)`."""
    num_correct, num_images = int(is_correct.sum()), len(is_correct)
    return f"{100 * num_correct / num_images:.2f} % ({num_correct}/{num_images})"


def wilson_interval(num_correct: int, num_images: int) -> tuple[float, float]:
    """Return the 95 % confidence interval (percent) of an accuracy measured as num_correct of num_images.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    z = 1.96  # standard deviations that hold 95 % of a normal distribution
    accuracy = num_correct / num_images
    centre = accuracy + z**2 / (2 * num_images)
    margin = z * math.sqrt(accuracy * (1 - accuracy) / num_images + z**2 / (4 * num_images**2))
    scale = 100 / (1 + z**2 / num_images)
    return scale * (centre - margin), scale * (centre + margin)


def calibration_error(probabilities: Tensor, labels: Tensor) -> float:
    """Return the expected calibration error (percent) of probabilities (N, num_classes) with labels (N,).

    The predictions are sorted into NUM_BINS bins by their probability; in each bin the mean probability is compared
    with the accuracy (Guo et al. 2017, "On calibration of modern neural networks").
    """
    confidences, predictions = probabilities.max(dim=1)
    surpluses = confidences - (predictions == labels).float()  # on average 0 where the probabilities are honest
    bins = (confidences * NUM_BINS).long().clamp(max=NUM_BINS - 1)
    return 100 * float(surpluses.new_zeros(NUM_BINS).index_add(0, bins, surpluses).abs().sum()) / len(labels)


def draw_figures(folder: Path, images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Draw which digits are mistaken for which, and all misclassified images (N, 28, 28), uint8, into `folder`."""
    if save_figure(folder / "confusion_matrix.png", draw_confusion_matrix, labels, probabilities.argmax(axis=1)):
        save_figure(folder / "mistakes.png", draw_mistakes, images, labels, probabilities)
        show_figure(draw_confusion_matrix, labels, probabilities.argmax(axis=1))
        show_figure(draw_mistakes, images, labels, probabilities)


def main() -> None:
    """Print accuracy, loss, calibration and the accuracy of each digit; draw the misclassified images."""
    parser = argparse.ArgumentParser(description="Evaluates the saved weights on MNIST's test images.")
    add_shared_flags(parser, "--data-dir", "--model-path", "--figures-dir", "--no-plot", "--device")
    args = parser.parse_args()
    model = load_weights(args.model_path, args.device)
    images, labels = load_mnist(args.data_dir, train=False, device=args.device)
    logits = predict_logits(model, images)
    is_correct = logits.argmax(dim=1) == labels
    low, high = wilson_interval(int(is_correct.sum()), len(labels))
    print(f"Accuracy: {format_accuracy(is_correct)}, 95 % confidence interval {low:.2f} to {high:.2f} %")
    print(f"Mean loss: {F.cross_entropy(logits, labels):.4f}")
    print(f"Expected calibration error: {calibration_error(logits.softmax(dim=1), labels):.2f} %")
    for digit in labels.unique().tolist():
        print(f"Digit {digit}: {format_accuracy(is_correct[labels == digit])}", flush=True)
    if not args.no_plot:
        probabilities = logits.softmax(dim=1).cpu().numpy()
        draw_figures(args.figures_dir, images[:, 0].cpu().numpy(), labels.cpu().numpy(), probabilities)


if __name__ == "__main__":
    run_script(main)
