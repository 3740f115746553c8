"""How the scripts end: with an answer, or with one line that says what is wrong.

The scripts import this before torch, which takes seconds to load: Ctrl-C is answered in one line from here on.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Callable

signal.signal(signal.SIGTERM, signal.default_int_handler)  # what asks a process to end is treated as Ctrl-C is


def say_error(message: object) -> None:
    """Say on stderr, in the one line that all scripts use, what is wrong."""
    print(f"{Path(sys.argv[0]).name}: error: {message}", file=sys.stderr, flush=True)


def report_interrupt(kind: type, error: BaseException, traceback: object) -> None:
    """Stand in for sys.excepthook: end with one line and exit status 130 if the exception is of Ctrl-C."""
    if not issubclass(kind, KeyboardInterrupt):
        return sys.__excepthook__(kind, error, traceback)
    say_error("interrupted; run it again when you like")
    os._exit(130)  # at once: what is half loaded could not end in good order


sys.excepthook = report_interrupt


def run_script(main: Callable[[], int | None]) -> None:
    """Run `main` and leave the program with the exit status that it returns, 0 for None.

    OSError and ValueError, which everything here raises for what a user can mend, become one line on stderr and exit
    status 1.
    """
    if sys.stdout is None:  # closed before the program began
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads stdout any more, as behind `| head -1`; Python must not try it again while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        say_error("stopped, as its output was closed; run it without a pipe")
        status = 1
    except (OSError, ValueError) as error:
        say_error(error)
        status = 1
    sys.exit(status)
