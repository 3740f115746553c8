"""Training on generated digits, as a process, the way a user runs it, and on MNIST."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import Any, Callable

import pytest
import torch

import train_CNN
from digits.command_line import DATA_DIR, PROJECT_DIR
from digits.deskewing import deskew
from digits.training.mnist import load_mnist
from digits.weights import load_weights
from model import CNN, predict_logits, to_floats
from tests.helpers import draw_images, needs_mnist, run_here, write_mnist

EPOCH_LINE = re.compile(
    r"Epoch (\d)/4: loss (\d\.\d{4}), validation loss (\d\.\d{4}), validation accuracy (\d+\.\d\d) %, "
    r"learning rate (\d\.\d{4}), (\d+\.\d) s"
)


def test_output_of_the_training(training):
    output, model_path = training
    lines = output.splitlines()
    assert lines[0].startswith("Device: ") and lines[0].endswith(", epochs: 4")
    assert lines[1] == "Images: 2320 to train with, 80 to validate with"
    epochs = [EPOCH_LINE.fullmatch(line).groups() for line in lines[2:6]]
    assert [int(epoch[0]) for epoch in epochs] == [1, 2, 3, 4]
    losses = [float(epoch[1]) for epoch in epochs]
    assert losses[-1] < losses[0] / 2
    assert float(epochs[-1][4]) < 0.01  # the learning rate at the end of its cycle
    assert lines[6] == f"Weights saved to {model_path}"
    assert lines[7].startswith(f"Validation accuracy {epochs[-1][3]} %, total time ")
    assert 0 < sum(float(epoch[5]) for epoch in epochs) <= float(lines[7].split()[-2]) + 0.3  # rounded
    assert float(lines[7].split()[-2]) < 300  # seconds, after which the test would have been ended
    assert lines[8] == f"Figure saved to {model_path.parent.parent / 'training_curves.png'}"
    assert len(lines) == 9 and "\r" not in output
    assert os.listdir(model_path.parent) == ["cnn_.pth"]


def test_one_seed_makes_the_same_bytes_whatever_the_test_images(tmp_path, monkeypatch, capsys):
    write_mnist(tmp_path, num_train=1500, num_test=50)

    def train(name: str, seed: int) -> bytes:
        arguments = ("--data-dir", tmp_path, "--epochs", 1, "--device", "cpu", "--no-plot")
        assert not run_here(monkeypatch, train_CNN, *arguments, "--seed", seed, "--model-path", tmp_path / name)
        return (tmp_path / name).read_bytes()

    first = train("first.pth", seed=5)
    for path in tmp_path.rglob("t10k-*"):
        path.write_bytes(b"")
    assert "left in this epoch" not in capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert train("second.pth", seed=5) == first
    assert re.search(r"\r  step 10/12, \d+ s left in this epoch \r {60}\rEpoch 1/1", capsys.readouterr().out)
    assert train("third.pth", seed=6) != first


def test_what_cannot_be_saved_keeps_the_old_weights(generated_mnist, tmp_path, monkeypatch, capsys):
    path = tmp_path / "cnn_.pth"
    path.write_bytes(b"precious")
    arguments = ("--data-dir", generated_mnist, "--learning-rate", 1e6)
    assert run_here(monkeypatch, train_CNN, *arguments, "--model-path", path) == 1
    error = "the loss is no longer a number, nothing is saved; try a smaller --learning-rate"
    assert capsys.readouterr().err == f"train_CNN.py: error: {error}\n"
    assert path.read_bytes() == b"precious" and os.listdir(tmp_path) == ["cnn_.pth"]
    assert run_here(monkeypatch, train_CNN, *arguments, "--model-path", tmp_path) == 1
    output, error = capsys.readouterr()  # checked before anything else is done
    assert output == "" and "--model-path" in error


WRONG_FLAGS = (
    "--epochs 0,--epochs ten,--batch-size -1,--batch-size 1000000000,--seed 9223372036854775808,--seed -1,"
    "--learning-rate 0,--device abacus,--unknown"
)


@pytest.mark.parametrize("arguments", WRONG_FLAGS.split(","))
def test_wrong_flags(arguments, monkeypatch, capsys):
    assert run_here(monkeypatch, train_CNN, *arguments.split()) == 2
    assert arguments.split()[0] in capsys.readouterr().err


def test_help_states_the_defaults(monkeypatch, capsys):
    assert run_here(monkeypatch, train_CNN, "--help") == 0
    output = " ".join(capsys.readouterr().out.split())
    for default in (train_CNN.EPOCHS, train_CNN.BATCH_SIZE, train_CNN.LEARNING_RATE, train_CNN.SEED):
        assert f"(default: {default})" in output


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals to one process")
@pytest.mark.slow
def test_interrupted_training_keeps_the_old_weights(generated_mnist, tmp_path):
    path = tmp_path / "cnn_.pth"
    path.write_bytes(b"precious")
    arguments = ["--data-dir", str(generated_mnist), "--epochs", "1000", "--no-plot", "--model-path", str(path)]
    command = [sys.executable, str(PROJECT_DIR / "train_CNN.py"), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not process.stdout.readline().startswith("Epoch 1/"):
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (143, "train_CNN.py: error: interrupted; run it again when you like\n")
    assert path.read_bytes() == b"precious" and os.listdir(tmp_path) == ["cnn_.pth"]


@needs_mnist
@pytest.mark.slow
def test_one_epoch_from_scratch(run_script, tmp_path):
    paths = ("--data-dir", DATA_DIR, "--model-path", tmp_path / "cnn_.pth")
    result = run_script("train_CNN.py", "--epochs", 1, *paths)
    assert result.returncode == 0, result.stderr
    assert "Images: 58000 to train with, 2000 to validate with" in result.stdout
    result = run_script("test_CNN.py", *paths)
    assert float(result.stdout.split()[1]) >= 99.0


def stand_still(monkeypatch, num_images: int, batch_size: int) -> tuple:
    """Return a new model, its optimizer and its schedule, without augmentation and with steps of length 0."""
    monkeypatch.setattr(train_CNN, "augment", lambda images, labels: images)
    torch.manual_seed(0)
    model, optimizer, scheduler = train_CNN.prepare_training(num_images, 1, "cpu", batch_size)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    monkeypatch.setattr(scheduler, "step", lambda: None)
    return model, optimizer, scheduler


def test_gradients_are_those_of_one_batch(monkeypatch):
    """An image that is shown in one batch, or in three."""
    image, gradients = torch.from_numpy(draw_images(1, seed=3)[0])[:, None], []
    for num_images in (4, 12):
        model, optimizer, scheduler = stand_still(monkeypatch, num_images, batch_size=4)
        images, labels = image.expand(num_images, 1, 28, 28), torch.full((num_images,), 7)
        train_CNN.train_epoch(model, optimizer, scheduler, images, labels, batch_size=4)
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert max(float(gradient.abs().max()) for gradient in gradients[0]) > 0.01
    for gradient, other in zip(*gradients):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-5)


def test_loss_and_batch_norm(monkeypatch):
    """With batch norm that does not look at the batch, the mean loss of an epoch is that of the images at once.

    Where the augmentation leaves nothing of the images, batch norm's averages are still those of the images.
    """
    model, optimizer, scheduler = stand_still(monkeypatch, 50, batch_size=20)
    images = torch.from_numpy(draw_images(50, seed=4)[0])[:, None]
    labels = predict_logits(model, images).argmax(dim=1)
    labels[::5] = (labels[::5] + 1) % 10
    expected, accuracy = train_CNN.evaluate(model, images, labels)
    probabilities = predict_logits(model, images).double().softmax(dim=1)
    assert expected == pytest.approx(-float(probabilities[range(50), labels].log().mean()), rel=1e-4)
    assert accuracy == 80
    data = images[:50], labels, 20
    with monkeypatch.context() as patch:
        patch.setattr(model, "train", lambda mode=True: torch.nn.Module.train(model, False))
        patch.setattr(train_CNN, "update_bn", lambda batches, model: None)
        assert train_CNN.train_epoch(model, optimizer, scheduler, *data) == pytest.approx(expected, rel=1e-4)
    monkeypatch.setattr(train_CNN, "augment", lambda images, labels: torch.zeros_like(images))
    train_CNN.train_epoch(model, optimizer, scheduler, images[:20], labels[:20], 20)
    norm, inputs = model.get_submodule("layers.1"), model.layers[0](deskew(to_floats(images[:20])))
    torch.testing.assert_close(norm.running_mean, inputs.mean(dim=(0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_every_image_is_shown_once_in_a_new_order(monkeypatch):
    """Image i is all of shade i; what is augmented is recorded."""
    seen = []

    def record(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert model.training  # batch norm looks at the batch
        shades = (images[:, 0, 0, 0] * 255).round().long()
        assert torch.equal(labels, shades % 10)
        seen.append(shades)
        return images

    monkeypatch.setattr(train_CNN, "augment", record)
    images = torch.arange(100, dtype=torch.uint8)[:, None, None, None].expand(100, 1, 28, 28)
    model, optimizer, scheduler = train_CNN.prepare_training(100, 2, "cpu", batch_size=30)
    for _ in range(2):
        model.eval()  # as evaluate() leaves it
        train_CNN.train_epoch(model, optimizer, scheduler, images, torch.arange(100) % 10, batch_size=30)
    assert [len(batch) for batch in seen] == [30, 30, 30, 10] * 2
    orders = [torch.cat(seen[start : start + 4]).tolist() for start in (0, 4)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(100))
    assert orders[0] != orders[1] and orders[0] != list(range(100))
    assert scheduler.last_epoch == 8  # one step of the schedule for each batch


def test_schedule_climbs_and_falls():
    _, optimizer, scheduler = train_CNN.prepare_training(256, 15, "cpu", batch_size=128, learning_rate=0.5)
    rates = []
    for _ in range(30):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step() if len(rates) < 30 else None
    assert max(rates) == pytest.approx(0.5, rel=1e-3) and 7 <= rates.index(max(rates)) <= 10
    assert rates[0] == pytest.approx(0.5 / 25) and rates[-1] < 0.001
    group = optimizer.param_groups[0]
    assert (group["momentum"], group["weight_decay"]) == (train_CNN.MOMENTUM, train_CNN.WEIGHT_DECAY)


def test_what_is_done_in_which_order(generated_mnist, tmp_path, monkeypatch):
    """The last images validate; curves are drawn when the weights are saved, and then shown."""
    model_path, sets, drawn = tmp_path / "cnn_.pth", [], []

    def train(model: CNN, optimizer: object, scheduler: object, *data: torch.Tensor) -> float:
        sets.append(data[:2])
        return 0.0

    def draw(*data: Any) -> bool:
        drawn.append((model_path.exists(), len(data[-2]), data[-1]))
        return True

    replaced: dict[str, Callable] = {
        "train_epoch": train,
        "evaluate": lambda model, *data: sets.append(data) or (0.0, 0.0),
        "save_figure": draw,
        "show_figure": draw,
    }
    for name, function in replaced.items():
        monkeypatch.setattr(train_CNN, name, function)
    arguments = ("--epochs", 2, "--data-dir", generated_mnist, "--model-path", model_path)
    run_here(monkeypatch, train_CNN, *arguments)
    for parts, together in zip(zip(*sets[:2]), load_mnist(generated_mnist, train=True, device="cpu")):
        assert [len(part) for part in parts] == [2320, 80] and torch.equal(torch.cat(parts), together)
    assert drawn == [(True, 2, 2)] * 2
    run_here(monkeypatch, train_CNN, *arguments, "--no-plot")
    assert len(drawn) == 2


@pytest.mark.parametrize("way", ["no such backend", "no LaTeX", "unwritable folder", "no tornado"])
@pytest.mark.slow
def test_a_figure_that_fails_costs_nothing(way, run_script, tmp_path):
    """Whatever matplotlib is set to: the weights are saved, and one line is printed about the figure."""
    write_mnist(tmp_path / "data", num_train=150, num_test=10)
    (tmp_path / "file").write_text("")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    (tmp_path / "tornado.py").write_text("raise ImportError('no tornado')\n")
    environment = {
        "no such backend": {"MPLBACKEND": "abacus"},
        "no LaTeX": {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "PATH": str(tmp_path)},
        "unwritable folder": {},
        "no tornado": {"MPLBACKEND": "WebAgg", "PYTHONPATH": str(tmp_path)},
    }[way]
    figures_dir = tmp_path / ("file" if way == "unwritable folder" else "figures")
    paths = ("--data-dir", tmp_path / "data", "--model-path", tmp_path / "cnn_.pth", "--figures-dir", figures_dir)
    result = run_script("train_CNN.py", "--epochs", 1, *paths, cwd=tmp_path / "data", **environment)
    assert result.returncode == 0, result.stderr
    load_weights(tmp_path / "cnn_.pth")
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("train_CNN.py: warning: ")
