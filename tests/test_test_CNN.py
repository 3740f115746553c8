"""Evaluating weights on generated digits, as a process, the way a user runs it, and on MNIST."""

from __future__ import annotations

import re

import pytest
import torch
from PIL import Image

import test_CNN
from digits.command_line import DATA_DIR
from test_CNN import calibration_error, wilson_interval
from tests.helpers import needs_mnist, run_here


def read_accuracy(output: str) -> float:
    """Return the percentage that test_CNN.py printed, after checking all that it printed."""
    first, loss, error, *others = output.splitlines()
    interval = r"95 % confidence interval (\d+\.\d\d) to (\d+\.\d\d) %"
    match = re.fullmatch(rf"Accuracy: (\d+\.\d\d) % \((\d+)/(\d+)\), {interval}", first)
    percent, num_correct, num_images, low, high = map(float, match.groups())
    assert percent == round(100 * num_correct / num_images, 2) and low < percent <= high
    assert re.fullmatch(r"Mean loss: \d+\.\d{4}", loss)
    assert re.fullmatch(r"Expected calibration error: \d+\.\d\d %", error)
    digits = [re.fullmatch(r"Digit (\d): \d+\.\d\d % \((\d+)/(\d+)\)", line).groups() for line in others[:10]]
    numbers, correct, counts = zip(*(map(int, groups) for groups in digits))
    assert numbers == tuple(range(10)) and sum(correct) == num_correct and sum(counts) == num_images
    return percent


def test_trained_weights_read_unseen_digits(training, generated_mnist, run_script, tmp_path):
    paths = ("--data-dir", generated_mnist, "--model-path", training[1], "--figures-dir", tmp_path / "figures")
    result = run_script("test_CNN.py", *paths)
    assert result.returncode == 0, result.stderr
    assert read_accuracy(result.stdout) >= 95
    figures = [tmp_path / "figures" / name for name in ("confusion_matrix.png", "mistakes.png")]
    assert result.stdout.splitlines()[-2:] == [f"Figure saved to {path}" for path in figures]
    for path in (*figures, training[1].parent.parent / "training_curves.png"):
        with Image.open(path) as figure:
            assert figure.size >= (800, 150)


@needs_mnist
@pytest.mark.slow
def test_shipped_weights(run_script):
    result = run_script("test_CNN.py", "--data-dir", DATA_DIR)
    assert result.returncode == 0, result.stderr
    assert "/10000)" in result.stdout.splitlines()[0] and read_accuracy(result.stdout) >= 99.5


def test_figures_are_saved_and_then_shown(training, generated_mnist, monkeypatch):
    drawn = []
    monkeypatch.setattr(test_CNN, "save_figure", lambda path, draw, *data: not drawn.append(path.name))
    monkeypatch.setattr(test_CNN, "show_figure", lambda draw, *data: drawn.append(draw.__name__))
    arguments = ["--data-dir", generated_mnist, "--model-path", training[1]]
    for flags in ([], ["--no-plot"]):
        run_here(monkeypatch, test_CNN, *arguments, *flags)
        assert drawn == ["confusion_matrix.png", "mistakes.png", "draw_confusion_matrix", "draw_mistakes"]


def test_pytest_does_not_collect_the_script(request):
    assert "test_CNN.py" not in {item.path.name for item in request.session.items}
    assert not [name for name in vars(test_CNN) if name.startswith("test")]


def test_wilson_interval():
    """Against the roots of the equation that defines it: (fraction - p)^2 = z^2 p (1 - p) / n."""
    for num_correct, num_images in ((9958, 10_000), (5, 10), (10, 10), (0, 10)):
        bounds = wilson_interval(num_correct, num_images)
        for p in (bound / 100 for bound in bounds):
            expected = 1.96**2 * p * (1 - p) / num_images
            assert (num_correct / num_images - p) ** 2 == pytest.approx(expected, rel=1e-6, abs=1e-12)
        assert bounds[0] < bounds[1]


def test_calibration_error():
    """Of four predictions with 90 % three are correct, 15 points too few; both with 60 % are, 40 points too many."""
    probabilities = torch.tensor([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    labels = torch.tensor([0, 0, 0, 1, 0, 0])
    assert calibration_error(probabilities, labels) == pytest.approx((4 * 15 + 2 * 40) / 6, abs=1e-4)
    assert calibration_error(torch.eye(3), torch.arange(3)) == 0
