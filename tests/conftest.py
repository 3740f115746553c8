"""What several test files need: the scripts run as a user runs them, and generated digits in place of MNIST."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from generated_digits import write_mnist
from PIL import Image

import predict_CNN
from digits.command_line import DATA_DIR, MODEL_PATH, PROJECT_DIR
from digits.command_line import run_script as run_main
from digits.formatting import join_digits
from digits.reading.digits import find_digits
from digits.reading.finder import Finder
from digits.weights import load_finder, load_weights
from model import CNN, predict_logits

os.environ["MPLBACKEND"] = "Agg"  # no windows on the screen of whoever runs the tests
os.environ.pop("PYTHONUNBUFFERED", None)  # the scripts themselves see to it that each line comes out at once

TRAINING_IMAGES = DATA_DIR / "MNIST" / "raw" / "train-images-idx3-ubyte"
needs_mnist = pytest.mark.skipif(
    not (TRAINING_IMAGES.exists() or TRAINING_IMAGES.with_suffix(".gz").exists()),
    reason=f"no MNIST in {DATA_DIR}, and tests download nothing; set MNIST_DIR, or run train_CNN.py once",
)


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
    places = ("--model-path", model_path, "--figures-dir", model_path.parent.parent)
    arguments = ("--data-dir", generated_mnist, *places, "--epochs", 4)
    result = run_script("train_CNN.py", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout, model_path


def run_predict(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> object:
    """Run predict_CNN.py in this process, which is sooner under way than a new one; return its exit status.

    Its figures are saved in the folder `figures` of the current one.
    """
    monkeypatch.setattr(sys, "argv", ["predict_CNN.py", "--figures-dir", "figures", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        run_main(predict_CNN.main)
    return exit_info.value.code


@pytest.fixture(scope="session")
def shipped_model() -> CNN:
    """Return the network with the shipped weights."""
    return load_weights(MODEL_PATH)


@pytest.fixture(scope="session")
def shipped_finder() -> Finder:
    """Return the finder with the shipped weights."""
    return load_finder()


def read_picture_of(finder: Finder, model: CNN, picture: Image.Image) -> str:
    """Return the digits in a picture, as text: spaces at wide gaps, slashes between lines."""
    digits, _ = find_digits(picture.convert("RGB"), finder)
    return join_digits(digits, predict_CNN.predict_probabilities(digits, model).argmax(axis=1))


def read_digit(model: CNN, image: np.ndarray) -> int:
    """Return the digit that the model reads in an image (28, 28), uint8."""
    return int(predict_logits(model, torch.from_numpy(image)[None, None]).argmax())


def assert_one_line_error(result: subprocess.CompletedProcess, script: str, *parts: str) -> None:
    """Check that a script ended with one line on stderr that has all of `parts`, and with exit status 1."""
    assert result.returncode == 1, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith(f"{script}: error: ")
    for part in parts:
        assert part in lines[0]
