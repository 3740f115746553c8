"""The file of the weights against everything that can befall it."""

from __future__ import annotations

import functools
import io
import os
import pickle
import subprocess
import sys
import tarfile
import time
import warnings
import zipfile
from pathlib import Path

import pytest
import torch

import predict_CNN
import test_CNN
from digits import weights
from digits.command_line import FINDER_PATH, MODEL_PATH, PROJECT_DIR
from digits.weights import check_model_path, load_finder, load_weights, save_weights
from model import CNN
from tests.fuzz import fuzz
from tests.helpers import make_trained_like_model, run_here


def test_weights_come_back(tmp_path):
    model = make_trained_like_model(num_classes=7)
    save_weights(model, tmp_path / "a.pth")
    loaded = load_weights(tmp_path / "a.pth", num_classes=7)
    assert not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    save_weights(model, tmp_path / "another name.pth")
    assert (tmp_path / "a.pth").read_bytes() == (tmp_path / "another name.pth").read_bytes()


def test_failed_save_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "cnn_.pth"
    path.write_bytes(b"precious")

    def fail(descriptor: int) -> None:
        assert os.fstat(descriptor).st_size > 1_600_000  # all of it has been handed to the system
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weights.os, "fsync", fail)
    with pytest.raises(OSError, match=r"could not be saved at .*No space left on device.*make room.*--model-path"):
        save_weights(CNN(), path)
    assert path.read_bytes() == b"precious" and os.listdir(tmp_path) == ["cnn_.pth"]


SAVER = """
import sys
from digits.weights import save_weights
from model import CNN
print("ready", flush=True)
while True:
    save_weights(CNN(), sys.argv[1])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("seconds", [0.05, 0.1, 0.15])
@pytest.mark.slow
def test_kill_leaves_a_complete_file(seconds, tmp_path):
    """Two processes that save into the same path all the time are killed."""
    path = tmp_path / "cnn_.pth"
    save_weights(CNN(), path)
    command = [sys.executable, "-c", SAVER, str(path)]
    processes = [subprocess.Popen(command, cwd=PROJECT_DIR, stdout=subprocess.PIPE) for _ in range(2)]
    for process in processes:
        process.stdout.readline()
    time.sleep(seconds)
    for process in processes:
        assert process.poll() is None
        process.kill()
        process.communicate()
    load_weights(path)


def test_check_model_path(tmp_path):
    """It makes the folder and deletes what was left there half written, but spares what is being written."""
    path = tmp_path / "a" / "b" / "cnn_.pth"
    check_model_path(path)
    assert os.listdir(path.parent) == []
    for name, age in (("cnn_.pth.1.tmp", 5), ("cnn_.pth.2.tmp", 1000), ("other.pth.3.tmp", 1000)):
        (path.parent / name).touch()
        os.utime(path.parent / name, (time.time() - age, time.time() - age))
    check_model_path(path)
    assert sorted(os.listdir(path.parent)) == ["cnn_.pth.1.tmp", "other.pth.3.tmp"]
    inside_a_file = path.parent / "other.pth.3.tmp" / "cnn_.pth"
    for wrong, part in ((tmp_path / "a", "is a folder"), (inside_a_file, "cannot write")):
        with pytest.raises(OSError, match=f"{part}.*; name .* with --model-path"):
            check_model_path(wrong)


class RunsCode:
    """Runs code when it is unpickled by a loader that trusts its file."""

    def __reduce__(self):
        """Tell the loader to make a file named `ran` in the current folder."""
        return os.mkdir, ("ran",)


def to_bytes(content, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


@functools.lru_cache(maxsize=None)
def bad_weights() -> dict[str, bytes]:
    good, not_a_number = to_bytes(CNN().state_dict()), CNN()
    middle = len(good) // 2
    torch.nn.init.constant_(not_a_number.get_parameter("layers.0.bias"), float("nan"))
    return {
        "empty": b"",
        "text": b"these are no weights\n" * 50,
        "cut in the middle": good[:middle],
        "cut at the end": good[:-1],
        "bit flipped": good[:middle] + bytes([good[middle] ^ 16]) + good[middle + 1 :],
        "another network": to_bytes(torch.nn.Linear(784, 10).state_dict()),
        "another number of classes": to_bytes(CNN(num_classes=26).state_dict()),
        "not a number": to_bytes(not_a_number.state_dict()),
        "a list": to_bytes([1, 2, 3]),
        "no dictionary in the metadata": to_bytes(with_metadata([1])),
        "code": to_bytes(RunsCode()),
        "code in a plain pickle": pickle.dumps(RunsCode()),
        "code in the format before PyTorch 1.6": to_bytes(RunsCode(), _use_new_zipfile_serialization=False),
        "a tar archive in front of a zip archive": tar_archive("storages") + good,
        "a zip archive that a tar reader opens": tar_archive("PK\x03\x04") + good,
        "a tar archive of the oldest kind in front of a zip archive": oldest_tar_archive() + good,
        "an archive of TorchScript": script_archive(),
    }


def tar_archive(name: str) -> bytes:
    """Return a tar archive of one empty file, whose name is the first thing in it."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return file.getvalue()


