"""The network against arithmetic done by hand, and the file of its weights against everything that can befall it."""

from __future__ import annotations

import io
import os
import pickle
import random
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import PROJECT_DIR, assert_one_line_error

import model as model_module
from model import CNN, check_model_path, load_weights, predict_logits, save_weights


def make_trained_like_model(num_classes: int = 10) -> CNN:
    """Return a CNN whose batch norms have seen images, with negative factors among theirs."""
    torch.manual_seed(0)
    model = CNN(num_classes)
    for layer in model.layers:
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
    model.train()
    model(torch.rand(50, 1, 28, 28))
    return model.eval()


def test_parameter_count():
    convolutions = (3 * 3 * 1 * 32 + 32) + (3 * 3 * 32 * 64 + 64)
    batch_norms = 2 * 32 + 2 * 64
    linear_layers = (7 * 7 * 64 * 128 + 128) + (128 * 10 + 10)
    assert convolutions + batch_norms + linear_layers == 421_834
    parameters = [parameter for parameter in CNN().parameters() if parameter.requires_grad]
    assert sum(parameter.numel() for parameter in parameters) == 421_834
    assert sum(parameter.numel() for parameter in CNN(num_classes=26).parameters()) == 421_834 + 16 * 129


def test_same_bits_as_the_order_of_the_table():
    """Convolution, batch norm, leaky ReLU, max-pool: the network pools before it rectifies."""
    model = make_trained_like_model()
    images = torch.rand(20, 1, 28, 28)
    values = images
    for conv, norm in ((0, 1), (4, 5)):
        conv, norm = model.layers[conv], model.layers[norm]
        values = F.conv2d(values, conv.weight, conv.bias, stride=1, padding=1)
        values = F.batch_norm(values, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5)
        values = F.max_pool2d(F.leaky_relu(values, 0.01), kernel_size=2, stride=2)
    assert values.shape == (20, 64, 7, 7)
    first, second = model.layers[9], model.layers[11]
    values = F.leaky_relu(F.linear(values.reshape(20, 3136), first.weight, first.bias), 0.01)
    logits = F.linear(values, second.weight, second.bias)
    with torch.no_grad():
        assert torch.equal(model(images), logits)


def test_predict_logits():
    model = make_trained_like_model().train()
    images = torch.randint(0, 256, (7, 1, 28, 28), dtype=torch.uint8)
    logits = predict_logits(model, images, batch_size=3)
    assert logits.shape == (7, 10) and not logits.requires_grad
    assert not model.training
    for image, row in zip(images, logits):  # a digit's answer does not depend on the others in its batch
        torch.testing.assert_close(model(image[None] / 255)[0], row, rtol=1e-4, atol=1e-5)


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
    save_weights(CNN(), path)
    old_bytes = path.read_bytes()

    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model_module.os, "fsync", fail)
    with pytest.raises(OSError, match=r"No space left on device.*--model-path"):
        save_weights(CNN(), path)
    assert path.read_bytes() == old_bytes
    assert os.listdir(tmp_path) == ["cnn_.pth"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_full_disk_keeps_the_old_file(tmp_path):
    import resource

    path = tmp_path / "cnn_.pth"
    save_weights(CNN(), path)
    old_bytes = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, limits[1]))  # bytes in a file, a third of what is needed
    try:
        with pytest.raises(OSError, match=r"could not be saved at .*; make room there"):
            save_weights(CNN(), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == old_bytes
    assert os.listdir(tmp_path) == ["cnn_.pth"]


NUM_KILLS = int(os.environ.get("NUM_KILLS", 2))  # more than in every run: NUM_KILLS=50 python -m pytest -k kill


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_kill_leaves_a_complete_file(tmp_path):
    """Two processes that save into the same path all the time are killed; the file is always one of theirs, whole."""
    path = tmp_path / "cnn_.pth"
    save_weights(CNN(), path)
    program = (
        "import sys; from model import *; model = CNN(); print('ready', flush=True)\n"
        "while True: save_weights(model, sys.argv[1])"
    )
    generator = random.Random(0)
    for _ in range(NUM_KILLS):
        command = [sys.executable, "-c", program, str(path)]
        processes = [subprocess.Popen(command, cwd=PROJECT_DIR, stdout=subprocess.PIPE) for _ in range(2)]
        for process in processes:
            process.stdout.readline()
        time.sleep(generator.uniform(0.02, 0.2))
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()
        load_weights(path)
        # What was left half written goes when the next training begins, once it is old.
        for leftover in tmp_path.glob("*.tmp"):
            os.utime(leftover, (0, 0))
        check_model_path(path)
        assert os.listdir(tmp_path) == ["cnn_.pth"]


def test_check_model_path_spares_what_is_being_written(tmp_path):
    for name, age in (("cnn_.pth.1.tmp", 5), ("cnn_.pth.2.tmp", 1000), ("other.pth.3.tmp", 1000)):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    check_model_path(tmp_path / "cnn_.pth")
    assert sorted(os.listdir(tmp_path)) == ["cnn_.pth.1.tmp", "other.pth.3.tmp"]


class RunsCode:
    """Runs code when it is unpickled by a loader that trusts its file."""

    def __reduce__(self):
        """Tell the loader to make a file named `ran` in the current folder."""
        return os.mkdir, ("ran",)


def flip_bit(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 16]) + data[position + 1 :]


