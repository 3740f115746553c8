"""Draws what the scripts found out. matplotlib is imported only when it is needed, because that takes a second."""

from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator, Sequence

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL import Image

    from digits.preparation import Digit

# Colours that look different to everybody (Okabe and Ito 2008, "Color universal design")
BLUE, SKY_BLUE, GREEN, ORANGE, PURPLE = "#0072B2", "#56B4E9", "#009E73", "#D55E00", "#CC79A7"
GRAY = "#888888"
STYLE: dict[Any, Any] = {
    "figure.facecolor": "white",  # also on a dark page
    "figure.constrained_layout.use": True,
    "font.size": 11,
    "axes.titlesize": 12,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.alpha": 0.3,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
}
MAX_MISTAKES = 300  # on one sheet
MISTAKES_PER_ROW = 10
PICTURES_PER_FIGURE = 5


@contextlib.contextmanager
def _figure_style() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter of a file's name that the font does not have
        yield


def save_figure(path: Path, draw: Callable[..., None], *data: object) -> bool:
    """Let `draw` draw `data` and save the figure at `path`. Return False, after a line on stderr, if that fails."""
    try:
        from matplotlib.figure import Figure

        with _figure_style():
            figure = Figure()
            draw(figure, *data)
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=100)
    except (ImportError, OSError) as error:
        print(f"{Path(sys.argv[0]).name}: {path} could not be drawn: {error}", file=sys.stderr)
        return False
    return True


def show_figure(draw: Callable[..., None], *data: object) -> bool:
    """Let `draw` draw `data` in a window, and wait until it is closed. Return False where no window can be opened."""
    try:
        from matplotlib import pyplot as plt

        with _figure_style():
            figure = plt.figure()
            has_window = figure.canvas.required_interactive_framework is not None
            if has_window:
                draw(figure, *data)
                plt.show()
            plt.close(figure)
    except (ImportError, OSError):
        return False
    return has_window


def draw_training_curves(figure: Figure, history: list[dict[str, float]], num_epochs: int) -> None:
    """Draw loss, error rate and learning rate against the epochs done so far, out of `num_epochs`.

    Each entry of `history` has the keys loss, validation_loss, accuracy, validation_accuracy (percent) and
    learning_rate, as they were after one epoch.
    """
    figure.set_size_inches(8, 7)
    figure.set_layout_engine("none")  # the layout would take as long as the drawing, after every epoch
    places = {"left": 0.12, "right": 0.98, "top": 0.94, "bottom": 0.08, "hspace": 0.25, "height_ratios": [3, 3, 1.5]}
    top, middle, bottom = figure.subplots(3, 1, sharex=True, gridspec_kw=places)
    epochs = range(1, len(history) + 1)
    losses = [[entry[key] for entry in history] for key in ("loss", "validation_loss")]
    errors = [[100 - entry[key] for entry in history] for key in ("accuracy", "validation_accuracy")]
    names = ("training, augmented images", "validation")
    for name, colour, marker, loss, error in zip(names, (BLUE, ORANGE), "os", losses, errors):
        top.plot(epochs, loss, marker=marker, color=colour, label=f"{name}: {loss[-1]:.4f}")
        middle.plot(epochs, error, marker=marker, color=colour, label=f"{name}: {error[-1]:.2f} %")
    bottom.plot(epochs, [entry["learning_rate"] for entry in history], marker=".", color=GRAY)

    top.set_title(f"Epoch {len(history)} of {num_epochs}", loc="left")
    top.set(ylabel="loss", yscale="log")
    top.yaxis.set_major_formatter("{x:g}")
    # The first epochs err so often that nothing else could be seen beside them.
    middle.set(ylabel="error rate in %", ylim=(0, max(1, min(5 * errors[0][-1], 1.1 * max(map(max, errors))))))
    bottom.set(xlabel="epoch", ylabel="learning rate", xlim=(0.5, num_epochs + 0.5), ylim=(0, None))
    bottom.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for axes in (top, middle):  # above the curves, so that it hides none of them
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0)
    figure.align_ylabels()


