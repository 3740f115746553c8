"""Predicting pictures drawn here, the way a user does it."""

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
from tests.helpers import draw_digit, draw_four, encode, run_predict


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Return the current folder, a new one that is the home as well and holds four.png."""
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "four.png").write_bytes(encode(draw_four(), "PNG"))
    return tmp_path


def names_of(output: str) -> list[str]:
    """Return the names of the pictures in which a 4 was read, with slashes."""
    return [line.split(": Digit 4 (")[0].replace("\\", "/") for line in output.splitlines() if ": Digit 4 (" in line]


@pytest.mark.parametrize("name", ["my own four.png", 'it\'s "4".png', "vier_äöü_四.png", "-4.png", "$x_$.png"])
def test_odd_names(name, folder, monkeypatch, capsys):
    (folder / "four.png").rename(name)
    assert run_predict(monkeypatch, "--", name) == 0
    output, error = capsys.readouterr()
    assert names_of(output) == [name] and error == "" and Path("figures", "prediction_1.png").exists()


def test_trained_weights_predict_a_drawn_picture(training, run_script, tmp_path):
    draw_digit(4, (200, 300), (30, 40, 150, 240), pen=20).save(tmp_path / "four.png")
    result = run_script("predict_CNN.py", "four.png", "--no-plot", "--model-path", training[1], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"four\.png: Digit 4 \(\d+\.\d\d %\)\n", result.stdout)


def test_the_shipped_picture_from_anywhere(run_script, tmp_path):
    result = run_script("predict_CNN.py", "--no-plot", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("handwritten_digit.png: Digit 8 (") and result.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


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
    assert format_prediction(digits[:1], np.stack([0.6 * unsure])) == "Digit 3 (34.87 %), perhaps no digit (42.69 %)"


def test_probabilities_are_those_of_both_networks(shipped_model):
    """Of a digit that may be none: together they are as many as the finder's score."""
    image = np.asarray(draw_digit(3, (28, 28), (6, 4, 22, 24), pen=2.5))
    certain, doubtful = predict_CNN.predict_probabilities(
        [Digit(image, (0, 0, 9, 9), 0), Digit(image, (0, 0, 9, 9), 0, score=0.6)], shipped_model
    )
    np.testing.assert_allclose(certain.sum(), 1, rtol=1e-4)
    np.testing.assert_allclose(doubtful, 0.6 * certain, rtol=1e-4)


def test_a_number_is_read_from_a_file_and_from_a_picture(shipped_model, folder, monkeypatch, capsys):
    picture = Image.new("RGBA", (400, 200), (255, 255, 255, 0))
    for digit, left in ((4, 40), (2, 160), (3, 280)):
        picture.paste((20, 20, 90, 255), mask=draw_digit(digit, (400, 200), (left, 40, left + 70, 150), pen=10))
    picture.save("number.png")
    for source in (picture, Path("number.png"), "number.png"):
        digits, probabilities = predict_CNN.read_digits(source, shipped_model)
        assert probabilities.argmax(axis=1).tolist() == [4, 2, 3]
        assert [digit.image.shape for digit in digits] == [(28, 28)] * 3 and probabilities.shape == (3, 10)
    assert run_predict(monkeypatch, "--no-plot", "number.png") == 0
    assert re.match(r"number\.png: Digits 423 \(at least \d+\.\d\d %\)\n", capsys.readouterr().out)
    with pytest.raises(ValueError, match="no digit found"):
        predict_CNN.read_digits(Image.new("1", (50, 50)), shipped_model)


def test_ink_in_no_digit_is_reported(folder, monkeypatch, capsys):
    picture = ImageOps.invert(draw_digit(3, (640, 300), (60, 60, 180, 240), pen=16))
    picture.paste(0, (250, 140, 630, 160))
    picture.save("dash.png")
    assert run_predict(monkeypatch, "--no-plot", "dash.png", "four.png") == 0
    line = (
        r"predict_CNN\.py: warning: dash\.png: \d\d % of the ink is in no digit; crop the picture if one is missing\n"
    )
    assert re.fullmatch(line, capsys.readouterr().err)


