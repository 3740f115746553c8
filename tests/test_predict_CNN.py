"""Predicting pictures drawn here, as a process, the way a user runs it."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import predict_CNN
from digits.command_line import MODEL_PATH
from digits.formatting import format_prediction
from digits.reading.digits import Digit
from tests.helpers import draw_digit, draw_four, draw_three, encode, run_predict


@pytest.mark.parametrize("name", ["my own four.png", 'it\'s "4".png', "vier_äöü_四.png", "-4.png", "$x_$.png"])
def test_odd_names(name, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(encode(draw_four(), "PNG"))
    assert run_predict(monkeypatch, "--", name) == 0
    output, error = capsys.readouterr()
    assert output.startswith(f"{name}: Digit 4 (") and error == ""
    assert (tmp_path / "figures" / "prediction_1.png").exists()


def test_trained_weights_predict_a_drawn_picture(training, run_script, tmp_path):
    draw_digit(4, (200, 300), (30, 40, 150, 240), pen=20).save(tmp_path / "four.png")
    result = run_script("predict_CNN.py", "four.png", "--no-plot", "--model-path", training[1], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"four\.png: Digit 4 \(\d+\.\d\d %\)\n", result.stdout)


def test_predictions_in_words():
    sure, unsure = np.full(10, 0.0), np.full(10, 0.0)
    sure[8], sure[3] = 0.9998, 0.0002
    unsure[8], unsure[3] = 0.374, 0.5812
    image = np.zeros((28, 28), np.uint8)
    digits = [Digit(image, (left, 0, left + 10, 20), line) for left, line in ((0, 0), (12, 0), (60, 0), (0, 1))]
    assert format_prediction(digits[:1], np.stack([sure])) == "Digit 8 (99.98 %)"
    assert format_prediction(digits[:1], np.stack([unsure])) == "Digit 3 (58.12 %), perhaps 8 (37.40 %)"
    assert format_prediction(digits, np.stack([sure] * 4)) == "Digits 88 8 / 8 (at least 99.98 %)"
    text = "Digits 83 8 / 8 (at least 58.12 %), digit 2 is 3, perhaps 8 (37.40 %)"
    assert format_prediction(digits, np.stack([sure, unsure, sure, sure])) == text


def test_a_number_is_read_from_a_file_and_from_a_picture(shipped_model, monkeypatch, tmp_path, capsys):
    picture = Image.new("RGBA", (400, 200), (255, 255, 255, 0))
    for digit, left in ((4, 40), (2, 160), (3, 280)):
        picture.paste((20, 20, 90, 255), mask=draw_digit(digit, (400, 200), (left, 40, left + 70, 150), pen=10))
    picture.save(tmp_path / "number.png")
    for source in (picture, tmp_path / "number.png", str(tmp_path / "number.png")):
        digits, probabilities = predict_CNN.read_digits(source, shipped_model)
        assert probabilities.argmax(axis=1).tolist() == [4, 2, 3]
        assert [digit.image.shape for digit in digits] == [(28, 28)] * 3 and probabilities.shape == (3, 10)
    monkeypatch.chdir(tmp_path)
    assert run_predict(monkeypatch, "number.png") == 0
    assert re.match(r"number\.png: Digits 423 \(at least \d+\.\d\d %\)\n", capsys.readouterr().out)
    with pytest.raises(ValueError, match="no digit found"):
        predict_CNN.read_digits(Image.new("1", (50, 50)), shipped_model)


def test_the_shipped_picture_from_anywhere(run_script, tmp_path):
    result = run_script("predict_CNN.py", "--no-plot", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("handwritten_digit.png: Digit 8 (") and result.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_figures_of_many_pictures(run_script, tmp_path):
    names = [f"a $ digit_{number}.png" for number in range(6)]
    for name in names:
        draw_three().save(tmp_path / name)
    result = run_script("predict_CNN.py", *names, "--figures-dir", "mine", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    predictions, saved = result.stdout.splitlines()[::2], result.stdout.splitlines()[1::2]
    assert all(line.startswith(f"{name}: Digit 3 (") for name, line in zip(names, predictions))
    assert saved == [f"Figure saved to {Path('mine', f'prediction_{number}.png')}" for number in range(1, 7)]
    for number in range(1, 7):
        with Image.open(tmp_path / "mine" / f"prediction_{number}.png") as figure:
            assert figure.size == (1000, 360)


def test_folders(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine" / "more").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("b.png", "a.JPG", "more/c.gif"):
        ImageOps.invert(draw_three()).save(tmp_path / "mine" / name)
    (tmp_path / "mine" / "notes.txt").write_text("no picture")
    (tmp_path / "mine" / "folder.png").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["predict_CNN.py", "mine", "empty", "--no-plot"])
    assert predict_CNN.main() == 1
    output, error = capsys.readouterr()
    names = [line.split(":")[0].replace("\\", "/") for line in output.splitlines()]
    assert names == ["mine/a.JPG", "mine/b.png", "mine/more/c.gif"]
    assert error == "predict_CNN.py: error: empty: no pictures in this folder\n"


@pytest.mark.parametrize("num_pictures, num_windows", [(5, 5), (6, 0)])
def test_few_pictures_are_shown_in_windows(num_pictures, num_windows, tmp_path, monkeypatch):
    saved, shown = [], []
    monkeypatch.setattr(predict_CNN, "save_figure", lambda path, draw, *data: not saved.append(path.name))
    monkeypatch.setattr(predict_CNN, "show_figure", lambda draw, *data: shown.append(data))
    (tmp_path / "four.png").write_bytes(encode(draw_four(), "PNG"))
    assert run_predict(monkeypatch, *[str(tmp_path / "four.png")] * num_pictures) == 0
    assert saved == [f"prediction_{number}.png" for number in range(1, num_pictures + 1)]
    assert len(shown) == num_windows


def test_figures_of_pictures_that_are_read(monkeypatch, tmp_path, capsys):
    """A figure named as a picture is read like any other, and never overwritten, not even through a link."""
    monkeypatch.chdir(tmp_path)
    Path("figures").mkdir()
    four = encode(draw_four(), "PNG")
    for path in (Path("figures", "prediction_1.png"), Path("four.png"), Path("figures", "prediction_4.png")):
        path.write_bytes(four)
    if sys.platform != "win32":
        Path("figures", "prediction_2.png").symlink_to(tmp_path / "four.png")
    arguments = [str(Path("figures", "prediction_1.png")), "four.png", "four.png"]
    assert run_predict(monkeypatch, *arguments) == 0
    assert Path("figures", "prediction_1.png").read_bytes() == Path("four.png").read_bytes() == four
    saved = [line.split("_")[-1] for line in capsys.readouterr().out.splitlines() if "Figure saved" in line]
    assert saved == (["2.png", "3.png", "4.png"] if sys.platform == "win32" else ["3.png", "4.png", "5.png"])


def test_a_folder_is_read_twice_alike(monkeypatch, tmp_path, capsys):
    """Neither its figures nor what a Mac hides beside the pictures is read."""
    monkeypatch.chdir(tmp_path)
    Path("four.png").write_bytes(encode(draw_four(), "PNG"))
    for name in ("._four.png", ".hidden/four.png", "more/figures/four.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(encode(draw_four(), "PNG"))
    for figures_dir in ("figures", "figures", "elsewhere", "elsewhere"):
        assert run_predict(monkeypatch, ".", "--figures-dir", figures_dir) == 0
        output, error = capsys.readouterr()
        lines = [line for line in output.splitlines() if "Figure saved" not in line]
        names = [line.split(":")[0] for line in lines]
        assert names == ["four.png", str(Path("more/figures/four.png"))] and error == ""


@pytest.mark.parametrize("quoted", ["*.png", "f?ur.png", "[a-f]*.png"])
def test_patterns_are_expanded(quoted, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("four.png", "fuur.png", "notes.txt"):
        Path(name).write_bytes(encode(draw_four(), "PNG"))
    assert run_predict(monkeypatch, "--no-plot", quoted) == 0
    names = [line.split(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["four.png", "fuur.png"]
    Path("[4].png").write_bytes(encode(draw_four(), "PNG"))  # a name, not a pattern
    assert run_predict(monkeypatch, "--no-plot", "[4].png", "*.gif") == 1
    output, error = capsys.readouterr()
    assert output.startswith("[4].png: Digit 4") and error.startswith("predict_CNN.py: error: *.gif: no such file")


def test_one_argument_that_the_system_refuses(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    Path("four.png").write_bytes(encode(draw_four(), "PNG"))
    assert run_predict(monkeypatch, "--no-plot", "x" * 300, "four.png") == 1
    output, error = capsys.readouterr()
    assert output.startswith("four.png: Digit 4 (")
    assert error.startswith(f"predict_CNN.py: error: {'x' * 300}: cannot be read (") and error.count("\n") == 1


@pytest.mark.parametrize("arguments", [[""], ["four.png", ""], ["--model-path", ""]])
def test_an_empty_argument_is_an_error(arguments, monkeypatch, capsys):
    assert run_predict(monkeypatch, "--no-plot", *arguments) == 2
    assert "an empty argument names no file" in capsys.readouterr().err


def test_home_is_expanded(monkeypatch, tmp_path, capsys):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    Path("four.png").write_bytes(encode(draw_four(), "PNG"))
    shutil.copy(MODEL_PATH, tmp_path / "copy.pth")
    arguments = ("--model-path", "~/copy.pth", "--figures-dir", "~/mine")
    assert run_predict(monkeypatch, "~/four.png", *arguments) == 0
    assert "four.png: Digit 4 (" in capsys.readouterr().out and Path("mine", "prediction_1.png").exists()
    monkeypatch.setattr(predict_CNN, "image_path", "~/four.png")
    assert run_predict(monkeypatch, "--no-plot") == 0
    assert not Path("~").exists()


def test_folder_named_in_the_script(tmp_path, monkeypatch, capsys):
    """Pictures of a folder beside the script are named from there."""
    (tmp_path / "mine" / "more").mkdir(parents=True)
    for name in ("b.png", "more/a.png"):
        (tmp_path / "mine" / name).write_bytes(encode(draw_four(), "PNG"))
    monkeypatch.setattr(predict_CNN, "PROJECT_DIR", tmp_path)
    monkeypatch.setattr(predict_CNN, "image_path", "mine")
    assert run_predict(monkeypatch, "--no-plot") == 0
    names = [line.split(":")[0].replace("\\", "/") for line in capsys.readouterr().out.splitlines()]
    assert names == ["mine/b.png", "mine/more/a.png"]
