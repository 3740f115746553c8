"""Fixtures of several test files: the scripts as processes, generated digits in place of MNIST, the shipped weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from digits.command_line import MODEL_PATH, PROJECT_DIR
from digits.reading.finder import Finder
from digits.weights import load_finder, load_weights
from model import CNN
from tests.helpers import write_mnist

os.environ["MPLBACKEND"] = "Agg"  # no windows on the screen of whoever runs the tests
os.environ.pop("PYTHONUNBUFFERED", None)  # the scripts themselves see to it that each line comes out at once


@pytest.fixture(scope="session")
def run_script():
    """Return a function that runs a script as a process of its own and returns its exit status and output."""

    def run(script: str, *arguments, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
        if not {"--figures-dir", "--no-plot", "--draw"} & set(arguments):
            arguments = (*arguments, "--no-plot")  # rather than draw into the folder of the project
        command = [sys.executable, str(PROJECT_DIR / script), *map(str, arguments)]
        environment = {**os.environ, **environment}
        return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)

    return run


@pytest.fixture(scope="session")
def generated_mnist(tmp_path_factory) -> Path:
    """Return a data directory of 2,400 training and 600 test images."""
    data_dir = tmp_path_factory.mktemp("data")
    write_mnist(data_dir, num_train=2400, num_test=600)
    return data_dir


@pytest.fixture(scope="session")
def training(run_script, generated_mnist, tmp_path_factory):
    """Return what train_CNN.py printed on the generated digits, and the path of the weights that it saved.

    The figure lies in the folder above that of the weights.
    """
    model_path = tmp_path_factory.mktemp("models") / "new" / "cnn_.pth"
    paths = ("--model-path", model_path, "--figures-dir", model_path.parent.parent)
    arguments = ("--data-dir", generated_mnist, *paths, "--epochs", 4)
    result = run_script("train_CNN.py", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout, model_path


@pytest.fixture(scope="session")
def shipped_model() -> CNN:
    """Return the network with the shipped weights."""
    return load_weights(MODEL_PATH)


@pytest.fixture(scope="session")
def shipped_finder() -> Finder:
    """Return the finder with the shipped weights."""
    return load_finder()
