"""Importing a file changes nothing else in the process, and loads no package that it does not need at once."""

from __future__ import annotations

import subprocess
import sys

from digits.command_line import PROJECT_DIR
from tests.helpers import MODULES

SCRIPTS = ["train_CNN", "test_CNN", "predict_CNN"]

PROGRAM = """
import importlib, os, random, signal, socket, sys, warnings
import numpy, PIL.Image, torch, torchvision.datasets, torch.optim.lr_scheduler, torch.optim.swa_utils

def state():
    return {
        "signal handlers": [signal.getsignal(number) for number in sorted(signal.valid_signals())],
        "warnings filters": warnings.filters[:],
        "random state": (random.getstate(), numpy.random.get_state()[1].tobytes(), torch.get_rng_state().tolist()),
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


LATE_PACKAGES = """
import importlib, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
    late = [other for other in ("matplotlib", "torchvision", "PIL", "digits.weights") if other in sys.modules]
    print(name, *late, sep=" loads ")
"""


def test_packages_are_imported_late():
    """matplotlib and torchvision take a second each, and the network stands on torch alone."""
    command = [sys.executable, "-c", LATE_PACKAGES, "model", "predict_CNN", "train_CNN", "test_CNN"]
    result = subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True, timeout=300)
    predicting = " loads PIL loads digits.weights"
    training = " loads torchvision" + predicting
    expected = ["model", f"predict_CNN{predicting}", f"train_CNN{training}", f"test_CNN{training}"]
    assert result.stdout.splitlines() == expected, result.stderr
