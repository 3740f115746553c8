"""How the scripts end, with an answer or with one line that says what is wrong, and the flags that they share."""

from __future__ import annotations

import argparse
import io
import logging
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, Callable

import torch

PROJECT_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("MNIST_DIR") or PROJECT_DIR / "data")  # holds MNIST/raw/
MODEL_PATH = PROJECT_DIR / "models" / "cnn_.pth"
FIGURES_DIR = PROJECT_DIR / "figures"


def say_error(message: object) -> None:
    """Say on stderr, in the one line that all scripts use, what is wrong."""
    print(f"{Path(sys.argv[0]).name}: error: {message}", file=sys.stderr, flush=True)


def run_script(main: Callable[[], int | None]) -> None:
    """Run `main` and leave the program with the exit status that it returns, 0 for None.

    OSError and ValueError, which everything here raises for what a user can mend, become one line on stderr and exit
    status 1; Ctrl-C, and SIGTERM with it, one line and exit status 130.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what asks a process to end is treated as Ctrl-C is
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # or Pillow would print what it thinks of a damaged file
    if sys.stdout is None:  # closed before the program began
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may have letters that a console lacks
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        say_error("interrupted; run it again when you like")
        status = 130
    except BrokenPipeError:
        # Nobody reads stdout any more, as behind `| head -1`; Python must not try it again while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say_error("stopped, as its output was closed; run it without a pipe")
        status = 1
    except (OSError, ValueError) as error:
        say_error(error)
        status = 1
    sys.exit(status)


def show_progress(step: int, num_steps: int, start: float) -> None:
    """On a terminal, say now and then how long an epoch that began at `start` still takes; wipe that off at its end.

    `start` is a reading of time.perf_counter(), `step` counts from 1.
    """
    if not sys.stdout.isatty():
        return
    if step == num_steps:
        print("\r" + " " * 60 + "\r", end="")
    elif step % 10 == 0:
        seconds_left = (time.perf_counter() - start) * (num_steps - step) / step
        print(f"\r  step {step}/{num_steps}, {seconds_left:.0f} s left in this epoch ", end="", flush=True)


def whole_number(lowest: int, highest: int) -> Callable[[str], int]:
    """Return a function that gives the number in a flag's text, or raises ArgumentTypeError if it is none of these."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not lowest <= int(text) <= highest:
            raise argparse.ArgumentTypeError(f"{text} is not a whole number from {lowest} to {highest}")
        return int(text)

    return parse


def positive_float(text: str) -> float:
    """Return the number that a flag's text gives; raises ArgumentTypeError when that is no number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def available_devices() -> list[str]:
    """Return the names of the devices that this machine can compute on, the fastest first."""
    devices = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [device for device, is_available in devices.items() if is_available]


def add_shared_flags(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add to a script's parser those flags, of the ones that several scripts have, that it names."""
    devices = available_devices()
    default = "(default: %(default)s)"
    flags: dict[str, dict[str, Any]] = {
        "--data-dir": {"type": Path, "default": DATA_DIR, "help": f"where MNIST is, or is downloaded to {default}"},
        "--model-path": {"type": Path, "default": MODEL_PATH, "help": f"the file of the weights {default}"},
        "--figures-dir": {"type": Path, "default": FIGURES_DIR, "help": f"where the figures go {default}"},
        "--device": {"choices": devices, "default": devices[0], "help": f"what to compute on {default}"},
        "--no-plot": {"action": "store_true", "help": "draw no figure"},
    }
    for name in names:
        parser.add_argument(name, **flags[name])
