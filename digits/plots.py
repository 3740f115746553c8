"""The figures of training and test, and how all figures are saved. matplotlib is imported late: it takes a second."""

from __future__ import annotations

import contextlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Iterator

import numpy as np

from digits.command_line import print_warning

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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


@contextlib.contextmanager
def _figure_style() -> Iterator[None]:
    import matplotlib

    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter of a file's name that the font does not have
        yield


def save_figure(path: Path, draw: Callable[..., None], *data: object) -> bool:
    """Let `draw` draw `data`, save the figure at `path` and print that. Return False, with a warning, if that fails."""
    try:
        from matplotlib.figure import Figure

        with _figure_style():
            figure = Figure()
            draw(figure, *data)
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, dpi=100)
    except Exception as error:  # matplotlib, as somebody's settings and fonts have it, can raise anything
        print_warning(f"{path} could not be drawn: {error}")
        return False
    print(f"Figure saved to {path}", flush=True)
    return True


def show_figure(draw: Callable[..., None], *data: object) -> None:
    """Let `draw` draw `data` in a window, if there are windows, and wait until it is closed; warn if that fails."""
    try:
        from matplotlib import pyplot as plt

        with _figure_style():
            figure = plt.figure()
            if figure.canvas.required_interactive_framework is not None:
                draw(figure, *data)
                plt.show()
            plt.close(figure)
    except Exception as error:
        print_warning(f"no window can be opened: {error}")


def draw_training_curves(figure: Figure, history: list[dict[str, float]], num_epochs: int) -> None:
    """Draw loss, error rate and learning rate against the epochs done so far, out of `num_epochs`.

    Each entry of `history` has the keys loss, validation_loss, validation_accuracy (percent) and learning_rate, as they
    were after one epoch.
    """
    figure.set_size_inches(8, 7)
    top, middle, bottom = figure.subplots(3, 1, sharex=True, gridspec_kw={"height_ratios": [3, 3, 1.5]})
    epochs = range(1, len(history) + 1)
    losses, validation_losses, rates = (
        [entry[key] for entry in history] for key in ("loss", "validation_loss", "learning_rate")
    )
    errors = [100 - entry["validation_accuracy"] for entry in history]
    label = f"training, augmented images: {losses[-1]:.4f}"
    top.plot(epochs, losses, marker="o", color=BLUE, label=label)
    top.plot(epochs, validation_losses, marker="s", color=ORANGE, label=f"validation: {validation_losses[-1]:.4f}")
    middle.plot(epochs, errors, marker="s", color=ORANGE, label=f"validation: {errors[-1]:.2f} %")
    bottom.plot(epochs, rates, marker=".", color=GRAY)

    top.set_title(f"Epoch {len(history)} of {num_epochs}", loc="left")
    top.set(ylabel="loss", yscale="log")
    top.yaxis.set_major_formatter("{x:g}")
    # The error rate of the first epochs would flatten the rest of the curve.
    middle.set(ylabel="error rate in %", ylim=(0, max(1, min(5 * errors[-1], 1.1 * max(errors)))))
    bottom.set(xlabel="epoch", ylabel="learning rate", xlim=(0.5, num_epochs + 0.5), ylim=(0, None))
    bottom.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for axes in (top, middle):  # above the curves, so that it hides none of them
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, borderaxespad=0)
    figure.align_ylabels()


def draw_finder_curves(figure: Figure, history: list[dict[str, float]]) -> None:
    """Draw the finder's loss, and what it finds on validation pages (percent), by training step."""
    figure.set_size_inches(8, 6)
    top, bottom = figure.subplots(2, 1, sharex=True)
    steps = [entry["step"] for entry in history]
    top.plot(steps, [entry["loss"] for entry in history], marker="o", color=BLUE)
    top.set(ylabel="loss", yscale="log")
    for key, name, colour in (("ink", "ink", GREEN), ("found", "digits found", BLUE), ("made_up", "made up", ORANGE)):
        values = [entry[key] for entry in history]
        bottom.plot(steps, values, marker="s", color=colour, label=f"{name}: {values[-1]:.1f} %")
    bottom.set(xlabel="training step", ylabel="% of validation pages' digits", ylim=(0, 100))
    bottom.legend()


def draw_confusion_matrix(figure: Figure, labels: np.ndarray, predictions: np.ndarray) -> None:
    """Draw how often each digit was predicted as which, from the labels (N,) and the predicted digits (N,)."""
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (labels, predictions), 1)
    mistakes = np.where(np.eye(10, dtype=bool), 0, counts)

    figure.set_size_inches(8, 7)
    axes = figure.subplots()
    axes.grid(visible=False)
    axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(1, 1.3 * mistakes.max()))
    for label, row in enumerate(counts):
        for predicted, count in enumerate(row):
            if count or label == predicted:
                colour, weight = (GRAY, "normal") if label == predicted else ("black", "bold")
                axes.text(predicted, label, str(count), ha="center", va="center", color=colour, weight=weight)
        accuracy = f"{100 * row[label] / row.sum():.2f} %" if row.sum() else "none"
        axes.text(9.7, label, accuracy, va="center")
    axes.text(9.7, -0.7, "accuracy", va="center")
    axes.set(xticks=range(10), yticks=range(10), xlabel="predicted digit", ylabel="digit")
    axes.set_title(f"{mistakes.sum():,} of {len(labels):,} images misclassified")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def draw_mistakes(figure: Figure, images: np.ndarray, labels: np.ndarray, probabilities: np.ndarray) -> None:
    """Draw the misclassified ones of images (N, 28, 28), the most confident first, with label and prediction.

    `labels` (N,) are the digits that they show, `probabilities` (N, 10), in 0..1, those that the network gave.
    """
    predictions, confidences = probabilities.argmax(axis=1), probabilities.max(axis=1)
    mistakes = np.flatnonzero(predictions != labels)
    mistakes = mistakes[np.argsort(-confidences[mistakes], kind="stable")]
    shown = mistakes[:MAX_MISTAKES]

    num_rows = max(1, -(-len(shown) // MISTAKES_PER_ROW))
    figure.set_size_inches(10, 1.35 * num_rows + 0.6)
    title = f"{len(mistakes):,} of {len(labels):,} images misclassified: digit → prediction (probability)"
    axes = figure.subplots()
    axes.set_title(title if len(shown) == len(mistakes) else f"{title}, the {len(shown)} most confident")
    axes.axis("off")
    for number, index in enumerate(shown):
        left, top = number % MISTAKES_PER_ROW, 1.3 * (number // MISTAKES_PER_ROW)
        extent = (left + 0.05, left + 0.95, top + 1.25, top + 0.35)
        axes.imshow(images[index], cmap="gray", vmin=0, vmax=255, extent=extent, aspect="auto")
        text = f"{labels[index]} → {predictions[index]} ({100 * confidences[index]:.0f} %)"
        axes.text(left + 0.5, top + 0.3, text, ha="center", va="bottom", fontsize=9)
    axes.set(xlim=(0, MISTAKES_PER_ROW), ylim=(1.3 * num_rows, 0))  # each image had set them to its own
