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
from tests.helpers import draw_images, needs_mnist, read_accuracy, write_mnist

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


def train_here(monkeypatch, *arguments: object) -> None:
    """Train in this process, which starts faster than a new one."""
    monkeypatch.setattr(sys, "argv", ["train_CNN.py", "--no-plot", *map(str, arguments)])
    train_CNN.main()


def test_one_seed_makes_the_same_bytes_whatever_the_test_images(tmp_path, monkeypatch):
    write_mnist(tmp_path, num_train=600, num_test=50)

    def train(name: str, seed: int) -> bytes:
        arguments = ("--data-dir", tmp_path, "--epochs", 1, "--device", "cpu")
        train_here(monkeypatch, *arguments, "--seed", seed, "--model-path", tmp_path / name)
        return (tmp_path / name).read_bytes()

    first = train("first.pth", seed=5)
    for path in tmp_path.rglob("t10k-*"):
        path.write_bytes(b"")
    assert train("second.pth", seed=5) == first
    assert train("third.pth", seed=6) != first


def test_what_cannot_be_saved_keeps_the_old_weights(generated_mnist, tmp_path, monkeypatch, capsys):
    path = tmp_path / "cnn_.pth"
    path.write_bytes(b"precious")
    with pytest.raises(ValueError, match=r"no longer a number, nothing is saved; try a smaller --learning-rate"):
        train_here(monkeypatch, "--data-dir", generated_mnist, "--model-path", path, "--learning-rate", 1e6)
    assert path.read_bytes() == b"precious" and os.listdir(tmp_path) == ["cnn_.pth"]
    capsys.readouterr()
    with pytest.raises(OSError, match=r"--model-path"):  # checked before anything else is done
        train_here(monkeypatch, "--data-dir", generated_mnist, "--model-path", tmp_path)
    assert capsys.readouterr().out == ""


WRONG_FLAGS = (
    "--epochs 0,--epochs ten,--epochs 1e3,--batch-size -1,--batch-size 1000000000,--seed 9223372036854775808,--seed -1,"
    "--learning-rate 0,--learning-rate nan,--learning-rate 1e999,--device abacus,--unknown"
)


