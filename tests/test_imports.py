"""The layout: what each file may import, and that importing it changes nothing else in the process."""

from __future__ import annotations

import ast
import subprocess
import sys

import pytest

from digits.command_line import PROJECT_DIR
from tests.helpers import MODULES

SCRIPTS = ["train_CNN", "test_CNN", "predict_CNN"]
ONLY_HERE = {
    "torchvision": ["digits.reading.finder_loss", "digits.reading.train_finder", "digits.training.mnist"],
    "matplotlib": ["digits.drawing", "digits.plots", "digits.prediction_plot", "digits.reading.pages.things"],
}

PROGRAM = """
import importlib, logging, os, random, signal, socket, sys, threading, warnings
import numpy, PIL.Image, torch, torchvision.datasets, torch.optim.lr_scheduler, torch.optim.swa_utils

def state():
    loggers = [logging.getLogger(name) for name in ("", "PIL", "torch", "matplotlib")]
    numbers = random.getstate(), numpy.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()
    return {
        "signal handlers": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "hooks": [sys.excepthook, threading.excepthook, sys.stdout.errors, sys.stderr.errors],
        "logging handlers": [(logger.handlers[:], logger.level, logging.root.manager.disable) for logger in loggers],
        "warnings filters": warnings.filters[:],
        "random state": numbers,
        "environment": (dict(os.environ), sys.path[:], os.getcwd(), socket.getdefaulttimeout()),
        "threads": torch.get_num_threads(),
    }

for name in sys.argv[1:]:
    before = state()
    importlib.import_module(name)
    print(name, *(what for what, value in state().items() if value != before[what]), sep=" changes ")
"""


def test_imports_change_nothing():
    command = [sys.executable, "-c", PROGRAM, *MODULES, *SCRIPTS]
    result = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split("\n") == [*MODULES, *SCRIPTS, ""]


def imported(module: str) -> set[str]:
    """Return the names of all modules that one of ours imports, anywhere in its code."""
    names = set()
    for node in ast.walk(ast.parse((PROJECT_DIR / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
        elif isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
    return names


def test_the_network_stands_on_torch_alone():
    assert imported("model") == {"__future__", "torch", "digits.deskewing"}
    assert imported("digits.deskewing") == {"__future__", "torch", "torch.nn.functional"}


@pytest.mark.parametrize("package", ONLY_HERE)
def test_packages_that_one_file_knows(package):
    knowing = [name for name in MODULES + SCRIPTS if any(other.split(".")[0] == package for other in imported(name))]
    assert knowing == ONLY_HERE[package]


def test_no_circles():
    """Each file imports only files that can be loaded before it."""
    loaded: set[str] = set()
    waiting = {name: imported(name) & {*MODULES, *SCRIPTS} for name in MODULES + SCRIPTS}
    while waiting:
        ready = [name for name, needed in waiting.items() if needed <= loaded]
        assert ready, f"circle among {sorted(waiting)}"
        loaded.update(ready)
        waiting = {name: needed for name, needed in waiting.items() if name not in loaded}
    assert not any(imported(name) & set(SCRIPTS) for name in MODULES)
