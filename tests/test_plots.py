"""The figures: the numbers and texts that they show, and what happens when they cannot be drawn."""

from __future__ import annotations

import warnings
from typing import Callable

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from digits.plots import (
    MAX_MISTAKES,
    STYLE,
    draw_confusion_matrix,
    draw_finder_curves,
    draw_mistakes,
    draw_training_curves,
    save_figure,
    show_figure,
)
from digits.prediction_plot import draw_prediction
from digits.reading.digits import Digit

HISTORY = [
    {"loss": 1 / n, "validation_loss": 0.5 / n, "validation_accuracy": 100 - 4 / n, "learning_rate": 0.01 / n}
    for n in range(1, 25)
]


def draw(function: Callable[..., None], *data: object) -> Figure:
    """Return the figure that the function draws, after checking that no text is cut off or covers another."""
    with matplotlib.rc_context(STYLE):
        figure = Figure()
        renderer = FigureCanvasAgg(figure).get_renderer()
        function(figure, *data)
        figure.canvas.draw()
    for axes in figure.axes:
        boxes = [text.get_window_extent(renderer) for text in axes.texts if text.get_text()]
        for index, box in enumerate(boxes):
            assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
            assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1
            assert not any(box.overlaps(other) for other in boxes[index + 1 :])
    return figure


@pytest.mark.parametrize("num_epochs", [1, 24])
def test_training_curves(num_epochs):
    history = HISTORY[:num_epochs]
    losses, errors, rates = draw(draw_training_curves, history, 24).axes
    expected = {
        losses: [[entry["loss"] for entry in history], [entry["validation_loss"] for entry in history]],
        errors: [[100 - entry["validation_accuracy"] for entry in history]],
        rates: [[entry["learning_rate"] for entry in history]],
    }
    for axes, curves in expected.items():
        lines = [np.asarray(line.get_xydata()) for line in axes.get_lines()]
        assert len(lines) == len(curves)
        for line, values in zip(lines, curves):
            np.testing.assert_allclose(line, np.stack([np.arange(1, num_epochs + 1), values], axis=1))
    assert losses.get_title(loc="left") == f"Epoch {num_epochs} of 24" and errors.get_ylim()[0] == 0
    assert [axes.get_ylabel() for axes in (losses, errors, rates)] == ["loss", "error rate in %", "learning rate"]


def test_finder_curves():
    history = [{"step": 500 * n, "loss": 1 / n, "ink": 90.0, "found": 80.0, "made_up": 5.0} for n in (1, 2)]
    figure = draw(draw_finder_curves, history)
    values = [np.asarray(line.get_xydata()).tolist() for axes in figure.axes for line in axes.get_lines()]
    assert values == [[[500, first], [1000, last]] for first, last in ((1, 0.5), (90, 90), (80, 80), (5, 5))]


@pytest.mark.parametrize("shift", [0, 1])
def test_confusion_matrix(shift):
    """Of three images of each digit all are correct, or all are taken for the next one; of 9s there are no images."""
    labels = np.arange(9).repeat(3)
    (axes,) = draw(draw_confusion_matrix, labels, (labels + shift) % 10).axes
    texts = {tuple(text.get_position()): text.get_text() for text in axes.texts}
    assert all(texts[digit + shift, digit] == "3" for digit in range(9))
    accuracies = [text for (x, y), text in sorted(texts.items(), key=lambda item: item[0][1]) if x > 9.5 and y >= 0]
    assert accuracies == [f"{100 * (1 - shift):.2f} %"] * 9 + ["none"]
    assert axes.get_title() == f"{27 * shift} of 27 images misclassified"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted digit", "digit")