def test_folders(folder, monkeypatch, capsys):
    """Their pictures are read, but neither figures nor what a Mac hides beside the pictures, twice alike."""
    Path("empty").mkdir()
    Path("folder.png").mkdir()
    Path("notes.txt").write_text("no picture")
    for name in ("b.JPG", "._four.png", ".hidden/four.png", "more/figures/four.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(encode(draw_four(), "JPEG" if name == "b.JPG" else "PNG"))
    for figures_dir in ("figures", "figures", "elsewhere", "elsewhere"):
        assert run_predict(monkeypatch, ".", "empty", "--figures-dir", figures_dir) == 1
        output, error = capsys.readouterr()
        assert names_of(output) == ["b.JPG", "four.png", "more/figures/four.png"]
        assert error == "predict_CNN.py: error: empty: no pictures in this folder\n"


@pytest.mark.parametrize("num_pictures, num_windows", [(5, 5), (6, 0)])
def test_few_pictures_are_shown_in_windows(num_pictures, num_windows, folder, monkeypatch):
    saved, shown = [], []
    monkeypatch.setattr(predict_CNN, "save_figure", lambda path, draw, *data: not saved.append(path.name))
    monkeypatch.setattr(predict_CNN, "show_figure", lambda draw, *data: shown.append(data))
    assert run_predict(monkeypatch, *["four.png"] * num_pictures) == 0
    assert saved == [f"prediction_{number}.png" for number in range(1, num_pictures + 1)]
    assert len(shown) == num_windows


def test_figures_of_pictures_that_are_read(folder, monkeypatch, capsys):
    """A figure named as a picture is read like any other, and never overwritten, not even through a link."""
    Path("figures").mkdir()
    four = Path("four.png").read_bytes()
    for name in ("prediction_1.png", "prediction_4.png"):
        Path("figures", name).write_bytes(four)
    if sys.platform != "win32":
        Path("figures", "prediction_2.png").symlink_to(folder / "four.png")
    assert run_predict(monkeypatch, Path("figures", "prediction_1.png"), "four.png", "four.png") == 0
    assert Path("figures", "prediction_1.png").read_bytes() == Path("four.png").read_bytes() == four
    saved = [line.split("_")[-1] for line in capsys.readouterr().out.splitlines() if "Figure saved" in line]
    assert saved == (["2.png", "3.png", "4.png"] if sys.platform == "win32" else ["3.png", "4.png", "5.png"])


@pytest.mark.parametrize("quoted", ["*.png", "f?ur.png", "[a-f]*.png"])
def test_patterns_are_expanded(quoted, folder, monkeypatch, capsys):
    for name in ("fuur.png", "notes.txt"):
        shutil.copy("four.png", name)
    assert run_predict(monkeypatch, "--no-plot", quoted) == 0
    assert names_of(capsys.readouterr().out) == ["four.png", "fuur.png"]
    shutil.copy("four.png", "[4].png")
    assert run_predict(monkeypatch, "--no-plot", "[4].png", "*.gif") == 1  # a name, not a pattern; a pattern of nothing
    output, error = capsys.readouterr()
    assert names_of(output) == ["[4].png"] and error.startswith("predict_CNN.py: error: *.gif: no such file")


@pytest.mark.parametrize(
    "arguments", [[""], ["four.png", ""], ["--model-path", ""], ["--draw", "four.png"], ["--draw"]]
)
def test_wrong_flags(arguments, monkeypatch, capsys):
    assert run_predict(monkeypatch, "--no-plot", *arguments) == 2
    part = (
        "--draw goes neither with pictures nor with --no-plot" if "--draw" in arguments else "an empty argument names"
    )
    assert part in capsys.readouterr().err


def test_home_is_expanded(folder, monkeypatch, capsys):
    shutil.copy(MODEL_PATH, "copy.pth")
    arguments = ("--model-path", "~/copy.pth", "--figures-dir", "~/mine")
    assert run_predict(monkeypatch, "~/four.png", *arguments) == 0
    assert "four.png: Digit 4 (" in capsys.readouterr().out and Path("mine", "prediction_1.png").exists()
    monkeypatch.setattr(predict_CNN, "image_path", "~/four.png")
    assert run_predict(monkeypatch, "--no-plot") == 0
    assert not Path("~").exists()


def test_folder_named_in_the_script(folder, monkeypatch, capsys):
    """Pictures of a folder beside the script are named from there."""
    Path("beside/mine/more").mkdir(parents=True)
    for name in ("b.png", "more/a.png"):
        shutil.copy("four.png", folder / "beside" / "mine" / name)
    monkeypatch.setattr(predict_CNN, "PROJECT_DIR", folder / "beside")
    monkeypatch.setattr(predict_CNN, "image_path", "mine")
    assert run_predict(monkeypatch, "--no-plot") == 0
    assert names_of(capsys.readouterr().out) == ["mine/b.png", "mine/more/a.png"]