@pytest.mark.parametrize("arguments", WRONG_FLAGS.split(","))
def test_wrong_flags(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train_CNN.py", *arguments.split()])
    with pytest.raises(SystemExit) as exit_info:
        train_CNN.main()
    assert exit_info.value.code == 2 and arguments.split()[0] in capsys.readouterr().err


def test_help_states_the_defaults(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train_CNN.py", "--help"])
    with pytest.raises(SystemExit):
        train_CNN.main()
    output = " ".join(capsys.readouterr().out.split())
    for default in (train_CNN.EPOCHS, train_CNN.BATCH_SIZE, train_CNN.LEARNING_RATE, train_CNN.SEED):
        assert f"(default: {default})" in output


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals to one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_interrupted_training_keeps_the_old_weights(number, generated_mnist, tmp_path):
    path = tmp_path / "cnn_.pth"
    path.write_bytes(b"precious")
    arguments = ["--data-dir", str(generated_mnist), "--epochs", "1000", "--no-plot", "--model-path", str(path)]
    command = [sys.executable, str(PROJECT_DIR / "train_CNN.py"), *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not process.stdout.readline().startswith("Epoch 1/"):
        assert process.poll() is None
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert error == "train_CNN.py: error: interrupted; run it again when you like\n"
    assert path.read_bytes() == b"precious" and os.listdir(tmp_path) == ["cnn_.pth"]


def test_validation_accuracy_counts_correct_predictions(training):
    model = load_weights(training[1])
    images = torch.from_numpy(draw_images(50, seed=9)[0])[:, None]
    predictions = predict_logits(model, images).argmax(dim=1)
    wrong_labels = (predictions + 1) % 10
    assert train_CNN.evaluate(model, images, predictions)[1] == 100
    assert train_CNN.evaluate(model, images, wrong_labels)[1] == 0
    half = torch.cat([predictions[:25], wrong_labels[25:]])
    loss, accuracy = train_CNN.evaluate(model, images, half)
    assert accuracy == 50
    probabilities = predict_logits(model, images).double().softmax(dim=1)
    assert loss == pytest.approx(-float(probabilities[range(50), half].log().mean()), rel=1e-4)


@needs_mnist
@pytest.mark.slow
def test_one_epoch_from_scratch(run_script, tmp_path):
    model_path = tmp_path / "cnn_.pth"
    result = run_script("train_CNN.py", "--epochs", 1, "--data-dir", DATA_DIR, "--model-path", model_path)
    assert result.returncode == 0, result.stderr
    assert "Images: 58000 to train with, 2000 to validate with" in result.stdout
    result = run_script("test_CNN.py", "--data-dir", DATA_DIR, "--model-path", model_path)
    assert read_accuracy(result.stdout) >= 99.0


def no_augmentation(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return images


def train_on_one_image(monkeypatch, epoch_images: int, batch_size: int, augment: Callable = no_augmentation) -> CNN:
    """Show a new model the same image time after time, with steps of length 0; return it as the epoch left it."""
    monkeypatch.setattr(train_CNN, "augment", augment)
    torch.manual_seed(0)
    image = torch.from_numpy(draw_images(1, seed=3)[0])[:, None]
    model, optimizer, scheduler = train_CNN.prepare_training(epoch_images, 1, "cpu", batch_size)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    monkeypatch.setattr(scheduler, "step", lambda: None)
    labels = torch.full((epoch_images,), 7)
    train_CNN.train_epoch(model, optimizer, scheduler, image.expand(epoch_images, 1, 28, 28), labels, batch_size)
    return model


def test_gradients_are_those_of_one_batch(monkeypatch):
    one, three = ([parameter.grad for parameter in train_on_one_image(monkeypatch, n, 4).parameters()] for n in (4, 12))
    assert max(float(gradient.abs().max()) for gradient in one) > 0.01
    for gradient, other in zip(one, three):
        torch.testing.assert_close(gradient, other, rtol=1e-3, atol=1e-5)


def test_batch_norm_averages_over_images_as_they_are(monkeypatch):
    """Where the augmentation leaves nothing of the images, batch norm's averages are still those of the images."""
    model = train_on_one_image(monkeypatch, 12, 4, augment=lambda images, labels: torch.zeros_like(images))
    norm = model.get_submodule("layers.1")
    assert isinstance(norm, torch.nn.BatchNorm2d) and norm.running_mean is not None
    image = to_floats(torch.from_numpy(draw_images(1, seed=3)[0])[:, None])
    expected = model.layers[0](deskew(image)).mean(dim=(0, 2, 3))
    torch.testing.assert_close(norm.running_mean, expected, rtol=1e-4, atol=1e-5)


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


def test_loss_is_the_mean_over_the_epoch(monkeypatch):
    """With steps of length 0, and batch norm that does not look at the batch, it is that of the images at once."""
    monkeypatch.setattr(train_CNN, "augment", no_augmentation)
    model, optimizer, scheduler = train_CNN.prepare_training(50, 1, "cpu", batch_size=20)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    monkeypatch.setattr(scheduler, "step", lambda: None)
    monkeypatch.setattr(model, "train", lambda mode=True: torch.nn.Module.train(model, False))
    images = torch.from_numpy(draw_images(50, seed=4)[0])[:, None]
    labels = predict_logits(model, images).argmax(dim=1)
    labels[::5] = (labels[::5] + 1) % 10
    expected, accuracy = train_CNN.evaluate(model, images, labels)
    monkeypatch.setattr(train_CNN, "update_bn", lambda batches, model: None)
    loss = train_CNN.train_epoch(model, optimizer, scheduler, images, labels, batch_size=20)
    assert loss == pytest.approx(expected, rel=1e-4) and accuracy == 80


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


def test_validation_images_are_the_last_ones(generated_mnist, tmp_path, monkeypatch):
    images, labels = load_mnist(generated_mnist, train=True, device="cpu")
    sets = []

    def train(model, optimizer, scheduler, *data) -> float:
        sets.append(data[:2])
        return 0.0

    monkeypatch.setattr(train_CNN, "train_epoch", train)
    monkeypatch.setattr(train_CNN, "evaluate", lambda model, *data: sets.append(data) or (0.0, 0.0))
    train_here(monkeypatch, "--data-dir", generated_mnist, "--epochs", 1, "--model-path", tmp_path / "cnn_.pth")
    for parts, together in zip(zip(*sets), (images, labels)):
        assert [len(part) for part in parts] == [2320, 80]
        assert torch.equal(torch.cat(parts), together)


def test_curves_are_drawn_when_the_weights_are_saved_and_then_shown(tmp_path, monkeypatch):
    write_mnist(tmp_path, num_train=150, num_test=10)
    model_path, drawn = tmp_path / "cnn_.pth", []

    def draw(*data: Any) -> bool:
        drawn.append((model_path.exists(), len(data[-2]), data[-1]))
        return True

    monkeypatch.setattr(train_CNN, "save_figure", draw)
    monkeypatch.setattr(train_CNN, "show_figure", draw)
    arguments = ["--epochs", "2", "--data-dir", tmp_path, "--model-path", model_path]
    monkeypatch.setattr(sys, "argv", ["train_CNN.py", *map(str, arguments)])
    train_CNN.main()
    assert drawn == [(True, 2, 2)] * 2
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--no-plot"])
    train_CNN.main()
    assert len(drawn) == 2


@pytest.mark.parametrize("way", ["no such backend", "broken backend", "no LaTeX", "unwritable folder", "no tornado"])
@pytest.mark.slow
def test_a_figure_that_fails_costs_nothing(way, run_script, tmp_path):
    """Whatever matplotlib is set to: the weights are saved, and one line is printed about the figure."""
    write_mnist(tmp_path / "data", num_train=150, num_test=10)
    (tmp_path / "file").write_text("")
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    environment = {
        "no such backend": {"MPLBACKEND": "abacus"},
        "broken backend": {"MPLBACKEND": "module://no_such_module.backend"},
        "no LaTeX": {"MATPLOTLIBRC": str(tmp_path / "matplotlibrc"), "PATH": str(tmp_path)},
        "unwritable folder": {},
        "no tornado": {"MPLBACKEND": "WebAgg", "PYTHONPATH": str(tmp_path)},
    }[way]
    (tmp_path / "tornado.py").write_text("raise ImportError('no tornado')\n")
    figures_dir = tmp_path / ("file" if way == "unwritable folder" else "figures")
    paths = ("--data-dir", tmp_path / "data", "--model-path", tmp_path / "cnn_.pth", "--figures-dir", figures_dir)
    result = run_script("train_CNN.py", "--epochs", 1, *paths, cwd=tmp_path / "data", **environment)
    assert result.returncode == 0, result.stderr
    load_weights(tmp_path / "cnn_.pth")
    assert result.stderr.count("\n") == 1 and result.stderr.startswith("train_CNN.py: warning: ")
