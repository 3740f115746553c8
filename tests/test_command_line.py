"""How the scripts end, whatever befalls them, and what their flags take."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
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
    show_progress,
    whole_number,
)
from digits.command_line import run_script as run_main
from tests.helpers import MODULES, draw_four, encode


def run_here(monkeypatch, main: Callable[[], int | None]) -> object:
    """Run `main` in this process as a script does; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["/some/where/predict_CNN.py"])
    with pytest.raises(SystemExit) as exit_info:
        run_main(main)
    return exit_info.value.code


@pytest.mark.parametrize("status", [None, 0, 1])
def test_exit_status_is_that_of_main(status, monkeypatch, capsys):
    assert run_here(monkeypatch, lambda: status) == status
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [OSError("no disk; buy one"), ValueError("bad")])
def test_expected_errors_become_one_line(error, monkeypatch, capsys):
    def main() -> None:
        raise error

    assert run_here(monkeypatch, main) == 1
    assert capsys.readouterr() == ("", f"predict_CNN.py: error: {error}\n")


def test_mistakes_of_ours_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_main(lambda: 1 // 0)


def test_output_that_was_closed_before(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert run_here(monkeypatch, lambda: print("unheard")) is None
    sys.stdout.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals to one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt(number, monkeypatch, capsys):
    def main() -> None:
        os.kill(os.getpid(), number)
        time.sleep(5)

    assert run_here(monkeypatch, main) == 128 + number
    assert capsys.readouterr().err == "predict_CNN.py: error: interrupted; run it again when you like\n"


def test_numbers_of_flags():
    assert whole_number(1, 10)("10") == 10 and whole_number(0, 5)("0") == 0
    for text in ("0", "11", "-1", "1.0", "²", "", "1_0"):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number from 1 to 10"):
            whole_number(1, 10)(text)
    assert positive_float("0.5") == 0.5
    for text in ("0", "-1", "inf", "nan", "ten", ""):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a number above 0"):
            positive_float(text)


def test_shared_flags(capsys):
    parser = argparse.ArgumentParser()
    add_shared_flags(parser, "--data-dir", "--model-path", "--device", "--no-plot")
    args = parser.parse_args([])
    assert vars(args) == {"data_dir": DATA_DIR, "model_path": MODEL_PATH, "device": ANY, "no_plot": False}
    assert args.device == available_devices()[0] and available_devices()[-1] == "cpu"
    args = parser.parse_args(["--data-dir", "here", "--device", "cpu", "--no-plot"])
    assert (args.data_dir, args.device, args.no_plot) == (Path("here"), "cpu", True)
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    assert f"(default:{MODEL_PATH})" in "".join(capsys.readouterr().out.split())


def test_the_fastest_device_comes_first(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert available_devices() == ["cuda", "cuda:0", "cuda:1", "cpu"]


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
    modules = [*MODULES, "predict_CNN", "__main__"]
    flags = [part for module in modules for part in ("-W", f"error:::{module}")]
    command = [sys.executable, *flags, str(folder / "predict link.py"), "--figures-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith("handwritten_digit.png: Digit 8 (")
    assert (tmp_path / "prediction_1.png").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
@pytest.mark.slow
def test_progress_on_a_terminal(generated_mnist, tmp_path):
    ours, theirs = os.openpty()
    arguments = ["--data-dir", str(generated_mnist), "--epochs", "1", "--no-plot"]
    arguments += ["--model-path", str(tmp_path / "cnn_.pth")]
    command = [sys.executable, str(PROJECT_DIR / "train_CNN.py"), *arguments]
    assert subprocess.run(command, stdout=theirs, timeout=300).returncode == 0
    output = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert re.search(r"\r  step 10/19, \d+ s left in this epoch \r {60}\rEpoch 1/1", output)


@pytest.mark.slow
def test_names_that_the_output_cannot_show(training, generated_mnist, tmp_path):
    """As on a Windows console, or redirected there: such letters are shown with escapes, and the work is done."""
    folder = tmp_path / "четыре_四"
    folder.mkdir()
    model_path, figures_dir = folder / "cnn_.pth", folder / "figures"
    for name in ("1_四.png", "2.png"):
        (folder / name).write_bytes(encode(draw_four(), "PNG"))
    train = ["--epochs", "1", "--data-dir", generated_mnist, "--model-path", model_path, "--figures-dir", figures_dir]
    test = ["--data-dir", generated_mnist, "--model-path", training[1], "--figures-dir", figures_dir]
    commands = {
        "train_CNN.py": (train, r"\nWeights saved to .*\\u56db.cnn_\.pth\n"),
        "test_CNN.py": (test, r"\nFigure saved to .*\\u56db.figures.mistakes\.png\n"),
        "predict_CNN.py": (
            [folder / "1_四.png", folder / "2.png", "--no-plot"],
            r"1_\\u56db\.png: Digit 4 .*\n.*\\u56db.2\.png: Digit 4 .*\n",
        ),
    }
    for script, (arguments, pattern) in commands.items():
        command = [sys.executable, str(PROJECT_DIR / script), *map(str, arguments)]
        environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
        result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=300)
        assert result.returncode == 0 and result.stderr == b""
        assert re.search(pattern, result.stdout.decode("ascii").replace("\r", ""))


def test_what_a_script_sees_of_its_surroundings():
    """MNIST_DIR names the folder of MNIST, and what Pillow logs about a file does not reach the user."""
    program = (
        "import logging; from digits.command_line import DATA_DIR, run_script\n"
        "def main(): logging.getLogger('PIL.TiffImagePlugin').warning('odd'); print(DATA_DIR)\n"
        "run_script(main)"
    )
    for name, expected in (("somewhere", "somewhere"), ("", str(PROJECT_DIR / "data"))):
        command = [sys.executable, "-c", program]
        environment = {**os.environ, "MNIST_DIR": name}
        result = subprocess.run(command, cwd=PROJECT_DIR, env=environment, capture_output=True, text=True)
        assert (result.stdout.strip(), result.stderr) == (expected, "")


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


@pytest.mark.parametrize(
    "reason", ["CUDA error: no kernel image is available for execution on the device", "CUDA out of memory. Tried", ""]
)
def test_a_device_that_fails_is_one_line(reason, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)

    def main() -> None:
        raise RuntimeError(f"{reason}\nCUDA kernel errors might be asynchronously reported at some other API call")

    for arguments, device in (
        ([], "cuda"),
        (["four.png", "--device", "cuda:1"], "cuda:1"),
        (["--device=cuda:0"], "cuda:0"),
    ):
        monkeypatch.setattr(sys, "argv", ["train_CNN.py", *arguments])
        with pytest.raises(SystemExit) as exit_info:
            run_main(main)
        error = capsys.readouterr().err
        assert exit_info.value.code == 1 and error.count("\n") == 1
        assert error.startswith(f"train_CNN.py: error: the device {device} failed: {reason}")
        assert error.endswith("; try --device cpu\n")
    monkeypatch.setattr(sys, "argv", ["train_CNN.py", "--device", "cpu"])
    with pytest.raises(RuntimeError):  # a mistake of ours
        run_main(main)


def test_devices_of_the_scripts(run_script):
    result = run_script("predict_CNN.py", "--device", "cuda:7")
    assert result.returncode == 2 and "--device: invalid choice: 'cuda:7'" in result.stderr


def test_paths_in_arguments(monkeypatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, "/home/me")
    assert path_argument("~/x.png") == Path("/home/me/x.png") and path_argument("x~") == Path("x~")
    with pytest.raises(argparse.ArgumentTypeError, match="names no file"):
        path_argument("")
    parser = argparse.ArgumentParser()
    add_shared_flags(parser, "--data-dir", "--model-path", "--figures-dir")
    args = parser.parse_args(["--data-dir", "~/a", "--model-path", "~/b", "--figures-dir", "~/c"])
    assert {path.parent for path in vars(args).values()} == {Path("/home/me")}
