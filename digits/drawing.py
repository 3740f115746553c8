"""The window in which digits are drawn and read. matplotlib is imported only when it is opened, as in plots.py."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, Any, Callable, List, Tuple

import numpy as np
from PIL import Image, ImageDraw

from digits.prediction_plot import join_images
from digits.reading.digits import Digit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHEET_SIZE, PEN = (600, 400), 20  # pixels: width and height, and width of the strokes
Read = Callable[[Image.Image], Tuple[List[Digit], np.ndarray]]  # as read_digits() of predict_CNN.py, with a model


class Sheet:
    """What is drawn: strokes, each a list of points (x, y), in pixels of the sheet to the right and down."""

    def __init__(self) -> None:
        self.strokes: list[list[tuple[float, float]]] = []
        self.is_pen_down, self.is_changed = False, True

    def move_pen(self, x: float, y: float, is_down: bool) -> None:
        """Move the pen to a point on the sheet or beside it. A stroke lasts from when it is down until it is not."""
        if is_down:
            self.strokes += [] if self.is_pen_down else [[]]
            self.strokes[-1].append((x, y))
            self.is_changed = True
        self.is_pen_down = is_down

    def erase(self, first: int) -> None:
        """Erase the stroke of this number, 0 the first and -1 the last, and all after it."""
        del self.strokes[first:]
        self.is_pen_down, self.is_changed = False, True

    def draw(self) -> Image.Image:
        """Return black strokes, a dot for a mere point, on white (mode L), half as large for smooth edges."""
        picture = Image.new("L", SHEET_SIZE, "white")
        pencil = ImageDraw.Draw(picture)
        for stroke in self.strokes:
            pencil.line(stroke, "black", PEN)
            for point in stroke:
                pencil.circle(point, PEN / 2, "black")
        return picture.reduce(2)

    def save(self) -> str:
        """Save the picture as a PNG named after the time. Return a message about that."""
        name = time.strftime("drawing_%Y-%m-%d_%H.%M.%S.png")
        try:
            self.draw().save(name)
        except OSError as error:
            return f"{name} could not be saved: {error}"
        return f"Saved as {name}"


class Window:
    """A sheet, what the network sees of it, and the probabilities, in a figure of matplotlib's."""

    def __init__(self, figure: Figure, read: Read, format_prediction: Callable[[list[Digit], np.ndarray], str]) -> None:
        from matplotlib.widgets import Button

        self.figure, self.sheet, self.read, self.format_prediction = figure, Sheet(), read, format_prediction
        spaces = {"left": 0.02, "right": 0.98, "bottom": 0.18, "top": 0.86, "wspace": 0.15, "width_ratios": (1.8, 1, 1)}
        left, middle, right = figure.subplots(1, 3, gridspec_kw=spaces, subplot_kw={"xticks": [], "yticks": []})
        gray: Any = {"cmap": "gray", "vmin": 0, "vmax": 255, "aspect": "auto", "interpolation": "nearest"}
        self.picture = left.imshow(self.sheet.draw(), extent=(0, SHEET_SIZE[0], SHEET_SIZE[1], 0), **gray)
        self.images = middle.imshow(np.zeros((1, 1)), extent=(0, 1, 0, 1), **gray)
        self.bars = right.imshow(np.zeros((1, 1)), "Blues", vmax=1.4, interpolation="nearest", extent=(0, 1, 9.5, -0.5))
        middle.set(title="what the network sees", facecolor="black", autoscale_on=False)
        right.set(title="probabilities", yticks=range(10), aspect="auto")
        actions: dict[str, Callable[[Any], object]] = {
            "Clear (c)": lambda _: self.sheet.erase(0),
            "Undo (u)": lambda _: self.sheet.erase(-1),
            "Save (s)": lambda _: left.set_title(self.sheet.save()),
        }
        self.buttons = []  # matplotlib lets them go unless somebody holds them
        for index, (name, action) in enumerate(actions.items()):
            self.buttons.append(Button(figure.add_axes((0.02 + 0.145 * index, 0.04, 0.135, 0.1)), name))
            self.buttons[-1].on_clicked(action)
        keys = {name[-2]: action for name, action in actions.items()}
        figure.canvas.mpl_connect("key_press_event", lambda event: keys.get(str(event.key).lower(), bool)(event))
        for name in ("button_press_event", "motion_notify_event", "button_release_event"):
            figure.canvas.mpl_connect(name, self.follow_mouse)

    def follow_mouse(self, event: Any) -> None:
        """Move the pen to where the mouse is. Its left button puts the pen down, if it is pressed on the sheet."""
        is_pressed = event.name == "button_press_event" and event.inaxes is self.picture.axes and event.button == 1
        x, y = self.picture.axes.transData.inverted().transform((event.x, event.y))
        self.sheet.move_pen(x, y, is_pressed or (event.name == "motion_notify_event" and self.sheet.is_pen_down))

    def update(self) -> None:
        """Show the strokes, and what is read in them."""
        self.figure.canvas.flush_events()  # the mouse has moved on while the figure was drawn
        picture, self.sheet.is_changed = self.sheet.draw(), False
        try:
            digits, probabilities = self.read(picture)
            images, prediction = join_images(digits), self.format_prediction(digits, probabilities)
        except ValueError as error:
            prediction = str(error) if self.sheet.strokes else "Draw digits on this sheet"
            images, probabilities = np.zeros((28, 28)), np.zeros((1, 10))
        self.picture.set_data(picture)
        self.picture.axes.set_title(prediction.replace(" (", "\n(", 1))
        self.images.set_data(images)
        height, width = np.array(images.shape) / max(images.shape) / 2
        self.images.set_extent((0.5 - width, 0.5 + width, 0.5 - height, 0.5 + height))
        self.bars.set_data((np.arange(0.5, 110) < 100 * probabilities.T[:, :, np.newaxis]).reshape(10, -1))


def _open_figure() -> Figure:
    """Return an empty figure in a window of its own. Raises OSError where matplotlib, set as it is, can open none."""
    with contextlib.suppress(Exception):
        from matplotlib import pyplot, rcParams

        rcParams.update({**dict.fromkeys(rcParams.find_all("keymap.[^q]"), ""), "toolbar": "None", "interactive": True})
        figure = pyplot.figure("Draw a digit", (8.4, 3.7))
        if figure.canvas.required_interactive_framework is not None:
            return figure
    raise OSError("no window can be opened; name a picture, or on Linux install the package python3-tk")


def open_window(read: Read, format_prediction: Callable[[list[Digit], np.ndarray], str]) -> None:
    """Open the window, and wait until it is closed. Raises OSError where none can be opened.

    Ctrl-C and SIGTERM close it, and are then raised as KeyboardInterrupt, as run_script() expects them.
    """
    figure = _open_figure()
    from matplotlib import pyplot

    window = Window(figure, read, format_prediction)
    interrupts: list[int] = []

    def interrupt(number: int, _: object) -> None:
        interrupts.append(number)
        pyplot.close(figure)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    while pyplot.fignum_exists(figure.number):
        if window.sheet.is_changed:
            window.update()
        figure.canvas.start_event_loop(0.002)  # seconds
    if interrupts:
        raise KeyboardInterrupt(interrupts[0])
