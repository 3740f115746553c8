"""The benchmarks: they run from start to end on a few generated digits, and they count right."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import ablation
import numpy as np
import own_pictures
import pages
import pytest
import speed
import time_to_accuracy
import torch
from conftest import prepare, read_digit
from generated_digits import draw_digit, write_mnist
from PIL import Image, ImageOps
from torch.utils.flop_counter import FlopCounterMode

from digits.command_line import MODEL_PATH
from model import CNN


def test_quick_comparison(tmp_path, monkeypatch, capsys):
    write_mnist(tmp_path / "data", num_train=256, num_test=100)
    figure_path = tmp_path / "figure.png"
    arguments = ["--quick", "--seeds", "2", "--data-dir", tmp_path / "data", "--figure", figure_path]
    monkeypatch.setattr(sys, "argv", ["time_to_accuracy.py", *map(str, arguments)])
    time_to_accuracy.main()
    output = capsys.readouterr().out.split("\n2 seeds on ")[1]
    rows = [line.split(" | ") for line in output.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[1:]] == [
        "| ours, default",
        "| ours, 4 epochs",
        "| ours, 1 epoch",
        "| AdamW, 4 epochs",
        "| classic",
        "| PyTorch example",
    ]
    assert [row[1] for row in rows[1:]] == ["2", "2", "1", "2", "2", "2"]
    assert all(re.fullmatch(r"\d+\.\d\d ± \d+\.\d\d", row[3]) for row in rows[1:])
    with Image.open(figure_path) as figure:
        assert figure.size == (800, 500)


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
    lines = ["path,label,kind,source"]
    for number, (digit, label, source) in enumerate([(3, 3, "a"), (4, 4, "a"), (7, 7, "b"), (0, 1, "b"), (5, 5, "c")]):
        picture = ImageOps.invert(draw_digit(digit, (100, 120), (20, 20, 80, 100), pen=8))
        picture.save(folder / f"{number}.png")
        lines.append(f"{number}.png,{label},{'odd' if number % 2 else 'even'},{source}")
    Image.new("L", (50, 50), 255).save(folder / "blank.png")
    lines.append("blank.png,8,even,c")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder / "labels.csv"


def test_own_pictures(tmp_path, monkeypatch, capsys):
    sheet = tmp_path / "sheet.png"
    arguments = [make_own_pictures(tmp_path), "--sheet", sheet, "--model-path", MODEL_PATH, MODEL_PATH]
    monkeypatch.setattr(sys, "argv", ["own_pictures.py", *map(str, arguments)])
    own_pictures.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "refused: blank.png: no digit found"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert rows[2] == ["all", "6", "66.67 % of 6", "75.00 % of 4", "50.00 % of 2"]
    assert rows[3] == ["even", "4", "75.00 % of 4", "66.67 % of 3", "100.00 % of 1"]
    assert rows[4] == ["odd", "2", "50.00 % of 2", "100.00 % of 1", "0.00 % of 1"]
    assert any(line.startswith("Refused: 1 of 6") for line in lines)
    assert next(line for line in lines if ": is " in line).startswith("3.png: is 1: Digit 0 (")
    with Image.open(sheet) as figure:
        assert figure.size == (1200, 190)


@pytest.mark.parametrize("way, is_readable", [("squeeze", False), ("inverted", True), ("border", True), ("crop", True)])
def test_naive_ways(way, is_readable, tmp_path, monkeypatch, capsys):
    """Dark digits on white: only with light and dark exchanged can they be read at all."""
    arguments = [make_own_pictures(tmp_path), "--naive", way, "--sheet", tmp_path / "sheet.png"]
    monkeypatch.setattr(sys, "argv", ["own_pictures.py", *map(str, arguments)])
    own_pictures.main()
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| all"))
    share = float(row.split("|")[3].split("%")[0]) / 100
    assert (share >= 0.5) == is_readable


@pytest.mark.parametrize("text", ["", "path,label\n", "path\n1.png\n", "path,label\n1.png,ten\n"])
def test_labels_that_are_none(text, tmp_path):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(ValueError, match="needs the columns path and label"):
        own_pictures.read_rows(tmp_path / "labels.csv")


def test_quick_ablation(tmp_path, monkeypatch, capsys):
    """A row for each change, and one for the shifted copies of the default, which alone are evaluated otherwise."""
    write_mnist(tmp_path / "data", num_train=1200, num_test=10)
    some = ("default", "no augmentation", "no deskewing", "AdamW, learning rate 0.003")
    monkeypatch.setattr(ablation, "VARIANTS", {name: ablation.VARIANTS[name] for name in some})
    monkeypatch.setattr(ablation, "EPOCHS", (1, 2))
    monkeypatch.setattr(sys, "argv", ["ablation.py", "--quick", "--seeds", "2", "--data-dir", str(tmp_path / "data")])
    ablation.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in rows[2:]] == ["default", "mean logits of five shifted copies", *some[1:]]
    assert len({tuple(row[1:]) for row in rows[2:]}) == 5 and all(len(row) == 5 for row in rows[2:])


@pytest.mark.parametrize("benchmark", [ablation, own_pictures, pages, speed, time_to_accuracy])
def test_help(benchmark, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--help"])
    with pytest.raises(SystemExit) as exit_info:
        benchmark.main()
    assert exit_info.value.code == 0 and "default: " in capsys.readouterr().out


def draw_on(page: pages.Page, digits: list[int], height: int = 200, seed: int = 0) -> Image.Image:
    """Return the photograph of a page with drawn digits."""
    images = [np.asarray(draw_digit(digit, (28, 28), (6, 4, 22, 24), pen=2.5)) for digit in digits]
    return Image.open(io.BytesIO(pages.photograph(page, images, height, np.random.default_rng(seed))))


@pytest.mark.parametrize("digit", range(10))
def test_pages_show_the_digits_written_on_them(digit, shipped_model):
    plain = pages.PAGES["plain"]
    for pen in pages.ON_PAPER:
        picture = draw_on(plain._replace(pens=(pen,)), [digit])
        assert read_digit(shipped_model, prepare(picture)) == digit


def test_pens_are_as_wide_as_they_say():
    """A vertical stroke is 3 pixels wide in the image: 30 where the digit is ten times as large, 9 as a ball pen's."""
    image = np.zeros((28, 28), dtype=np.uint8)
    image[4:24, 12:15] = 255
    for pen, widest in (("black", 30), ("black ball pen", 9)):
        strokes = pages.draw_strokes(image, pages.PENS[pen], height=200)
        widths = strokes[strokes.shape[0] // 2 - 20 : strokes.shape[0] // 2 + 20].sum(axis=1)
        assert abs(widths.mean() - widest) < 3
        assert 165 <= (strokes.max(axis=1) > 0.5).sum() <= 205  # thinning shortens the ends


def test_every_kind_of_page_is_what_it_says():
    """Twice the same from one seed; what is printed, shadowed or folded has edges that a plain sheet has not."""
    edges = {}
    for kind, page in pages.PAGES.items():
        files = [pages.photograph(page, [], 100, np.random.default_rng(3)) for _ in range(2)]
        assert files[0] == files[1]
        grey = np.asarray(Image.open(io.BytesIO(files[0])).convert("L"), dtype=float)
        assert grey.shape == pages.SIZE[::-1]
        blocks = grey.reshape(60, 8, 80, 8).mean(axis=(1, 3)) / np.median(grey)
        edges[kind] = np.percentile(abs(np.diff(blocks, axis=0)), 99)
    for kind in ("dark ruled", "dark squared", "hard shadow", "two shadows", "crumpled", "note on a desk"):
        assert edges[kind] > 3 * edges["plain"]
    assert len(pages.PAGES) >= 15


def test_numbers_stand_side_by_side():
    images = [np.asarray(draw_digit(0, (28, 28), (6, 4, 22, 24), pen=2.5))] * 5
    for seed in range(20):
        random = np.random.default_rng(seed)
        sheet = pages.write_page(pages.PAGES["plain"]._replace(pens=("black",)), images, 130, random)
        columns = (sheet.min(axis=(0, 2)) < 0.5).astype(int)
        assert (np.diff(columns) == 1).sum() == 5  # each begins after a gap
        assert columns.argmax() > 0.05 * len(columns) and columns[::-1].argmax() > 0.05 * len(columns)


def test_table_of_pages(generated_mnist, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(pages, "PAGES", {kind: pages.PAGES[kind] for kind in ("plain", "two shadows")})
    arguments = ["--each", 5, "--data-dir", generated_mnist, "--sheet", tmp_path / "sheet.png"]
    monkeypatch.setattr(sys, "argv", ["pages.py", *map(str, arguments)])
    pages.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert [row[0] for row in rows] == ["page", "---", "plain", "two shadows", "**all**"]
    assert all(len(row) == len(rows[0]) for row in rows)
    assert float(rows[2][1].split()[0]) >= 60 and rows[2][-1] == "0 of 1" and rows[4][-1].endswith(" of 2")
    assert lines[-1] == f"Figure saved to {tmp_path / 'sheet.png'}" and (tmp_path / "sheet.png").exists()
