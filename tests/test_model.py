"""The network against arithmetic done by hand."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from digits.command_line import PROJECT_DIR
from digits.deskewing import deskew
from digits.weights import load_weights, save_weights
from model import CNN, predict_logits, to_floats
from tests.helpers import make_trained_like_model
from train_CNN import prepare_training


def test_the_layers_of_the_table():
    """Deskewing, then convolution, batch norm, leaky ReLU and max-pool twice, and two linear layers, step by step."""
    model = make_trained_like_model()
    images = torch.rand(20, 1, 28, 28)
    values = deskew(images)
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
        torch.testing.assert_close(model(images), logits, rtol=1e-5, atol=1e-6)


def test_readme_shows_the_architecture():
    """Each layer with the shape of its output and its number of parameters, as the network itself has them."""
    rows, values, total = [], torch.zeros(1, 1, 28, 28), 0
    for layer in CNN().eval().layers:
        values = layer(values)
        num_parameters = sum(parameter.numel() for parameter in layer.parameters() if parameter.requires_grad)
        shape = " x ".join(str(size) for size in values.shape[1:])
        rows.append(f"| {type(layer).__name__} | {shape} | {num_parameters:,} |\n")
        total += num_parameters
    readme = (PROJECT_DIR / "README.md").read_text(encoding="utf-8")
    assert "".join(rows) + "| **total** | | **421,834** |\n" in readme and total == 421_834
    assert sum(parameter.numel() for parameter in CNN(num_classes=26).parameters()) == 421_834 + 16 * 129


def test_predict_logits():
    model = make_trained_like_model().train()
    images = torch.randint(0, 256, (7, 1, 28, 28), dtype=torch.uint8)
    logits = predict_logits(model, images, batch_size=3)
    assert logits.shape == (7, 10) and not logits.requires_grad
    assert not model.training
    assert to_floats(images).max() <= 1 and torch.equal((to_floats(images) * 255).round().byte(), images)
    for image, row in zip(images, logits):  # the logits of an image do not depend on the others in its batch
        torch.testing.assert_close(model(image[None] / 255)[0], row, rtol=1e-4, atol=1e-5)


def test_channels_of_a_pixel_lie_together_where_the_model_is_used(tmp_path):
    save_weights(CNN(), tmp_path / "cnn_.pth")
    for model in (load_weights(tmp_path / "cnn_.pth"), prepare_training(100, 1, "cpu")[0]):
        weight = model.get_parameter("layers.4.weight")
        assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()
    assert CNN().get_parameter("layers.4.weight").is_contiguous()
