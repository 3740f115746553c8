"""The flags that scripts share, and how a script ends: with a result, or with one line about what is wrong."""

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
FINDER_PATH = PROJECT_DIR / "models" / "finder.pth"
FIGURES_DIR = PROJECT_DIR / "figures"


def print_error(message: object) -> None:
    """Print on stderr, in the one line that all scripts use, what is wrong."""
    _print_line("error", message)


def print_warning(message: object) -> None:
    """Print on stderr, in one line, what the user should know although the script goes on."""
    _print_line("warning", message)


def _print_line(kind: str, message: object) -> None:
    print(f"{Path(sys.argv[0]).name}: {kind}: {' '.join(str(message).split())}", file=sys.stderr, flush=True)


def run_script(main: Callable[[], int | None]) -> None:
    """Run `main` and leave the program with the exit status that it returns, 0 for None.

    OSError and ValueError, which everything here raises for what a user can fix, become one line on stderr and exit
    status 1, and so does RuntimeError on an accelerator. Ctrl-C ends with status 130, SIGTERM with 143.
    """

    def interrupt(number: int, _: object) -> None:
        raise KeyboardInterrupt(number)

    signal.signal(signal.SIGTERM, interrupt)
    logging.getLogger("PIL").addHandler(logging.NullHandler())  # or Pillow's log of a damaged file would be printed
    if sys.stdout is None:  # closed before the program began
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name may have letters that a console lacks
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        print_error("interrupted; run it again when you like")
        status = 128 + (error.args[0] if error.args else signal.SIGINT)
    except BrokenPipeError:
        # Nobody reads stdout any more, as behind `| head -1`; Python must not try it again while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print_error("stopped, as its output was closed; run it without a pipe")
        status = 1
    except (OSError, ValueError) as error:
        print_error(error)
        status = 1
    except RuntimeError as error:
        device = _selected_device()
        if device == "cpu":
            raise  # a mistake of ours
        reason = (str(error) or type(error).__name__).splitlines()[0]
        print_error(f"the device {device} failed: {reason.rstrip('.')}; try --device cpu")
        status = 1
    sys.exit(status)


def show_progress(step: int, num_steps: int, start: float) -> None:
    """On a terminal, print now and then how long an epoch still takes; erase that at its end.

    `start` is the reading of time.perf_counter() when the epoch began, `step` counts from 1.
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


def path_argument(text: str) -> Path:
    """Return the path that an argument names, `~` expanded; raises ArgumentTypeError when it is empty."""
    if not text:
        raise argparse.ArgumentTypeError("an empty argument names no file and no folder")
    return Path(os.path.expanduser(text))  # which leaves the name of an unknown user as it is, unlike Path's


def available_devices() -> list[str]:
    """Return the names of the devices that this machine can compute on, the fastest first."""
    devices = ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    devices = devices if torch.cuda.is_available() else []
    return [*devices, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def _selected_device() -> str:
    """Return the device that the arguments of this script name, or the default."""
    parser = argparse.ArgumentParser(add_help=False)
    add_shared_flags(parser, "--device")
    return parser.parse_known_args()[0].device


def add_shared_flags(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add to a script's parser those flags, of the ones that several scripts have, that it names."""
    devices = available_devices()
    default = "(default: %(default)s)"
    flags: dict[str, dict[str, Any]] = {
        "--data-dir": {"type": path_argument, "default": DATA_DIR, "help": f"folder of MNIST, or for it {default}"},
        "--model-path": {"type": path_argument, "default": MODEL_PATH, "help": f"file of the weights {default}"},
        "--finder-path": {"type": path_argument, "default": FINDER_PATH, "help": f"weights of the finder {default}"},
        "--figures-dir": {"type": path_argument, "default": FIGURES_DIR, "help": f"folder for figures {default}"},
        "--device": {"choices": devices, "default": devices[0], "help": f"what to compute on {default}"},
        "--no-plot": {"action": "store_true", "help": "draw no figure"},
    }
    for name in names:
        parser.add_argument(name, **flags[name])
