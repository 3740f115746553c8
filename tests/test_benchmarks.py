"""The benchmarks count right."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image, ImageOps
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import own_pictures, speed, time_to_accuracy
from digits.command_line import FINDER_PATH
from model import CNN
from tests.helpers import draw_digit, run_here


def test_table_of_known_runs(capsys):
    """The first is there after 10 s on average, with both seeds; the slow one after 40 s, with one of its two seeds."""
    results = {
        "ours, default": [[(12.0, 99.1)], [(8.0, 99.3)]],
        "slow": [[(20.0, 98.0), (40.0, 99.0)], [(20.0, 98.0), (40.0, 98.5)]],
        "slower": [[(50.0, 90.0)], [(70.0, 90.2)]],
    }
    time_to_accuracy.print_table(results)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()]
    assert all(len(row) == len(rows[0]) for row in rows)
    assert rows[2] == ["ours, default", "1", "10.0", "99.20 ± 0.14", "10", "1.0", "8 (1 of 2 runs)", "1.0"]
    assert rows[3] == ["slow", "2", "20.0", "98.75 ± 0.35", "40 (1 of 2 runs)", "4.0", "never", ""]
    assert rows[4] == ["slower", "1", "60.0", "90.10 ± 0.14", "never", "", "never", ""]


def test_seconds_are_those_of_training(monkeypatch):
    """The clock stands while the accuracy is counted."""
    now = [0.0]

    def recipe(images, labels):
        for _ in range(2):
            now[0] += 10
            yield CNN()

    def slow_evaluation(model, images, labels):
        now[0] += 1000
        return 0.1, 50.0

    monkeypatch.setattr(time_to_accuracy.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time_to_accuracy, "evaluate", slow_evaluation)
    points = time_to_accuracy.run(recipe, 0, (torch.zeros(1), torch.zeros(1)), (torch.zeros(1), torch.zeros(1)))
    assert points == [(10.0, 50.0), (20.0, 50.0)]


def test_arithmetic_of_the_network():
    with FlopCounterMode(display=False) as counter:
        CNN()(torch.zeros(1, 1, 28, 28))
    assert counter.get_total_flops() == speed.FORWARD_FLOP
    assert pytest.approx(25.4e6, rel=0.01) == speed.TRAINING_FLOP


def make_own_pictures(folder: Path) -> Path:
    """Draw six pictures, of which one is blank and one has the wrong label; return the path of their CSV file."""
    lines = ["path,label,kind"]
    for number, (digit, label) in enumerate([(3, "3"), (4, "4"), (7, "7"), (0, "1"), (5, "none")]):
        picture = ImageOps.invert(draw_digit(digit, (100, 120), (20, 20, 80, 100), pen=8))
        picture.save(folder / f"{number}.png")
        lines.append(f"{number}.png,{label},{'odd' if number % 2 else 'even'}")
    Image.new("L", (50, 50), 255).save(folder / "blank.png")
    lines.append("blank.png,,even")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


def test_own_pictures(tmp_path, monkeypatch, capsys):
    sheet = tmp_path / "sheet.png"
    arguments = [make_own_pictures(tmp_path), "--sheet", sheet, "--finders", FINDER_PATH, FINDER_PATH]
    assert run_here(monkeypatch, own_pictures, *arguments) is None
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[2] == ["all", "6", "66.67 %", "75.00 %", "83.33 %", "33.33 %"]
    assert rows[3] == ["even", "4", "75.00 %", "100.00 %", "75.00 %", "25.00 %"]
    assert rows[4] == ["odd", "2", "50.00 %", "50.00 %", "100.00 %", "50.00 %"]
    assert [line for line in lines if ": is " in line] == ["3.png: is 1: 0", "4.png: is none: 5"]
    with Image.open(sheet) as figure:
        assert figure.size == (1200, 190)


def test_digits_read_in_their_order():
    assert own_pictures.count_read("1234", "1234") == 4
    assert own_pictures.count_read("1234", "124") == 3
    assert own_pictures.count_read("1234", "") == 0
    assert own_pictures.count_read("12", "21") == 1


@pytest.mark.parametrize("way, is_readable", [("squeeze", False), ("inverted", True), ("border", True), ("crop", True)])
@pytest.mark.slow
def test_naive_ways(way, is_readable, tmp_path, monkeypatch, capsys):
    """Dark digits on white: only with light and dark exchanged can they be read at all."""
    arguments = [make_own_pictures(tmp_path), "--naive", way, "--sheet", tmp_path / "sheet.png"]
    assert run_here(monkeypatch, own_pictures, *arguments) is None
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| all"))
    fraction = float(row.split("|")[3].split("%")[0]) / 100
    assert (fraction >= 0.5) == is_readable


@pytest.mark.parametrize("text", ["", "path,label\n", "path\n1.png\n"])
def test_labels_that_are_none(text, tmp_path):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match="needs the columns path and label"):
        own_pictures.read_rows(tmp_path / "labels.csv")
