"""The figures: what their lines, bars and texts show, and what happens when they cannot be drawn."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Callable

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from digits.command_line import PROJECT_DIR
from digits.plots import (
    MAX_MISTAKES,
    STYLE,
    draw_confusion_matrix,
    draw_mistakes,
    draw_prediction,
    draw_training_curves,
    save_figure,
    show_figure,
)
from digits.reading.digits import Digit


def draw(function: Callable[..., None], *data: object) -> Figure:
    """Return the figure that the function draws, laid out as it would be in a file."""
    with matplotlib.rc_context(STYLE):
        figure = Figure()
        FigureCanvasAgg(figure)
        function(figure, *data)
        figure.canvas.draw()
    return figure


def assert_nothing_is_cut_off(figure: Figure) -> None:
    """Check that every text lies within the figure, and that the texts of an axes do not overlap."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:
        boxes = [text.get_window_extent(renderer) for text in axes.texts if text.get_text()]
        for index, box in enumerate(boxes):
            assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1
            assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1
            assert not any(box.overlaps(other) for other in boxes[index + 1 :])


def make_history(num_epochs: int) -> list[dict[str, float]]:
    return [
        {
            "loss": 1 / epoch,
            "validation_loss": 0.5 / epoch,
            "validation_accuracy": 100 - 4 / epoch,
            "learning_rate": 0.01 / epoch,
        }
        for epoch in range(1, num_epochs + 1)
    ]


@pytest.mark.parametrize("num_epochs", [1, 2, 24])
def test_training_curves(num_epochs):
    history = make_history(num_epochs)
    figure = draw(draw_training_curves, history, 24)
    losses, errors, rates = figure.axes
    assert losses.get_yscale() == "log" and errors.get_yscale() == "linear"
    expected = {
        losses: [[entry["loss"] for entry in history], [entry["validation_loss"] for entry in history]],
        errors: [[100 - entry["validation_accuracy"] for entry in history]],
        rates: [[entry["learning_rate"] for entry in history]],
    }
    for axes, curves in expected.items():
        for line, values in zip(axes.get_lines(), curves):
            assert list(np.asarray(line.get_xdata())) == list(range(1, num_epochs + 1))
            np.testing.assert_allclose(np.asarray(line.get_ydata()), values)
        assert len(axes.get_lines()) == len(curves)
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "error rate in %", "learning rate"]
    assert rates.get_xlabel() == "epoch" and losses.get_title(loc="left") == f"Epoch {num_epochs} of 24"
    assert errors.get_ylim()[0] == rates.get_ylim()[0] == 0
    assert all(tick == round(tick) for tick in rates.get_xticks())
    for axes in (losses, errors):  # the legend hides no curve
        assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1 - 1
    assert losses.yaxis.get_major_formatter()(0.1) == "0.1"


def test_confusion_matrix():
    labels = np.array([0, 0, 0, 7, 7, 9, 9, 9, 9])
    answers = np.array([0, 0, 6, 7, 1, 9, 4, 4, 9])
    figure = draw(draw_confusion_matrix, labels, answers)
    (axes,) = figure.axes
    texts = {tuple(text.get_position()): text for text in axes.texts}
    counts = {(answer, label): int(text.get_text()) for (answer, label), text in texts.items() if answer < 9.5}
    mistakes = {(6, 0): 1, (1, 7): 1, (4, 9): 2}
    assert {place: count for place, count in counts.items() if place[0] != place[1]} == mistakes
    assert {digit: counts[digit, digit] for digit in (0, 1, 7, 9)} == {0: 2, 1: 0, 7: 1, 9: 2}
    assert {texts[place].get_fontweight() for place in mistakes} == {"bold"}
    sides = [texts[9.7, label].get_text() for label in (0, 1, 7, 9)]
    assert sides == ["66.67 %", "none", "50.00 %", "50.00 %"]
    assert axes.get_title() == "4 of 9 images misclassified"
    shades = np.asarray(axes.images[0].get_array())
    assert np.all(np.diag(shades) == 0) and shades[9, 4] == 2 and shades.sum() == 4
    assert axes.images[0].get_clim() == (0, 2.6)  # so that the count can be read on the darkest shade
    assert {text.get_color() for text in axes.texts if text.get_fontweight() == "bold"} == {"black"}
    assert texts[0, 0].get_color() != "black" and texts[9.7, -0.7].get_text() == "accuracy"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted digit", "digit")
    assert list(axes.get_xticks()) == list(axes.get_yticks()) == list(range(10))
    assert all(text.get_verticalalignment() == "center" for text in axes.texts)
    assert all(text.get_horizontalalignment() == "center" for place, text in texts.items() if place[0] < 9.5)
    assert not any(line.get_visible() for line in axes.get_xgridlines() + axes.get_ygridlines())
    assert tuple(figure.get_size_inches()) == (8, 7)
    assert_nothing_is_cut_off(figure)


def test_confusion_matrix_without_and_with_nothing_but_mistakes():
    labels = np.arange(10).repeat(3)
    for shift, num_mistakes in ((0, 0), (1, 30)):
        figure = draw(draw_confusion_matrix, labels, (labels + shift) % 10)
        (axes,) = figure.axes
        assert axes.get_title() == f"{num_mistakes} of 30 images misclassified"
        assert np.asarray(axes.images[0].get_array()).sum() == num_mistakes
        assert [text.get_text() for text in axes.texts].count("3") == 10
        assert_nothing_is_cut_off(figure)


