"""Digits drawn with the mouse: matplotlib's own events, on a figure without a window."""

from __future__ import annotations

import contextlib
import signal
from typing import Any

import numpy as np
import pytest
from matplotlib.backend_bases import KeyEvent, MouseButton, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from digits.drawing import PEN, Sheet, Window, open_window
from digits.formatting import format_prediction
from predict_CNN import read_digits
from tests.helpers import STROKES, run_predict


@pytest.fixture
def window(shipped_model, shipped_finder) -> Window:
    """Return a window without a screen, in which nothing has been drawn yet."""
    figure = Figure((8.4, 3.7))  # as in open_window()
    FigureCanvasAgg(figure)
    window = Window(figure, lambda drawing: read_digits(drawing, shipped_model, shipped_finder), format_prediction)
    window.update()
    return window


def send_mouse(window: Window, name: str, x: float, y: float, button: Any = MouseButton.LEFT) -> None:
    """Let the mouse do something at (x, y) of the sheet, in its pixels."""
    point = window.picture.axes.transData.transform((x, y))
    canvas = window.figure.canvas
    canvas.callbacks.process(name, MouseEvent(name, canvas, point[0], point[1], button))


def draw_stroke(window: Window, *points: tuple[float, float]) -> None:
    """Draw one stroke with the mouse through points of the sheet, in its pixels."""
    send_mouse(window, "button_press_event", *points[0])
    for point in points[1:]:
        send_mouse(window, "motion_notify_event", *point, None)
    send_mouse(window, "button_release_event", *points[-1])


def draw_digit(window: Window, digit: int, left: float, top: float = 80, height: float = 240) -> None:
    """Draw a digit with the mouse."""
    for stroke in STROKES[digit]:
        draw_stroke(window, *((left + 0.6 * height * x, top + height * y) for x, y in stroke))


def press(window: Window, name: str) -> None:
    """Press a key, or click on the button of that name."""
    canvas = window.figure.canvas
    if len(name) == 1:
        canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", canvas, name))
        return
    (button,) = (button for button in window.buttons if button.label.get_text() == name)
    point = button.ax.transAxes.transform((0.5, 0.5))
    for event in ("button_press_event", "button_release_event"):
        canvas.callbacks.process(event, MouseEvent(event, canvas, point[0], point[1], MouseButton.LEFT))


def read(window: Window) -> str:
    """Return the prediction that the window shows."""
    window.update()
    window.figure.canvas.draw()
    return window.picture.axes.get_title().replace("\n", " ")


@pytest.mark.parametrize("digit", STROKES)
def test_drawn_digits_are_read(window, digit):
    draw_digit(window, digit, left=220)
    assert read(window).startswith(f"Digit {digit} (")
    (found,), _ = window.read(window.sheet.draw())
    assert np.array_equal(window.images.get_array(), found.image)
    lengths = window.bars.get_array().sum(axis=1)
    assert lengths.argmax() == digit and abs(int(lengths.sum()) - 100) <= 5


def test_lines_are_read(window):
    for digit, left, top in ((4, 60, 40), (0, 260, 40), (7, 80, 220), (2, 270, 220)):
        draw_digit(window, digit, left, top, height=140)
    assert read(window).startswith("Digits 40 / 72 (at least ")
    bars = window.bars.get_array()
    assert window.images.get_array().shape == (56, 56) and bars.shape == (10, 440)
    assert [bars[digit, 110 * index] for index, digit in enumerate((4, 0, 7, 2))] == [1] * 4


def test_no_digit(window):
    assert read(window) == "Draw digits on this sheet"
    draw_stroke(window, (0, 200), (600, 200))
    assert read(window) == "no digit found"
    assert window.images.get_array().max() == 0 and window.bars.get_array().max() == 0


def test_undo_and_clear_by_key_and_by_button(window):
    empty = window.sheet.draw()
    draw_digit(window, 1, left=100)
    one = window.sheet.draw()
    for undo in ("u", "U", "Undo (u)"):
        draw_digit(window, 1, left=400)
        assert read(window).startswith("Digits 1 1 (")
        press(window, undo)
        assert read(window).startswith("Digit 1 (") and window.sheet.draw() == one
    for clear in ("c", "Clear (c)"):
        draw_digit(window, 4, left=400)
        press(window, clear)
        assert read(window) == "Draw digits on this sheet" and window.sheet.draw() == empty
    for key in "ux":
        press(window, key)
    assert window.sheet.strokes == []