def oldest_tar_archive() -> bytes:
    """Return a tar archive as before POSIX, without a magic number, which readers still accept."""
    header = bytearray(tar_archive("storages"))
    header[257:265] = bytes(8)
    checksum = sum(header[:148]) + 8 * ord(" ") + sum(header[156:512])
    header[148:156] = b"%06o\0 " % checksum
    return bytes(header)


def script_archive() -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), file)
    return file.getvalue()


def with_metadata(metadata: object) -> dict:
    state_dict = CNN().state_dict()
    setattr(state_dict, "_metadata", metadata)  # noqa: B010
    return state_dict


@pytest.mark.parametrize("case", bad_weights())
def test_bad_weights_raise_one_clear_error(case, tmp_path, monkeypatch):
    """None runs code: PyTorch up to 2.5.1 does so from a crafted tar archive (CVE-2025-32434), so it sees none."""
    monkeypatch.chdir(tmp_path)
    path, loaded = tmp_path / "cnn_.pth", []
    path.write_bytes(bad_weights()[case])
    with pytest.raises(ValueError, match=r"cnn_\.pth .*python train_CNN\.py"):
        load_weights(path)
    assert not Path("ran").exists()
    assert tarfile.is_tarfile(path) == ("tar archive" in case or "tar reader" in case)
    if "archive" in case or "plain pickle" in case or "1.6" in case:
        for module in (torch, torch.jit):
            monkeypatch.setattr(module, "load", lambda *_, **__: loaded.append(True))
        with pytest.raises(ValueError, match=r"cnn_\.pth"):
            load_weights(path)
        assert not loaded


def test_weights_of_other_versions(tmp_path):
    """The same keys and shapes, but from before the network deskewed its images: told apart by the file alone."""
    path, state_dict = tmp_path / "cnn_.pth", CNN().state_dict()
    path.write_bytes(to_bytes(state_dict, _use_new_zipfile_serialization=False))
    with pytest.raises(ValueError, match=r"cnn_\.pth was saved by a PyTorch older than 1\.6; make it anew with python"):
        load_weights(path)
    for older in (dict(state_dict), with_metadata({"": {"version": 1}})):
        torch.save(older, path)
        with pytest.raises(ValueError, match=r"cnn_\.pth is from another version of this project.*train_CNN\.py"):
            load_weights(path)
    torch.save(state_dict, path)
    load_weights(path)


def test_scripts_report_bad_weights_in_one_line(monkeypatch, tmp_path, capsys):
    for script, what in ((predict_CNN, "no such file; make it"), (test_CNN, "is damaged or does not hold the weights")):
        path = tmp_path / f"{script.__name__}.pth"
        if script is test_CNN:
            path.write_bytes(bad_weights()["another number of classes"])
        assert run_here(monkeypatch, script, "--model-path", path) == 1
        output, error = capsys.readouterr()
        assert error.startswith(f"{script.__name__}.py: error: {path}") and what in error and output == ""
        assert error.endswith("with python train_CNN.py\n") and error.count("\n") == 1


def test_weights_that_are_a_folder(tmp_path):
    with pytest.raises(OSError, match=r"cannot be read .*; name another file"):
        load_weights(tmp_path)


@pytest.mark.slow
def test_mutated_weights():
    outcomes, failures = fuzz("weights", 60)
    assert failures == [] and outcomes["is damaged or does not hold the weights of this network"] > 40


@pytest.mark.skipif(sys.platform == "win32", reason="on Windows, links need rights of their own")
def test_weights_behind_a_link(tmp_path, monkeypatch):
    """The file that a link leads to is replaced, and the link stays."""
    monkeypatch.chdir(tmp_path)
    Path("elsewhere").mkdir()
    Path("cnn_.pth").symlink_to(Path("elsewhere", "weights.pth"))
    check_model_path("cnn_.pth")
    save_weights(CNN(), "cnn_.pth")
    assert Path("cnn_.pth").is_symlink() and os.listdir("elsewhere") == ["weights.pth"]
    load_weights("elsewhere/weights.pth")


def test_weights_from_a_gpu_are_loaded_without_one(tmp_path):
    """A file whose tensors are marked as on a GPU, as a plain torch.save writes there, is read on the CPU."""
    path = tmp_path / "cnn_.pth"
    with zipfile.ZipFile(io.BytesIO(to_bytes(CNN().state_dict()))) as good, zipfile.ZipFile(path, "w") as from_gpu:
        for name in good.namelist():
            content = good.read(name)
            if name.endswith("data.pkl"):
                assert content.count(b"X\x03\x00\x00\x00cpu") == 1  # the rest of the tensors refer to it
                content = content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
            from_gpu.writestr(name, content)
    model = load_weights(path)
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"}


def test_weights_of_the_other_network(tmp_path):
    """Each network tells its own weights from the other's, and names the command that makes them."""
    with pytest.raises(ValueError, match=r"of this network; make it anew with python -m digits.reading.train_finder"):
        load_finder(MODEL_PATH)
    with pytest.raises(ValueError, match=r"weights of this network; make it anew with python train_CNN.py"):
        load_weights(FINDER_PATH)
    with pytest.raises(FileNotFoundError, match=r"make it with python -m digits.reading.train_finder"):
        load_finder(tmp_path / "finder.pth")
