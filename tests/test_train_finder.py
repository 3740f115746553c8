"""Training the finder, as a process, for a few steps; and what it learns from."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from digits.command_line import PROJECT_DIR
from digits.reading.finder_loss import assign
from digits.weights import load_finder


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights(generated_mnist, tmp_path):
    files = []
    for name in ("first.pth", "second.pth"):
        command = [sys.executable, "-m", "digits.reading.train_finder", "--steps", "2", "--seed", "5"]
        command += ["--data-dir", generated_mnist, "--finder-path", tmp_path / name, "--figures-dir", tmp_path]
        result = subprocess.run(list(map(str, command)), cwd=PROJECT_DIR, capture_output=True, text=True, timeout=300)
        assert result.returncode == 0, result.stderr
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1] and (tmp_path / "finder_curves.png").exists()
    assert re.match(r"Step 2/2: loss \d+\.\d+; validation pages: ink ", result.stdout)
    load_finder(tmp_path / "first.pth")


def test_where_digits_are_to_be_found():
    """Near the middle of the nearest digit, on a grid of 4 pixels; a thin 1 is not missed."""
    boxes = torch.zeros(2, 5, 4)
    boxes[0, 0], boxes[0, 1] = torch.tensor([8.0, 8.0, 40.0, 40.0]), torch.tensor([49.0, 10.0, 51.0, 60.0])
    is_digit, nearest = assign(boxes, 64, 64)
    assert is_digit.shape == (2, 16, 16) and not is_digit[1].any()
    assert is_digit[0, 6, 6] and nearest[0, 6, 6].tolist() == [8, 8, 40, 40]
    assert is_digit[0, 8, 12] and nearest[0, 8, 12].tolist() == [49, 10, 51, 60]
    assert not is_digit[0, 2, 2] and not is_digit[0, 15, 15]