def draw_confusion_matrix(figure: Figure, labels: np.ndarray, answers: np.ndarray) -> None:
    """Draw how often each digit was read as which, from the labels (N,) and the answers (N,) of the network."""
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (labels, answers), 1)
    mistakes = np.where(np.eye(10, dtype=bool), 0, counts)

    figure.set_size_inches(8, 7)
    axes = figure.subplots()
    axes.grid(visible=False)
    axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(1, 1.3 * mistakes.max()))
    for label, row in enumerate(counts):
        for answer, count in enumerate(row):
            if count or label == answer:
                colour, weight = (GRAY, "normal") if label == answer else ("black", "bold")
                axes.text(answer, label, str(count), ha="center", va="center", color=colour, weight=weight)
        accuracy = f"{100 * row[label] / row.sum():.2f} %" if row.sum() else "none"
        axes.text(9.7, label, accuracy, va="center")
    axes.text(9.7, -0.7, "accuracy", va="center")
    axes.set(xticks=range(10), yticks=range(10), xlabel="read as", ylabel="digit")
    axes.set_title(f"{mistakes.sum():,} of {len(labels):,} images misread")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def draw_mistakes(figure: Figure, images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Draw the misread ones of images (N, 28, 28), the most confident first, with label, answer and probability.

    `labels` (N,) are the digits that they show, `probabilities` (N, 10), in 0..1, those that the network gave.
    """
    answers, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    mistakes = np.flatnonzero(answers != labels)
    mistakes = mistakes[np.argsort(-confidences[mistakes], kind="stable")]
    shown = mistakes[:MAX_MISTAKES]

    num_rows = max(1, -(-len(shown) // MISTAKES_PER_ROW))
    figure.set_size_inches(10, 1.35 * num_rows + 0.6)
    title = f"{len(mistakes):,} of {len(labels):,} images misread: digit → answer (probability)"
    axes = figure.subplots()
    axes.set_title(title if len(shown) == len(mistakes) else f"{title}, the {len(shown)} most confident")
    axes.axis("off")
    for number, index in enumerate(shown):
        left, top = number % MISTAKES_PER_ROW, 1.3 * (number // MISTAKES_PER_ROW)
        extent = (left + 0.05, left + 0.95, top + 1.25, top + 0.35)
        axes.imshow(images[index], cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto")
        text = f"{labels[index]} → {answers[index]} ({100 * confidences[index]:.0f} %)"
        axes.text(left + 0.5, top + 0.3, text, ha="center", va="bottom", fontsize=9)
    axes.set(xlim=(0, MISTAKES_PER_ROW), ylim=(1.3 * num_rows, 0))  # each image had set them to its own


def draw_predictions(
    figure: Figure,
    names: Sequence[str],
    pictures: Sequence[Image.Image],
    digits: Sequence[list[Digit]],
    probabilities: Sequence[np.ndarray],
    answers: Sequence[str],
) -> None:
    """Draw a row for each picture: itself with a frame around each digit, what the network sees, its probabilities.

    `probabilities` (number of digits, 10) of each picture are in 0..1.
    """
    figure.set_size_inches(9, 3 * len(names))
    rows = figure.subplots(len(names), 3, squeeze=False)
    for (left, middle, right), name, picture, found, table, answer in zip(
        rows, names, pictures, digits, probabilities, answers
    ):
        left.imshow(picture)
        for digit in found:
            x, y, end_x, end_y = digit.box
            left.plot([x, end_x, end_x, x, x], [y, y, end_y, end_y, y], color=ORANGE, linewidth=1.2)
        title = Path(name).name.encode(errors="backslashreplace").decode()  # a name may have bytes that are no letters
        left.set_title(title, parse_math=False)
        left.axis("off")
        middle.imshow(np.hstack([digit.image for digit in found]), cmap="gray", vmin=0, vmax=255)
        middle.set_title("what the network sees")
        middle.axis("off")
        right.set_title(answer.replace("), ", "),\n"))
        if len(found) == 1:
            right.bar(range(10), 100 * table[0], color=BLUE)
            right.set(xticks=range(10), ylim=(0, 100), ylabel="probability in %")
        else:
            right.imshow(table.T, cmap="Blues", vmin=0, vmax=1, aspect="auto", origin="lower")
            right.set(xticks=range(len(found)), yticks=range(10), ylabel="digit")
            right.set_xticklabels([f"{100 * row.max():.0f} %" for row in table])
            right.set_title(answer.split(" (")[0])
        right.grid(visible=False, axis="both" if len(found) > 1 else "x")
