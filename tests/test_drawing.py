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

from digits.drawing import PEN, SHEET_SIZE, Sheet, Window, open_window
from digits.formatting import format_prediction
from predict_CNN import read_digits
from tests.helpers import STROKES, assert_one_line_error, run_predict


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


def draw_digit(window: Window, digit: int, left: float, width: float = 140) -> None:
    """Draw a digit with the mouse, its left edge at `left`."""
    for stroke in STROKES[digit]:
        draw_stroke(window, *((left + width * x, 80 + 240 * y) for x, y in stroke))


def press_key(window: Window, key: str) -> None:
    window.figure.canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", window.figure.canvas, key))


def press_button(window: Window, name: str) -> None:
    """Click on the button of that name."""
    (button,) = (button for button in window.buttons if button.label.get_text() == name)
    point = button.ax.transAxes.transform((0.5, 0.5))
    for event in ("button_press_event", "button_release_event"):
        canvas = window.figure.canvas
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
    images, bars = window.images.get_array(), window.bars.get_array()
    (found,), _ = window.read(window.sheet.draw())
    assert images.shape == (28, 28) and images.max() > 240 and np.array_equal(images, found.image)
    lengths = bars.sum(axis=1)
    assert lengths.argmax() == digit and abs(int(lengths.sum()) - 100) <= 5


def test_a_number_is_read(window):
    for digit, left in ((4, 40), (0, 230), (7, 420)):
        draw_digit(window, digit, left)
    assert read(window).startswith("Digits 407 (")
    assert window.images.get_array().shape == (28, 84)
    assert [int(window.bars.get_array()[row, 110 * index]) for row, index in ((4, 0), (0, 1), (7, 2))] == [1, 1, 1]


def test_lines_are_read(window):
    for digit, left, top in ((4, 60, 0.1), (0, 260, 0.1), (7, 80, 0.55), (2, 270, 0.55)):
        for stroke in STROKES[digit]:
            draw_stroke(window, *((left + 90 * x, 400 * top + 130 * y) for x, y in stroke))
    assert read(window).startswith("Digits 40 / 72 (at least ")
    assert window.images.get_array().shape == (56, 56) and window.bars.get_array().shape == (10, 440)


def test_no_digit(window):
    assert read(window) == "Draw digits on this sheet"
    draw_stroke(window, (0, 200), (600, 200))
    assert read(window) == "no digit found"
    assert window.images.get_array().max() == 0 and window.bars.get_array().max() == 0


def test_undo_and_clear_by_key_and_by_button(window):
    empty = window.sheet.draw()
    draw_digit(window, 1, left=100)
    one = window.sheet.draw()
    for undo in (
        lambda: press_key(window, "u"),
        lambda: press_key(window, "U"),
        lambda: press_button(window, "Undo (u)"),
    ):
        draw_digit(window, 1, left=400)
        assert read(window).startswith("Digits 1 1 (")
        undo()
        assert read(window).startswith("Digit 1 (") and window.sheet.draw() == one
    for clear in (lambda: press_key(window, "c"), lambda: press_button(window, "Clear (c)")):
        draw_digit(window, 4, left=400)
        clear()
        assert read(window) == "Draw digits on this sheet" and window.sheet.draw() == empty
    press_key(window, "u")
    press_key(window, "x")
    assert window.sheet.strokes == []


@pytest.mark.parametrize(
    "save", [lambda window: press_key(window, "s"), lambda window: press_button(window, "Save (s)")]
)
def test_a_saved_drawing_is_read_alike(window, save, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    draw_digit(window, 3, left=150)
    draw_digit(window, 5, left=350)
    prediction = read(window)
    save(window)
    (path,) = tmp_path.iterdir()
    assert window.picture.axes.get_title() == f"Saved as {path.name}"
    assert run_predict(monkeypatch, "--no-plot", path.name) == 0
    assert capsys.readouterr().out == f"{path.name}: {prediction}\n" and prediction.startswith("Digits 35 (")


def test_a_drawing_that_cannot_be_saved(window, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "no_folder/drawing.png")
    press_key(window, "s")
    assert window.picture.axes.get_title().startswith("no_folder/drawing.png could not be saved: ")


def test_a_stroke_that_leaves_the_sheet_and_comes_back(window):
    draw_stroke(window, (300, 200), (300, -100), (400, -100), (400, 200))
    (points,) = window.sheet.strokes  # events lie on whole pixels of the screen
    assert np.allclose(points, [(300, 200), (300, -100), (400, -100), (400, 200)], atol=1.5)
    is_black = np.asarray(window.sheet.draw()) < 128
    assert is_black[:100, 150].all() and is_black[:100, 200].all() and not is_black[:, 170:180].any()


def test_what_the_mouse_does_beside_the_sheet_or_with_another_button(window):
    draw_stroke(window, (-50, 200), (300, 200))
    send_mouse(window, "button_press_event", 300, 200, button=MouseButton.RIGHT)
    send_mouse(window, "motion_notify_event", 400, 200, None)
    assert window.sheet.strokes == []


def test_a_click_is_a_dot():
    sheet = Sheet()
    sheet.move_pen(300, 200, is_down=True)
    sheet.move_pen(300, 200, is_down=False)
    sheet.move_pen(500, 300, is_down=False)
    dark = 255 - np.asarray(sheet.draw(), dtype=float)
    assert dark.sum() / 255 == pytest.approx(np.pi * (PEN / 4) ** 2, rel=0.15)  # Pillow's circles are a little large
    assert dark[100, 150] == 255


def test_fast_moves_leave_no_gaps():
    sheet = Sheet()
    for x, y in ((50, 50), (550, 350), (550, 50)):
        sheet.move_pen(x, y, is_down=True)
    picture = sheet.draw()
    assert picture.size == (SHEET_SIZE[0] // 2, SHEET_SIZE[1] // 2)
    for fraction in np.linspace(0, 1, 200):
        assert picture.getpixel((round(25 + 250 * fraction), round(25 + 150 * fraction))) == 0
    assert np.asarray(picture)[25:175, 275].max() == 0
    narrow = np.asarray(picture)[100, 260:]
    assert (narrow < 128).sum() == pytest.approx(PEN / 2, abs=1)


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
    monkeypatch.setenv("MPLBACKEND", backend)
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert_one_line_error(
        run_script("predict_CNN.py", "--draw"), "predict_CNN.py", "no window", "picture", "python3-tk"
    )


@pytest.mark.parametrize("arguments", [["four.png"], ["--no-plot"], ["four.png", "--no-plot"]])
def test_wrong_flags(arguments, monkeypatch, capsys):
    assert run_predict(monkeypatch, "--draw", *arguments) == 2
    assert "--draw goes neither with pictures nor with --no-plot" in capsys.readouterr().err


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
        elif isinstance(end, signal.Signals):
            signal.raise_signal(end)
        else:
            canvas.callbacks.process("key_press_event", KeyEvent("key_press_event", canvas, "q"))

    monkeypatch.setattr(FigureCanvasAgg, "start_event_loop", pass_time)
    try:
        is_signal = isinstance(end, signal.Signals)
        with pyplot.rc_context(), pytest.raises(KeyboardInterrupt) if is_signal else contextlib.nullcontext() as error:
            open_window(lambda drawing: read_digits(drawing, shipped_model, shipped_finder), format_prediction)
        assert not is_signal or error.value.args == (end,)
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), handlers):
            signal.signal(number, handler)
    assert len(turns) == 3 and pyplot.get_fignums() == []
