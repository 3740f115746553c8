"""The promises that only real MNIST can show; skipped where it is not at hand, since tests download nothing."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from PIL import Image
from test_trio import read_accuracy

from mnist import DATA_DIR, load_mnist
from model import MODEL_PATH, load_weights, predict_logits
from picture import prepare, read_picture

TRAINING_IMAGES = Path(DATA_DIR) / "MNIST" / "raw" / "train-images-idx3-ubyte"

pytestmark = pytest.mark.skipif(
    not (TRAINING_IMAGES.exists() or TRAINING_IMAGES.with_suffix(".gz").exists()),
    reason=f"no MNIST in {DATA_DIR}; set MNIST_DIR, or run train_CNN.py once",
)


def test_all_of_mnist():
    for train, num_images in ((True, 60_000), (False, 10_000)):
        images, labels = load_mnist(DATA_DIR, train=train, device="cpu")
        assert images.shape == (num_images, 1, 28, 28) and labels.shape == (num_images,)
        assert images.min() == 0 and images.max() == 255
        assert labels.unique().tolist() == list(range(10))


def test_shipped_weights(run_script):
    result = run_script("test_CNN.py", "--data-dir", DATA_DIR)
    assert result.returncode == 0, result.stderr
    assert "/10000)" in result.stdout.splitlines()[0]
    assert read_accuracy(result.stdout) >= 99.5


def test_mnist_as_pictures():
    """Test images, saved as pictures and read as predict_CNN.py reads them, are told apart as before."""
    images, labels = load_mnist(DATA_DIR, train=False, device="cpu")
    images, labels = images[:2000], labels[:2000]
    prepared = []
    for image in images[:, 0]:
        file = io.BytesIO()
        Image.fromarray(image.numpy()).save(file, "PNG")
        prepared.append(torch.from_numpy(prepare(read_picture(file))))
    model = load_weights(MODEL_PATH)
    before, after = (
        100 * float((predict_logits(model, batch).argmax(dim=1) == labels).float().mean())
        for batch in (images, torch.stack(prepared)[:, None])
    )
    assert after > before - 0.3


def test_one_epoch_from_scratch(run_script, tmp_path):
    model_path = tmp_path / "cnn_.pth"
    result = run_script("train_CNN.py", "--epochs", 1, "--data-dir", DATA_DIR, "--model-path", model_path)
    assert result.returncode == 0, result.stderr
    assert "Images: 58000 to train with, 2000 to validate with" in result.stdout
    result = run_script("test_CNN.py", "--data-dir", DATA_DIR, "--model-path", model_path)
    assert read_accuracy(result.stdout) >= 99.0