@pytest.mark.parametrize("num_mistakes, num_correct", [(0, 3), (30, 0), (MAX_MISTAKES + 5, 3)])
def test_mistakes(num_mistakes, num_correct):
    """Image i is all of shade i; the misclassified ones have the higher a confidence the later they come."""
    num_images = num_mistakes + num_correct
    images = np.arange(num_images, dtype=np.uint16)[:, None, None].repeat(28, 1).repeat(28, 2)
    confidences, probabilities = np.linspace(0.5, 0.9, num_images), np.zeros((num_images, 10))
    predictions = np.where(np.arange(num_images) < num_mistakes, 9, 4)
    probabilities[range(num_images), predictions] = confidences
    probabilities[range(num_images), 1] = 1 - confidences - 1e-6
    (axes,) = draw(draw_mistakes, images, np.full(num_images, 4), probabilities).axes
    expected = list(range(num_mistakes))[::-1][:MAX_MISTAKES]
    assert [int(np.asarray(image.get_array())[0, 0]) for image in axes.images] == expected
    assert [text.get_text() for text in axes.texts] == [f"4 → 9 ({100 * confidences[i]:.0f} %)" for i in expected]
    assert axes.get_title().startswith(f"{num_mistakes} of {num_images} images misclassified")
    assert ("the 300 most confident" in axes.get_title()) == (num_mistakes > MAX_MISTAKES)


@pytest.mark.parametrize("num_digits, num_lines", [(1, 1), (4, 1), (9, 1), (60, 6)])
def test_prediction(num_digits, num_lines):
    """Each digit has a frame in the picture and an image beside it, none of them too small to be seen."""
    image, per_line = np.full((28, 28), 255, dtype=np.uint8), num_digits // num_lines
    positions = [(number % per_line, number // per_line) for number in range(num_digits)]
    digits = [Digit(image, (20 * x, 30 * y, 20 * x + 10, 30 * y + 20), y) for x, y in positions]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), num_digits)
    picture, name = Image.new("RGB", (400, 300)), "folder/a $ \udcff digit.png"
    figure = draw(draw_prediction, name, picture, digits, probabilities, "Digit 3 (58 %)")
    left, right = figure.axes[:2]
    assert left.get_title() == r"a $ \udcff digit.png" and [text.get_text() for text in figure.texts] == [
        "Digit 3 (58 %)"
    ]
    predictions = probabilities.argmax(axis=1).tolist() if num_digits > 1 else []  # of one it stands above
    assert len(left.images) == 1 and len(left.lines) == num_digits
    assert [int(text.get_text()) for text in left.texts] == predictions
    images = [image for axes in (*figure.axes[1:], *right.child_axes) for image in axes.images]
    assert len(images) == num_digits and min(image.get_window_extent().width for image in images) > 28
    assert [int(text.get_text().split(" ")[0]) for text in right.texts] == predictions
    if num_digits == 1:
        heights = [bar.get_height() for bar in right.child_axes[1].patches if isinstance(bar, Rectangle)]
        np.testing.assert_allclose(heights, 100 * probabilities[0])


def test_saved_figures(tmp_path, capsys):
    """Into a folder that is made, and again, without a warning about a letter that the font does not have."""
    path, digits = tmp_path / "new" / "newer" / "figure.png", [Digit(np.eye(28, dtype=np.uint8), (5, 5, 20, 25), 0)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            assert save_figure(path, draw_prediction, "四 $.png", Image.new("RGB", (9, 9)), digits, np.eye(10)[:1], "0")
            assert capsys.readouterr() == (f"Figure saved to {path}\n", "")
    with Image.open(path) as figure:
        assert np.asarray(figure).std() > 10
    (tmp_path / "folder.png").mkdir()
    for wrong in (path / "figure.png", tmp_path / "folder.png"):
        assert not save_figure(wrong, draw_training_curves, HISTORY, 24)
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"{wrong} could not be drawn" in error


@pytest.mark.parametrize("framework, expected", [(None, []), ("a window system", [3])])
def test_window(framework, expected, monkeypatch, capsys):
    """Where there is a window system, a window with the figure is shown, and forgotten when it is closed."""
    from matplotlib import pyplot as plt

    shown = []
    monkeypatch.setattr(FigureCanvasAgg, "required_interactive_framework", framework, raising=False)
    monkeypatch.setattr(plt, "show", lambda: shown.extend(len(plt.figure(n).axes) for n in plt.get_fignums()))
    show_figure(draw_training_curves, HISTORY, 24)
    assert shown == expected and plt.get_fignums() == [] and capsys.readouterr() == ("", "")