@pytest.mark.parametrize("num_mistakes, num_right", [(0, 3), (1, 3), (30, 0), (MAX_MISTAKES + 5, 3)])
def test_mistakes(num_mistakes, num_right):
    """Image i is all of shade i; the misread ones are given the more confidence the later they come."""
    num_images = num_mistakes + num_right
    images = np.arange(num_images, dtype=np.uint16)[:, None, None].repeat(28, 1).repeat(28, 2)
    labels = np.full(num_images, 4)
    probabilities = np.zeros((num_images, 10))
    confidences = np.linspace(0.5, 0.9, num_images)
    answers = np.where(np.arange(num_images) < num_mistakes, 9, 4)
    probabilities[range(num_images), answers] = confidences
    probabilities[range(num_images), 1] = 1 - confidences - 1e-6

    figure = draw(draw_mistakes, images, labels, probabilities)
    (axes,) = figure.axes
    expected = list(range(num_mistakes))[::-1][:MAX_MISTAKES]
    assert [int(np.asarray(image.get_array())[0, 0]) for image in axes.images] == expected
    assert [text.get_text() for text in axes.texts] == [f"4 → 9 ({100 * confidences[i]:.0f} %)" for i in expected]
    assert axes.get_title().startswith(f"{num_mistakes} of {num_images} images misclassified")
    assert ("the 300 most confident" in axes.get_title()) == (num_mistakes > MAX_MISTAKES)
    assert not axes.axison
    boxes = [image.get_window_extent() for image in axes.images]
    for index, (box, image, text) in enumerate(zip(boxes, axes.images, axes.texts)):
        assert image.get_clim() == (0, 255) and image.get_cmap().name == "gray"
        below = text.get_window_extent()  # the image is as wide as high, its text above it and no wider than its cell
        assert abs(box.width / box.height - 1) < 0.25 and box.y1 <= below.y0 <= box.y1 + 15
        assert abs((box.x0 + box.x1) - (below.x0 + below.x1)) < 2
        assert axes.get_window_extent().padded(1).contains(box.x0, box.y0)
        assert axes.get_window_extent().padded(1).contains(box.x1, box.y1)
        others = boxes[max(0, index - 11) : index]
        assert not any(box.overlaps(other) or below.overlaps(other) for other in others)
    assert_nothing_is_cut_off(figure)


@pytest.mark.parametrize("num_digits, num_lines", [(1, 1), (4, 1), (9, 1), (60, 6)])
def test_prediction(num_digits, num_lines):
    """Each digit has a frame in the picture and an image beside it, none of them too small to be seen."""
    picture = Image.new("RGB", (400, 300))
    image, per_line = np.full((28, 28), 255, dtype=np.uint8), num_digits // num_lines
    places = [(number % per_line, number // per_line) for number in range(num_digits)]
    digits = [Digit(image, (20 * x, 30 * y, 20 * x + 10, 30 * y + 20), y) for x, y in places]
    probabilities = np.random.default_rng(0).dirichlet(np.ones(10), num_digits)
    figure = draw(draw_prediction, "folder/a $ \udcff digit.png", picture, digits, probabilities, "Digit 3 (58 %)")
    left, right = figure.axes[:2]
    assert left.get_title() == r"a $ \udcff digit.png" and len(left.lines) == num_digits
    images = [image for axes in figure.axes[1:] for image in axes.images] + [
        image for axes in right.child_axes for image in axes.images
    ]
    assert len(images) == num_digits
    assert min(image.get_window_extent().width for image in images) > 28
    if num_digits > 1:
        texts = [text.get_text().split(" ")[0] for text in right.texts]
        assert texts == [str(row.argmax()) for row in probabilities]
    assert_nothing_is_cut_off(figure)


def test_figures_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    for path in (tmp_path / "file" / "figure.png", tmp_path / "folder.png"):
        assert not save_figure(path, draw_training_curves, make_history(2), 2)
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and f"{path} could not be drawn" in error
    assert (tmp_path / "file").read_text() == ""
    path = tmp_path / "new" / "figure.png"
    assert save_figure(path, draw_training_curves, make_history(2), 2)
    assert capsys.readouterr() == (f"Figure saved to {path}\n", "")


def test_no_window_without_a_window_system(capsys):
    show_figure(draw_training_curves, make_history(2), 2)
    assert capsys.readouterr() == ("", "")


def test_matplotlib_is_imported_only_to_draw():
    command = [sys.executable, "-c", "import sys, predict_CNN, test_CNN, train_CNN; print('matplotlib' in sys.modules)"]
    assert subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True).stdout == "False\n"


def test_file_shows_what_was_drawn(tmp_path):
    """100 pixels an inch, into a folder that is made, and again into one that is there; nothing is said of letters."""
    path = tmp_path / "new" / "newer" / "figure.png"
    digits = [Digit(np.eye(28, dtype=np.uint8) * 255, (5, 5, 20, 25), 0)]
    data = "四 $.png", Image.new("RGB", (30, 30), (99, 99, 99)), digits, np.eye(10)[:1], "Digit 0"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert save_figure(path, draw_prediction, *data)
        assert save_figure(path, draw_prediction, *data)
    with Image.open(path) as figure:
        assert figure.size == (1000, 360)
        pixels = np.asarray(figure.convert("RGB")).reshape(-1, 3)
    assert {(99, 99, 99), (0, 0, 0), (0x00, 0x72, 0xB2)} <= set(map(tuple, pixels.tolist()))


def test_window(monkeypatch):
    """Where there is a window system, a window with the figure is shown, and forgotten when it is closed."""
    from matplotlib import pyplot as plt

    shown = []
    monkeypatch.setattr(FigureCanvasAgg, "required_interactive_framework", "a window system", raising=False)
    monkeypatch.setattr(plt, "show", lambda: shown.append([len(plt.figure(n).axes) for n in plt.get_fignums()]))
    show_figure(draw_training_curves, make_history(2), 2)
    assert shown == [[3]] and plt.get_fignums() == []