@pytest.mark.parametrize("save", ["s", "Save (s)"])
def test_a_saved_drawing_is_read_alike(window, save, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    draw_digit(window, 3, left=150)
    draw_digit(window, 5, left=350)
    prediction = read(window)
    press(window, save)
    (path,) = tmp_path.iterdir()
    assert window.picture.axes.get_title() == f"Saved as {path.name}"
    assert run_predict(monkeypatch, "--no-plot", path.name) == 0
    assert capsys.readouterr().out == f"{path.name}: {prediction}\n" and prediction.startswith("Digits 35 (")
    monkeypatch.setattr("time.strftime", lambda _: "no_folder/drawing.png")
    press(window, save)
    assert window.picture.axes.get_title().startswith("no_folder/drawing.png could not be saved: ")


def test_where_the_pen_draws(window):
    """Beside the sheet too, once it is down, but only the left button on the sheet puts it down; a click is a dot."""
    draw_stroke(window, (-50, 200), (300, 200))
    send_mouse(window, "button_press_event", 300, 200, button=MouseButton.RIGHT)
    send_mouse(window, "motion_notify_event", 400, 200, None)
    assert window.sheet.strokes == []
    draw_stroke(window, (300, 200), (300, -100), (400, -100), (400, 200))
    (points,) = window.sheet.strokes  # events lie on whole pixels of the screen
    assert np.allclose(points, [(300, 200), (300, -100), (400, -100), (400, 200)], atol=1.5)
    is_black = np.asarray(window.sheet.draw()) < 128
    assert is_black[:100, 150].all() and is_black[:100, 200].all() and not is_black[:, 170:180].any()
    assert (is_black[50, :175]).sum() == pytest.approx(PEN / 2, abs=1)
    sheet = Sheet()
    for is_down in (True, False, False):
        sheet.move_pen(300, 200, is_down)
    dark = 255 - np.asarray(sheet.draw(), dtype=float)
    assert dark.sum() / 255 == pytest.approx(np.pi * (PEN / 4) ** 2, rel=0.15)  # Pillow's circles are a little large
    assert dark[100, 150] == 255 and dark.shape == (200, 300)


def test_an_event_between_two_updates_is_not_lost(window):
    """What is drawn while the picture is being read is read next time."""
    draw_digit(window, 1, left=100)
    read_once = window.read

    def read_slowly(drawing):
        draw_digit(window, 1, left=400)
        window.read = read_once
        return read_once(drawing)

    window.read = read_slowly
    assert read(window).startswith("Digit 1 (") and window.sheet.is_changed
    assert read(window).startswith("Digits 1 1 (") and not window.sheet.is_changed


@pytest.mark.parametrize("backend", ["", "Agg", "TkAgg", "abacus", "module://no_such_module.backend", "WebAgg"])
@pytest.mark.slow
def test_no_window_can_be_opened(backend, run_script, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    result = run_script("predict_CNN.py", "--draw", MPLBACKEND=backend)
    line = "no window can be opened; name a picture, or on Linux install the package python3-tk"
    assert (result.returncode, result.stderr) == (1, f"predict_CNN.py: error: {line}\n")


@pytest.mark.parametrize("end", ["close", "key", signal.SIGINT, signal.SIGTERM])
def test_the_window_until_it_is_closed(end, shipped_model, shipped_finder, monkeypatch):
    """The loop of a real window, on a canvas that claims to have one and whose events are made here."""
    from matplotlib import pyplot

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    pyplot.close(pyplot.figure())  # chooses Agg
    monkeypatch.setattr(FigureCanvasAgg, "required_interactive_framework", "none")
    turns = []

    def pass_time(canvas: FigureCanvasAgg, seconds: float) -> None:
        turns.append(seconds)
        if len(turns) < 3:
            return
        if end == "close":
            pyplot.close(canvas.figure)
        elif end == "key":
            canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", canvas, "q"))
        else:
            signal.raise_signal(end)

    monkeypatch.setattr(FigureCanvasAgg, "start_event_loop", pass_time)
    is_signal = isinstance(end, signal.Signals)
    try:
        with pyplot.rc_context(), pytest.raises(KeyboardInterrupt) if is_signal else contextlib.nullcontext() as error:
            open_window(lambda drawing: read_digits(drawing, shipped_model, shipped_finder), format_prediction)
        assert not is_signal or error.value.args == (end,)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), handlers):
            signal.signal(number, handler)
    assert len(turns) == 3 and pyplot.get_fignums() == []