def to_bytes(content, **options) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def bad_weights() -> dict[str, bytes]:
    good = to_bytes(CNN().state_dict())
    not_a_number = CNN()
    torch.nn.init.constant_(not_a_number.layers[0].bias, float("nan"))
    other_archive = io.BytesIO()
    with zipfile.ZipFile(other_archive, "w") as archive:
        archive.writestr("archive/data.pkl", b"nonsense")
    return {
        "empty": b"",
        "text": b"these are no weights\n" * 50,
        "cut in the middle": good[: len(good) // 2],
        "cut at the end": good[:-1],
        "bit flipped in a weight": flip_bit(good, len(good) // 2),
        "bit flipped in the header": flip_bit(good, 100),
        "another zip archive": other_archive.getvalue(),
        "another network": to_bytes(torch.nn.Linear(784, 10).state_dict()),
        "another number of classes": to_bytes(CNN(num_classes=26).state_dict()),
        "not a number": to_bytes(not_a_number.state_dict()),
        "a list": to_bytes([1, 2, 3]),
        "code": to_bytes(RunsCode()),
        "code in a plain pickle": pickle.dumps(RunsCode()),
    }


@pytest.mark.parametrize("case", bad_weights())
def test_bad_weights_raise_one_clear_error(case, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "cnn_.pth"
    path.write_bytes(bad_weights()[case])
    with pytest.raises(ValueError, match=r"cnn_\.pth .*python train_CNN\.py"):
        load_weights(path)
    assert not Path("ran").exists()


def test_weights_cut_anywhere_raise_one_clear_error(tmp_path):
    good = to_bytes(CNN().state_dict())
    path = tmp_path / "cnn_.pth"
    for length in range(0, len(good), len(good) // 200):
        path.write_bytes(good[:length])
        with pytest.raises(ValueError, match=r"cnn_\.pth"):
            load_weights(path)


@pytest.mark.parametrize(
    "script, case",
    [
        ("predict_CNN.py", "missing"),
        ("test_CNN.py", "another number of classes"),
    ],
)
def test_scripts_say_bad_weights_in_one_line(script, case, run_script, tmp_path):
    path = tmp_path / "cnn_.pth"
    if case != "missing":
        path.write_bytes(bad_weights()[case])
    result = run_script(script, "--model-path", path)
    assert_one_line_error(result, script, str(path), "python train_CNN.py")
    assert result.stdout == ""


def test_weights_that_are_a_folder(tmp_path):
    with pytest.raises(OSError, match=r"cannot be read .*; name a file with --model-path"):
        load_weights(tmp_path)


def test_check_model_path(tmp_path):
    check_model_path(tmp_path / "a" / "b" / "cnn_.pth")
    assert os.listdir(tmp_path / "a" / "b") == []
    with pytest.raises(OSError, match="is a folder"):
        check_model_path(tmp_path / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot write"):
        check_model_path(tmp_path / "file" / "cnn_.pth")
