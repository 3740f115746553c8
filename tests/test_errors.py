"""What beginners run into: bad files, odd places, closed outputs. Each ends in one line, and nothing is lost."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
import zlib
from pathlib import Path

from command_line import run_script as run_main

import pytest
from conftest import PROJECT_DIR
from fuzz_pictures import fuzz
from generated_digits import draw_digit
from PIL import Image, ImageOps

import predict_CNN
from picture import read_picture


def to_bytes(picture: Image.Image, file_type: str, **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, file_type, **options)
    return file.getvalue()


def draw_four() -> Image.Image:
    return ImageOps.invert(draw_digit(4, (160, 160), (40, 30, 120, 130), pen=9))


def huge_png(width: int, height: int) -> bytes:
    """Return a whole PNG of one bit a pixel, all black, packed as it is made, so that no memory is needed for it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([1, 0, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def bad_pictures() -> dict[str, tuple[bytes, str]]:
    """Return the bytes of files by their names, and a part of what is said about each."""
    four = draw_four()
    png, jpeg = to_bytes(four, "PNG"), to_bytes(four, "JPEG")
    stripes = Image.linear_gradient("L").resize((1, 60)).point(lambda value: value % 40 * 6)
    return {
        "empty.png": (b"", "not a picture"),
        "text.png": (b"no picture at all", "not a picture"),
        "half.png": (png[: len(png) // 2], "damaged"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "damaged"),
        "dot.png": (to_bytes(Image.new("L", (1, 1)), "PNG"), "no digit found"),
        "stripes.png": (to_bytes(stripes, "PNG"), "no digit found"),
        "line.png": (to_bytes(Image.new("L", (1, 5000), 255), "PNG"), "no digit found"),
        "row.png": (to_bytes(Image.new("L", (5000, 1), 255), "PNG"), "no digit found"),
        "huge.png": (huge_png(30_000, 30_000), "50 million pixels"),
        "large.png": (huge_png(12_000, 10_000), "50 million pixels"),
    }


def run_predict(monkeypatch, *names: str) -> int:
    monkeypatch.setattr(sys, "argv", ["predict_CNN.py", *names])
    with pytest.raises(SystemExit) as exit_info:
        run_main(predict_CNN.main)
    return exit_info.value.code


def test_bad_pictures(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    cases = bad_pictures()
    for name, (data, _) in cases.items():
        Path(name).write_bytes(data)
    assert run_predict(monkeypatch, "--no-plot", *cases, "missing.png") == 1
    output, error = capsys.readouterr()
    assert output == ""
    lines = error.splitlines()
    assert len(lines) == len(cases) + 1
    for line, (name, (_, part)) in zip(lines, cases.items()):
        assert line.startswith(f"predict_CNN.py: error: {name}: ") and part in line


def test_picture_without_permission(monkeypatch, capsys):
    def refuse(path, *arguments):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", refuse)  # as for a user other than root
    assert run_predict(monkeypatch, "--no-plot", "secret.png") == 1
    assert "secret.png: " in (error := capsys.readouterr().err) and "Permission denied" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("name", ["my own four.png", 'it\'s "4".png', "vier_äöü_四.png", "-4.png", "$x_$.png"])
def test_odd_names(name, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(to_bytes(draw_four(), "PNG"))
    assert run_predict(monkeypatch, "--", name) == 0
    output, error = capsys.readouterr()
    assert output.startswith(f"{name}: Digit 4 (") and error == ""
    assert (tmp_path / "prediction_1.png").exists()


def test_damaged_exif_does_not_hide_the_picture(tmp_path):
    for exif in (
        b"Exif\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + bytes(200),
        b"nonsense",
    ):
        picture = read_picture(io.BytesIO(to_bytes(draw_four(), "JPEG", exif=exif)))
        assert picture.size == (160, 160)


def test_large_photo_is_reduced_while_it_is_decoded():
    photo = draw_four().resize((9000, 9000))  # 81 million pixels, more than are decoded whole
    picture = read_picture(io.BytesIO(to_bytes(photo, "JPEG")))
    assert max(picture.size) == 256


def test_mutated_pictures():
    outcomes, failures = fuzz(800)
    assert failures == []
    assert outcomes["read"] > 50 and outcomes["the picture is damaged"] > 50 and sum(outcomes.values()) == 800


def test_figure_that_cannot_be_saved_costs_no_answer(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    Path("prediction_1.png").mkdir()  # in the way, as a folder that cannot be written to would be
    Path("four.png").write_bytes(to_bytes(draw_four(), "PNG"))
    assert run_predict(monkeypatch, "four.png") == 0
    output, error = capsys.readouterr()
    assert output.startswith("four.png: Digit 4 (") and output.count("\n") == 1
    assert "prediction_1.png could not be drawn" in error and error.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no links and no home in this sense")
def test_from_anywhere_through_a_link_and_with_all_warnings(tmp_path):
    """Another folder, a link in a path with spaces, no home, no display, and every warning an error of ours."""
    folder = tmp_path / "my own folder"
    folder.mkdir()
    (folder / "predict link.py").symlink_to(PROJECT_DIR / "predict_CNN.py")
    environment = {name: value for name, value in os.environ.items() if name not in ("HOME", "DISPLAY", "MPLBACKEND")}
    modules = "command_line", "model", "picture", "plots", "predict_CNN", "__main__"
    flags = [part for module in modules for part in ("-W", f"error:::{module}")]
    command = [sys.executable, *flags, str(folder / "predict link.py")]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith("handwritten_digit.png: Digit 8 (")
    assert (tmp_path / "prediction_1.png").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_closed_output(tmp_path):
    (tmp_path / "four.png").write_bytes(to_bytes(draw_four(), "PNG"))
    command = [sys.executable, str(PROJECT_DIR / "predict_CNN.py"), "--no-plot", *["four.png"] * 300]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("four.png: Digit 4")
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status >> 8
    assert process.returncode == 1
    assert error == "predict_CNN.py: error: stopped, as its output was closed; run it without a pipe\n"
    if sys.platform == "linux":
        assert usage.ru_maxrss < 1_000_000  # kilobytes


@pytest.mark.parametrize(
    "error, status, line",
    [
        (OSError("no disk; buy one"), 1, "predict_CNN.py: error: no disk; buy one\n"),
        (ValueError("bad"), 1, "predict_CNN.py: error: bad\n"),
    ],
)
def test_expected_errors_become_one_line(error, status, line, monkeypatch, capsys):
    def main():
        raise error

    monkeypatch.setattr(sys, "argv", ["/some/where/predict_CNN.py"])
    with pytest.raises(SystemExit) as exit_info:
        run_main(main)
    assert exit_info.value.code == status
    assert capsys.readouterr().err == line


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals to one process")
@pytest.mark.parametrize("seconds, number", [(0.05, signal.SIGINT), (0.4, signal.SIGTERM)])
def test_interrupted_while_torch_is_loaded(seconds, number, tmp_path):
    program = (
        "import runpy, sys; sys.path.insert(0, sys.argv[1]); sys.argv = ['predict_CNN.py']; "
        "import command_line; print('ready', flush=True); runpy.run_path(sys.path[0] + '/predict_CNN.py')"
    )
    command = [sys.executable, "-c", program, str(PROJECT_DIR)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=tmp_path, text=True, **streams)
    assert process.stdout.readline() == "ready\n"
    time.sleep(seconds)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error == "predict_CNN.py: error: interrupted; run it again when you like\n"


def test_torch_is_loaded_after_what_answers_an_interrupt():
    for script in ("train_CNN.py", "test_CNN.py", "predict_CNN.py"):
        source = (PROJECT_DIR / script).read_text()
        assert source.index("from command_line import run_script") < source.index("import torch")


def test_mistakes_of_ours_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run_main(lambda: 1 // 0)
