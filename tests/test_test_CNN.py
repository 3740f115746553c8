"""Evaluating weights on generated digits, as a process, the way a user runs it, and on MNIST."""

from __future__ import annotations

import sys

import pytest
import torch
from PIL import Image

import test_CNN
from digits.command_line import DATA_DIR
from test_CNN import calibration_error, wilson_interval
from tests.helpers import needs_mnist, read_accuracy


def test_trained_weights_read_unseen_digits(training, generated_mnist, run_script):
    result = run_script("test_CNN.py", "--data-dir", generated_mnist, "--model-path", training[1])
    assert result.returncode == 0, result.stderr
    assert read_accuracy(result.stdout) >= 95


def test_pytest_does_not_collect_the_script(request):
    assert "test_CNN.py" not in {item.path.name for item in request.session.items}
    assert not [name for name in vars(test_CNN) if name.startswith("test")]


def test_wilson_interval():
    """Against the roots of the equation that defines it: (fraction - p)^2 = z^2 p (1 - p) / n."""
    for num_correct, num_images in ((9958, 10_000), (5, 10), (10, 10), (0, 10)):
        for bound in wilson_interval(num_correct, num_images):
            p = bound / 100
            expected = 1.96**2 * p * (1 - p) / num_images
            assert (num_correct / num_images - p) ** 2 == pytest.approx(expected, rel=1e-6, abs=1e-12)
    low, high = wilson_interval(5, 10)
    assert low < 50 < high


def test_calibration_error():
    """Of four predictions with 90 % three are correct, 15 points too few; both with 60 % are, 40 points too many."""
    probabilities = torch.tensor([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    labels = torch.tensor([0, 0, 0, 1, 0, 0])
    assert calibration_error(probabilities, labels) == pytest.approx((4 * 15 + 2 * 40) / 6, abs=1e-4)
    assert calibration_error(torch.eye(3), torch.arange(3)) == 0


def test_figures_of_the_evaluation(training, generated_mnist, run_script, tmp_path):
    arguments = ("--data-dir", generated_mnist, "--model-path", training[1])
    result = run_script("test_CNN.py", *arguments, "--figures-dir", tmp_path / "figures")
    assert result.returncode == 0, result.stderr
    paths = [tmp_path / "figures" / name for name in ("confusion_matrix.png", "mistakes.png")]
    assert result.stdout.splitlines()[-2:] == [f"Figure saved to {path}" for path in paths]
    for path in (*paths, training[1].parent.parent / "training_curves.png"):
        with Image.open(path) as figure:
            assert figure.size >= (800, 150)


@needs_mnist
@pytest.mark.slow
def test_shipped_weights(run_script):
    result = run_script("test_CNN.py", "--data-dir", DATA_DIR)
    assert result.returncode == 0, result.stderr
    assert "/10000)" in result.stdout.splitlines()[0]
    assert read_accuracy(result.stdout) >= 99.5


def test_figures_are_saved_and_then_shown(training, generated_mnist, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(test_CNN, "save_figure", lambda path, draw, *data: not drawn.append(path.name))
    monkeypatch.setattr(test_CNN, "show_figure", lambda draw, *data: drawn.append(draw.__name__))
    arguments = ["--data-dir", generated_mnist, "--model-path", training[1], "--figures-dir", tmp_path]
    monkeypatch.setattr(sys, "argv", ["test_CNN.py", *map(str, arguments)])
    test_CNN.main()
    assert drawn == ["confusion_matrix.png", "mistakes.png", "draw_confusion_matrix", "draw_mistakes"]
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--no-plot"])
    test_CNN.main()
    assert len(drawn) == 4
