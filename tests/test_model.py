"""The network against arithmetic done by hand."""

from __future__ import annotations

import subprocess
import sys

import torch
import torch.nn.functional as F

from digits.command_line import PROJECT_DIR
from model import CNN, architecture_table, predict_logits, predict_views


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
        conv, norm = model.get_submodule(f"layers.{conv}"), model.get_submodule(f"layers.{norm}")
        assert isinstance(conv, torch.nn.Conv2d) and isinstance(norm, torch.nn.BatchNorm2d)
        values = F.conv2d(values, conv.weight, conv.bias, stride=1, padding=1)
        values = F.batch_norm(values, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5)
        values = F.max_pool2d(F.leaky_relu(values, 0.01), kernel_size=2, stride=2)
    assert values.shape == (20, 64, 7, 7)
    first, second = model.layers[9], model.layers[11]
    assert isinstance(first, torch.nn.Linear) and isinstance(second, torch.nn.Linear)
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


def test_predict_views():
    model = make_trained_like_model()
    images = torch.zeros(3, 1, 28, 28, dtype=torch.uint8)
    images[1, :, 10:14, 5:9] = 200
    images[2, :, 0, 27] = 255  # in a corner, which it leaves to the right and to the top
    logits = predict_views(model, images)
    assert logits.shape == (5, 3, 10) and not logits.requires_grad
    torch.testing.assert_close(logits[0], predict_logits(model, images), rtol=1e-4, atol=1e-5)
    # Black stays black wherever it is moved.
    torch.testing.assert_close(logits[:, 0], logits[:1, 0].expand(5, 10), rtol=1e-4, atol=1e-5)
    views = torch.zeros(10, 1, 28, 28, dtype=torch.uint8)
    for view, (row, column) in zip(views, [(10, 5), (9, 5), (11, 5), (10, 4), (10, 6)]):
        view[:, row : row + 4, column : column + 4] = 200
    views[5, :, 0, 27] = views[6, :, 1, 27] = views[7, :, 0, 26] = 255
    expected = predict_logits(model, views).reshape(2, 5, 10).mean(dim=1)
    torch.testing.assert_close(logits[:, 1:].mean(dim=0), expected, rtol=1e-4, atol=1e-5)


def test_readme_shows_the_architecture():
    table = architecture_table(CNN())
    assert table.splitlines()[-1] == "| **total** | | **421,834** |"
    assert table in (PROJECT_DIR / "README.md").read_text(encoding="utf-8")
    command = [sys.executable, "model.py"]
    assert subprocess.run(command, cwd=PROJECT_DIR, capture_output=True, text=True).stdout == f"{table}\n"


def test_channels_of_a_pixel_lie_together():
    weight = CNN().get_parameter("layers.4.weight")
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
