"""How the scripts end, whatever befalls them, and what their flags take."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Callable
from unittest.mock import ANY

import pytest
import torch

from digits.command_line import (
    DATA_DIR,
    MODEL_PATH,
    PROJECT_DIR,
    add_shared_flags,
    available_devices,
    path_argument,
    positive_float,
    run_script,
    show_progress,
    whole_number,
)
from tests.helpers import MODULES, draw_four, encode, run_here


def run_main(monkeypatch: pytest.MonkeyPatch, main: Callable[[], int | None], *arguments: str) -> object:
    """Run `main` in this process as that of a script named a_script.py; return its exit status."""
    script = ModuleType("a_script")
    setattr(script, "main", main)  # noqa: B010
    return run_here(monkeypatch, script, *arguments)


def fail(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize(
    "main, status, line",
    [
        (lambda: None, None, ""),
        (lambda: 0, 0, ""),
        (lambda: 1, 1, ""),
        (lambda: fail(OSError("no disk;\n buy one")), 1, "a_script.py: error: no disk; buy one\n"),
        (lambda: fail(ValueError("bad")), 1, "a_script.py: error: bad\n"),
        (lambda: fail(KeyboardInterrupt()), 130, "a_script.py: error: interrupted; run it again when you like\n"),
    ],
)
def test_exit_status(main, status, line, monkeypatch, capsys):
    assert run_main(monkeypatch, main) == status
    assert capsys.readouterr() == ("", line)


@pytest.mark.parametrize("error", [ZeroDivisionError(), RuntimeError()])
def test_mistakes_of_ours_are_not_hidden(error, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["a_script.py", "--device", "cpu"])
    with pytest.raises(type(error)):
        run_script(lambda: fail(error))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals to one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt(number, monkeypatch, capsys):
    def main() -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's jobs in the background ignore it
    assert run_main(monkeypatch, main) == 128 + number
    assert capsys.readouterr().err == "a_script.py: error: interrupted; run it again when you like\n"


def test_output_that_was_closed_before(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert run_main(monkeypatch, lambda: print("unheard")) is None
    sys.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
@pytest.mark.parametrize("num_letters", [100_000, pytest.param(10, marks=pytest.mark.slow)])
def test_output_that_nobody_reads(num_letters):
    """Closed before the first letter, whether it is written at the end or on the way: one line all the same."""
    reading, writing = os.pipe()
    os.close(reading)
    program = f"from digits.command_line import run_script; run_script(lambda: print({num_letters} * 'x'))"
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, cwd=PROJECT_DIR, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert result.returncode == 1
    assert result.stderr == "-c: error: stopped, as its output was closed; run it without a pipe\n"


def test_numbers_of_flags():
    assert whole_number(1, 10)("10") == 10 and whole_number(0, 5)("0") == 0 and positive_float("0.5") == 0.5
    for text in ("0", "11", "-1", "1.0", "²", "", "1_0"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number from 1 to 10"):
            whole_number(1, 10)(text)
    for text in ("0", "-1", "inf", "nan", "ten", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a number above 0"):
            positive_float(text)


def test_shared_flags(monkeypatch, capsys):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, "/home/me")
    assert path_argument("~/x.png") == Path("/home/me/x.png") and path_argument("x~") == Path("x~")
    parser = argparse.ArgumentParser()
    add_shared_flags(parser, "--data-dir", "--model-path", "--figures-dir", "--device", "--no-plot")
    expected = {"data_dir": DATA_DIR, "model_path": MODEL_PATH, "figures_dir": ANY, "device": ANY, "no_plot": False}
    assert vars(parser.parse_args([])) == expected
    paths = ["--data-dir", "~/a", "--model-path", "~/b", "--figures-dir", "~/c"]
    args = parser.parse_args([*paths, "--device", "cpu", "--no-plot"])
    assert [args.data_dir, args.model_path, args.figures_dir] == [Path("/home/me", name) for name in "abc"]
    assert args.device == "cpu" and args.no_plot
    for arguments, part in ((["--help"], f"(default:{MODEL_PATH})"), (["--device", "cuda:99"], "invalidchoice")):
        with pytest.raises(SystemExit):
            parser.parse_args(arguments)
        assert part in "".join("".join(capsys.readouterr()).split())


def use_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


def test_the_fastest_device_comes_first(monkeypatch):
    assert available_devices()[-1] == "cpu"
    use_two_gpus(monkeypatch)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert available_devices() == ["cuda", "cuda:0", "cuda:1", "cpu"]


@pytest.mark.parametrize("reason", ["CUDA error: no kernel image is available", "CUDA out of memory. Tried", ""])
@pytest.mark.parametrize("arguments, device", [("", "cuda"), ("four.png --device cuda:1", "cuda:1")])
def test_a_device_that_fails_is_one_line(reason, arguments, device, monkeypatch, capsys):
    use_two_gpus(monkeypatch)
    error = RuntimeError(f"{reason}\nCUDA kernel errors might be asynchronously reported at some other API call")
    assert run_main(monkeypatch, lambda: fail(error), *arguments.split()) == 1
    assert capsys.readouterr().err == f"a_script.py: error: the device {device} failed: {reason}; try --device cpu\n"


def test_progress(monkeypatch, capsys):
    monkeypatch.setattr(time, "perf_counter", lambda: 105.0)
    show_progress(10, 40, start=100.0)
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    for step in (9, 10, 40):
        show_progress(step, 40, start=100.0)
    assert capsys.readouterr().out == "\r  step 10/40, 15 s left in this epoch \r" + " " * 60 + "\r"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no links and no home in this sense")
@pytest.mark.slow
def test_from_anywhere_through_a_link_and_with_all_warnings(tmp_path):
    """Another folder, a link in a path with spaces, no home, no display, and every warning an error of ours."""
    folder = tmp_path / "my own folder"
    folder.mkdir()
    (folder / "predict link.py").symlink_to(PROJECT_DIR / "predict_CNN.py")
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "DISPLAY", "MPLBACKEND")}
    flags = [part for module in (*MODULES, "predict_CNN", "__main__") for part in ("-W", f"error:::{module}")]
    command = [sys.executable, *flags, str(folder / "predict link.py"), "--figures-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith("handwritten_digit.png: Digit 8 (")
    assert (tmp_path / "prediction_1.png").exists()


@pytest.mark.slow
def test_names_that_the_output_cannot_show(run_script, tmp_path):
    """As on a Windows console, or redirected there: such letters are shown with escapes, and the work is done."""
    (tmp_path / "1_四.png").write_bytes(encode(draw_four(), "PNG"))
    arguments = ("1_四.png", "--figures-dir", "четыре")
    result = run_script("predict_CNN.py", *arguments, cwd=tmp_path, PYTHONIOENCODING="ascii:strict")
    prediction, saved = result.stdout.splitlines()
    assert (result.returncode, result.stderr) == (0, "") and prediction.startswith(r"1_\u56db.png: Digit 4 (")
    assert saved.startswith(r"Figure saved to \u0447") and (tmp_path / "четыре" / "prediction_1.png").exists()


def test_what_a_script_sees_of_its_surroundings():
    """MNIST_DIR names the folder of MNIST, and what Pillow logs about a file does not reach the user."""
    program = (
        "import logging; from digits.command_line import DATA_DIR, run_script\n"
        "def main(): logging.getLogger('PIL.TiffImagePlugin').warning('odd'); print(DATA_DIR)\n"
        "run_script(main)"
    )
    for name, expected in (("somewhere", "somewhere"), ("", str(PROJECT_DIR / "data"))):
        command, environment = [sys.executable, "-c", program], {**os.environ, "MNIST_DIR": name}
        result = subprocess.run(command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True)
        assert (result.stdout.strip(), result.stderr) == (expected, "")
