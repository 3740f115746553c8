"""Predicting pictures drawn here, as a process, the way a user runs it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import run_predict
from generated_digits import draw_digit, draw_four, draw_three, encode
from PIL import Image, ImageDraw, ImageOps

import predict_CNN
from digits.command_line import PROJECT_DIR
from digits.preparation import find_digits
from predict_CNN import format_answer


@pytest.mark.parametrize("name", ["my own four.png", 'it\'s "4".png', "vier_äöü_四.png", "-4.png", "$x_$.png"])
def test_odd_names(name, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(encode(draw_four(), "PNG"))
    assert run_predict(monkeypatch, "--", name) == 0
    output, error = capsys.readouterr()
    assert output.startswith(f"{name}: Digit 4 (") and error == ""
    assert (tmp_path / "prediction_1.png").exists()


def test_figure_that_cannot_be_saved_costs_no_answer(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    Path("prediction_1.png").mkdir()  # in the way, as a folder that cannot be written to would be
    Path("four.png").write_bytes(encode(draw_four(), "PNG"))
    assert run_predict(monkeypatch, "four.png") == 0
    output, error = capsys.readouterr()
    assert output.startswith("four.png: Digit 4 (") and output.count("\n") == 1
    assert "prediction_1.png could not be drawn" in error and error.count("\n") == 1


def test_trained_weights_predict_a_drawn_picture(training, run_script, tmp_path):
    draw_digit(4, (200, 300), (30, 40, 150, 240), pen=20).save(tmp_path / "four.png")
    result = run_script("predict_CNN.py", "four.png", "--no-plot", "--model-path", training[1], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"four\.png: Digit 4 \(\d+\.\d\d %\)\n", result.stdout)


def test_answers():
    sure, unsure = np.full(10, 0.0), np.full(10, 0.0)
    sure[8], sure[3] = 0.9998, 0.0002
    unsure[8], unsure[3] = 0.374, 0.5812
    assert format_answer(np.stack([sure])) == "Digit 8 (99.98 %)"
    assert format_answer(np.stack([unsure])) == "Digit 3 (58.12 %), perhaps 8 (37.40 %)"
    assert format_answer(np.stack([sure, sure])) == "Digits 88 (99.98 %, 99.98 %)"
    assert format_answer(np.stack([sure, unsure])) == "Digits 83 (99.98 %, 58.12 %), the 3 perhaps 8 (37.40 %)"


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
    assert re.match(r"number\.png: Digits 423 \((\d+\.\d\d %(, )?){3}\)\n", capsys.readouterr().out)
    with pytest.raises(ValueError, match="no digit found"):
        predict_CNN.read_digits(Image.new("1", (50, 50)), shipped_model)


def test_a_leaning_digit_is_shown_as_the_network_sees_it(shipped_model):
    """A 1 that leans by a third of its height to the right, upright."""
    picture = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(picture).line([(80, 160), (120, 40)], fill=0, width=12)
    (digit,), probabilities = predict_CNN.read_digits(picture, shipped_model)
    assert probabilities.argmax() == 1 and digit.image.dtype == np.uint8
    rows = digit.image[5:23].astype(float)
    assert np.ptp(rows @ np.arange(28) / rows.sum(axis=1)) < 1
    rows = find_digits(picture)[0].image[5:23].astype(float)
    assert np.ptp(rows @ np.arange(28) / rows.sum(axis=1)) > 4


def test_the_shipped_picture_from_anywhere(run_script, tmp_path):
    result = run_script("predict_CNN.py", "--no-plot", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("handwritten_digit.png: Digit 8 (") and result.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_figures_of_many_pictures(run_script, tmp_path):
    names = [f"a $ digit_{number}.png" for number in range(6)]
    for name in names:
        draw_three().save(tmp_path / name)
    result = run_script("predict_CNN.py", *names, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    answers = [line for line in result.stdout.splitlines() if not line.startswith("Figure")]
    saved = [line for line in result.stdout.splitlines() if line.startswith("Figure")]
    assert len(answers) == 6 and all(line.startswith(f"{name}: Digit 3 (") for name, line in zip(names, answers))
    assert saved == [f"Figure saved to prediction_{page}.png" for page in (1, 2)]
    for page, size in ((1, (900, 1500)), (2, (900, 300))):
        with Image.open(tmp_path / f"prediction_{page}.png") as figure:
            assert figure.size == size


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


def test_a_bad_picture_does_not_stop_the_others(run_script, tmp_path):
    Image.new("L", (50, 50), 200).save(tmp_path / "blank.png")
    (tmp_path / "text.png").write_text("no picture")
    arguments = ("missing.png", "blank.png", "text.png", PROJECT_DIR / "handwritten_digit.png")
    result = run_script("predict_CNN.py", *arguments, "--no-plot", cwd=tmp_path)
    assert result.returncode == 1
    assert "handwritten_digit.png: Digit 8" in result.stdout
    missing, blank, text = result.stderr.splitlines()
    assert missing.startswith("predict_CNN.py: error: missing.png: no such file")
    assert blank == "predict_CNN.py: error: blank.png: no digit found"
    assert text.startswith("predict_CNN.py: error: text.png: not a picture")


@pytest.mark.parametrize("num_pictures, in_windows", [(5, True), (6, False)])
def test_few_pictures_are_shown_in_a_window(num_pictures, in_windows, tmp_path, monkeypatch):
    drawn = []
    rows = []

    def draw_somewhere(where: str, *data: list) -> bool:
        rows.append({len(column) for column in data})
        drawn.append(where)
        return True

    monkeypatch.setattr(predict_CNN, "show_figure", lambda draw, *data: draw_somewhere("window", *data))
    monkeypatch.setattr(predict_CNN, "save_figure", lambda path, draw, *data: draw_somewhere(path.name, *data))
    (tmp_path / "four.png").write_bytes(encode(draw_four(), "PNG"))
    assert run_predict(monkeypatch, *[str(tmp_path / "four.png")] * num_pictures) == 0
    assert drawn == (["window"] if in_windows else ["prediction_1.png", "prediction_2.png"])
    assert rows == ([{5}] if in_windows else [{5}, {1}])  # names, pictures, images, probabilities and answers alike


def test_more_pictures_than_are_kept_in_memory(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(predict_CNN, "PICTURES_PER_FIGURE", 2)
    monkeypatch.chdir(tmp_path)
    names = ["four.png", "blank.png", "four.png", "blank.png", "blank.png", "blank.png", "four.png"]
    for name, picture in (("four.png", draw_four()), ("blank.png", Image.new("L", (50, 50), 200))):
        (tmp_path / name).write_bytes(encode(picture, "PNG"))
    assert run_predict(monkeypatch, *names) == 1
    output, error = capsys.readouterr()
    answers = [line.split(" (")[0] for line in output.splitlines() if "Figure" not in line]
    assert answers == ["four.png: Digit 4"] * 3
    assert error == "predict_CNN.py: error: blank.png: no digit found\n" * 4
    assert sorted(path.name for path in tmp_path.glob("prediction_*")) == ["prediction_1.png", "prediction_2.png"]


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
