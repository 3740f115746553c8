"""Training, testing and predicting on generated digits, as processes, the way a user runs them."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from conftest import PROJECT_DIR, assert_one_line_error
from generated_digits import draw_digit, draw_images, write_mnist

import test_CNN
import train_CNN
from mnist import load_mnist
from model import CNN, load_weights, predict_logits
from test_CNN import calibration_error, wilson_interval
from train_CNN import Muon, augment, orthogonalize

EPOCH_LINE = re.compile(
    r"Epoch (\d)/4: loss (\d\.\d{4}), training accuracy (\d+\.\d\d) %, validation accuracy (\d+\.\d\d) %, "
    r"learning rate (\d\.\d{4}), \d+\.\d s"
)


def read_accuracy(output: str) -> float:
    """Return the percentage that test_CNN.py printed, after checking all that it printed."""
    first, loss, error, *others = output.splitlines()
    interval = r"95 % confidence interval (\d+\.\d\d) to (\d+\.\d\d) %"
    match = re.fullmatch(rf"Accuracy: (\d+\.\d\d) % \((\d+)/(\d+)\), {interval}", first)
    percent, num_correct, num_images, low, high = match.groups()
    assert percent == f"{100 * int(num_correct) / int(num_images):.2f}"
    assert float(low) < float(percent) <= float(high)
    assert re.fullmatch(r"Mean loss: \d+\.\d{4}", loss)
    assert re.fullmatch(r"Expected calibration error: \d+\.\d\d %", error)
    digits = [re.fullmatch(r"Digit (\d): \d+\.\d\d % \((\d+)/(\d+)\)", line).groups() for line in others]
    assert [digit for digit, _, _ in digits] == [str(digit) for digit in range(10)]
    assert sum(int(correct) for _, correct, _ in digits) == int(num_correct)
    assert sum(int(number) for _, _, number in digits) == int(num_images)
    return float(percent)


def test_training_says_what_it_does(training):
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
    assert lines[8] == f"Figure saved to {model_path.parent.parent / 'training_curves.png'}"
    assert len(lines) == 9 and "\r" not in output
    assert os.listdir(model_path.parent) == ["cnn_.pth"]


def test_trained_weights_read_unseen_digits(training, generated_mnist, run_script):
    result = run_script("test_CNN.py", "--data-dir", generated_mnist, "--model-path", training[1])
    assert result.returncode == 0, result.stderr
    assert read_accuracy(result.stdout) >= 95


def test_untrained_weights_do_not(generated_mnist):
    torch.manual_seed(0)
    loss, accuracy = train_CNN.evaluate(CNN(), *load_mnist(generated_mnist, train=False, device="cpu"))
    assert loss > 2 and accuracy <= 40


def test_trained_weights_predict_a_drawn_picture(training, run_script, tmp_path):
    draw_digit(4, (200, 300), (30, 40, 150, 240), pen=20).save(tmp_path / "four.png")
    result = run_script("predict_CNN.py", "four.png", "--no-plot", "--model-path", training[1], cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"four\.png: Digit 4 \(\d+\.\d\d %\)\n", result.stdout)


def train_here(monkeypatch, *arguments: object) -> None:
    """Train in this process, which is sooner under way than a new one."""
    monkeypatch.setattr(sys, "argv", ["train_CNN.py", "--no-plot", *map(str, arguments)])
    train_CNN.main()


def test_one_seed_makes_the_same_bytes_whatever_the_test_images(run_script, tmp_path, monkeypatch):
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
    result = run_script("test_CNN.py", "--data-dir", tmp_path, "--model-path", tmp_path / "first.pth")
    assert_one_line_error(result, "test_CNN.py", "damaged")


def test_images_and_labels_that_do_not_belong_together(generated_mnist, tmp_path):
    shutil.copytree(generated_mnist, tmp_path / "data")
    raw_dir = tmp_path / "data" / "MNIST" / "raw"
    shutil.copy(raw_dir / "train-labels-idx1-ubyte", raw_dir / "t10k-labels-idx1-ubyte")
    load_mnist(tmp_path / "data", train=True, device="cpu")
    with pytest.raises(ValueError, match="do not belong together; delete them"):
        load_mnist(tmp_path / "data", train=False, device="cpu")


def test_hopeless_learning_rate_keeps_the_old_weights(generated_mnist, tmp_path, monkeypatch):
    path = tmp_path / "cnn_.pth"
    path.write_bytes(b"precious")
    with pytest.raises(ValueError, match=r"no longer a number, nothing is saved; try a smaller --learning-rate"):
        train_here(monkeypatch, "--data-dir", generated_mnist, "--model-path", path, "--learning-rate", 1e6)
    assert path.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["cnn_.pth"]


def test_place_of_the_weights_is_checked_first(generated_mnist, tmp_path, monkeypatch, capsys):
    with pytest.raises(OSError, match=r"--model-path"):
        train_here(monkeypatch, "--data-dir", generated_mnist, "--model-path", tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ("--epochs", "0"),
        ("--epochs", "ten"),
        ("--epochs", "1e3"),
        ("--epochs", "9" * 5000),
        ("--batch-size", "-1"),
        ("--batch-size", "1000000000"),
        ("--seed", "9223372036854775808"),
        ("--seed", "-1"),
        ("--learning-rate", "0"),
        ("--learning-rate", "nan"),
        ("--learning-rate", "1e999"),
        ("--device", "abacus"),
        ("--unknown",),
    ],
)
def test_wrong_flags(arguments, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train_CNN.py", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        train_CNN.main()
    assert exit_info.value.code == 2
    error = capsys.readouterr().err
    assert arguments[0] in error
    if arguments[0] == "--device":
        assert "cpu" in error


def test_help_states_the_defaults(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["train_CNN.py", "--help"])
    with pytest.raises(SystemExit):
        train_CNN.main()
    output = " ".join(capsys.readouterr().out.split())
    for default in (train_CNN.EPOCHS, train_CNN.BATCH_SIZE, train_CNN.LEARNING_RATE, train_CNN.SEED):
        assert f"(default: {default})" in output


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends no such signals to one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
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
    assert process.returncode == 130
    assert error == "train_CNN.py: error: interrupted; run it again when you like\n"
    assert path.read_bytes() == b"precious"
    assert os.listdir(tmp_path) == ["cnn_.pth"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_progress_on_a_terminal(generated_mnist, tmp_path):
    ours, theirs = os.openpty()
    arguments = ["--data-dir", str(generated_mnist), "--epochs", "1", "--no-plot"]
    arguments += ["--model-path", str(tmp_path / "cnn_.pth")]
    command = [sys.executable, str(PROJECT_DIR / "train_CNN.py"), *arguments]
    assert subprocess.run(command, stdout=theirs, timeout=300).returncode == 0
    output = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert re.search(r"\r  step 10/19, \d+ s left in this epoch", output)


def test_pytest_does_not_collect_the_script(request):
    assert "test_CNN.py" not in {item.path.name for item in request.session.items}
    assert not [name for name in vars(test_CNN) if name.startswith("test")]


LIMITS = ("MAX_ROTATION", "MAX_SCALING", "MAX_SHEAR", "MAX_SHIFT", "ELASTICITY")  # train_CNN.py's, of augment()


def test_augment_draws_for_each_image():
    torch.manual_seed(0)
    image = torch.from_numpy(draw_images(1, seed=0)[0][:, None]).float() / 255
    images = augment(image.expand(50, 1, 28, 28))
    assert images.shape == (50, 1, 28, 28) and images.dtype == torch.float32
    assert images.min() >= 0 and images.max() <= 1
    assert len({image.numpy().tobytes() for image in images}) == 50
    assert augment(torch.ones(50, 1, 28, 28))[:, :, 0, 0].min() == 0  # black comes in from outside
    # 12 % in width and height change the amount of ink by a quarter at most, but for the blur of small strokes.
    ink = images.sum(dim=(1, 2, 3)) / image.sum()
    assert ink.min() > 0.65 and ink.max() < 1.35


def test_augment_without_limits_changes_nothing(monkeypatch):
    for name in LIMITS:
        monkeypatch.setattr(train_CNN, name, 0)
    images = torch.rand(5, 1, 28, 28)
    torch.testing.assert_close(augment(images), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name, limit, farthest", [("MAX_SHIFT", 3, 3.0), ("MAX_ROTATION", 30, 5.0)])
def test_augment_keeps_its_limits(name, limit, farthest, monkeypatch):
    """A dot 10 pixels above the middle moves by at most 3 pixels, or to the side by 10 sin(30 degrees)."""
    for other in LIMITS:
        monkeypatch.setattr(train_CNN, other, limit if other == name else 0)
    torch.manual_seed(0)
    images = torch.zeros(500, 1, 28, 28)
    images[:, :, 3:5, 13:15] = 1
    columns = torch.arange(28) - 13.5
    moved = augment(images).sum(dim=(1, 2))
    distances = (moved * columns).sum(dim=1) / moved.sum(dim=1)
    assert 0.8 * farthest < distances.abs().max() < farthest + 0.3


def test_elasticity_bends_a_line(monkeypatch):
    """A vertical line stays in its place on the whole, yet its rows move apart: by about the elasticity."""
    for name in LIMITS:
        monkeypatch.setattr(train_CNN, name, 0)
    monkeypatch.setattr(train_CNN, "ELASTICITY", 0.8)
    torch.manual_seed(0)
    images = torch.zeros(500, 1, 28, 28)
    images[:, :, :, 13:15] = 1
    bent = augment(images)[:, 0, 4:24]  # black may come in from above and below
    columns = (bent * (torch.arange(28) - 13.5)).sum(dim=2) / bent.sum(dim=2)  # (N, 20): where the line is in each row
    assert columns.mean().abs() < 0.1
    assert columns[:, 3].std() == pytest.approx(0.8, rel=0.15)  # row 7 is at one of the 5x5 points
    assert columns.std(dim=1).mean() > 0.3
    assert (columns[:, 1:] - columns[:, :-1]).abs().max() < 1  # smooth: no row jumps


@pytest.mark.parametrize("shape", [(32, 9), (64, 288), (128, 3136), (10, 128)])
def test_orthogonalize_keeps_directions_and_evens_out_their_strength(shape):
    torch.manual_seed(0)
    strengths = torch.linspace(1, 0.05, min(shape))
    left = torch.linalg.qr(torch.randn(shape[0], len(strengths)))[0]
    right = torch.linalg.qr(torch.randn(shape[1], len(strengths)))[0]
    result = orthogonalize(left * strengths @ right.T)
    assert result.shape == shape
    along = left.T @ result @ right  # diagonal: how strong each direction is afterwards
    assert along.diagonal().min() > 0.5 and along.diagonal().max() < 1.3
    assert (along - along.diagonal().diag()).abs().max() < 1e-3
    torch.testing.assert_close(result, left @ along @ right.T, rtol=0, atol=1e-3)


def test_muon_steps():
    """With momentum 0 a vector takes the plain step; a matrix that is orthogonal already one of about its size."""
    vector, matrix = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.zeros(2, 2))
    optimizer = Muon([vector, matrix], lr=0.1, momentum=0, weight_decay=0)
    vector.grad, matrix.grad = torch.tensor([1.0, -2.0]), 1000 * torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    optimizer.step()
    torch.testing.assert_close(vector.detach(), torch.tensor([0.9, 1.2]))
    size = matrix.detach().norm() / 2**0.5
    assert 0.05 < size < 0.13
    torch.testing.assert_close(matrix.detach() / size, -matrix.grad / 1000, rtol=0, atol=1e-3)


def test_muon_remembers_its_steps_and_decays_matrices_alone():
    vector, matrix = torch.nn.Parameter(torch.zeros(1)), torch.nn.Parameter(torch.ones(1, 1))
    optimizer = Muon([vector, matrix], lr=0.1, momentum=0.5, weight_decay=1)
    for expected in (-0.15, -0.325):  # 1 + 0.5 * 1, then 1 + 0.5 * 1.5, times 0.1
        vector.grad, matrix.grad = torch.ones(1), torch.zeros(1, 1)
        optimizer.step()
        torch.testing.assert_close(vector.detach(), torch.tensor([expected]))
    torch.testing.assert_close(matrix.detach(), torch.tensor([[0.81]]))


def test_validation_accuracy_counts_right_answers(training):
    model = load_weights(training[1])
    images = torch.from_numpy(draw_images(50, seed=9)[0])[:, None]
    answers = predict_logits(model, images).argmax(dim=1)
    wrong_labels = (answers + 1) % 10
    assert train_CNN.evaluate(model, images, answers)[1] == 100
    assert train_CNN.evaluate(model, images, wrong_labels)[1] == 0
    half = torch.cat([answers[:25], wrong_labels[25:]])
    loss, accuracy = train_CNN.evaluate(model, images, half)
    assert accuracy == 50
    probabilities = predict_logits(model, images).double().softmax(dim=1)
    assert loss == pytest.approx(-float(probabilities[range(50), half].log().mean()), rel=1e-4)


def test_wilson_interval():
    """Against the roots of the equation that defines it: (share - p)^2 = z^2 p (1 - p) / n."""
    for num_correct, num_images in ((9958, 10_000), (5, 10), (10, 10), (0, 10)):
        for bound in wilson_interval(num_correct, num_images):
            p = bound / 100
            expected = 1.96**2 * p * (1 - p) / num_images
            assert (num_correct / num_images - p) ** 2 == pytest.approx(expected, rel=1e-6, abs=1e-12)
    low, high = wilson_interval(5, 10)
    assert low < 50 < high


def test_calibration_error_of_known_answers():
    """Of four answers with 90 % three are right, 15 points too few; both with 60 % are right, 40 points too many."""
    probabilities = torch.tensor([[0.9, 0.1]] * 4 + [[0.6, 0.4]] * 2)
    labels = torch.tensor([0, 0, 0, 1, 0, 0])
    assert calibration_error(probabilities, labels) == pytest.approx((4 * 15 + 2 * 40) / 6, abs=1e-4)
    assert calibration_error(torch.eye(3), torch.arange(3)) == 0
