"""The network, and how its weights are saved and loaded.

Everything about the architecture stands here, once; the three scripts import it.
"""

from __future__ import annotations

import glob
import io
import os
import pickle
import time
import zipfile
import zlib
from pathlib import Path

import torch
from torch import Tensor, nn

MODEL_PATH = Path(__file__).resolve().parent / "models" / "cnn_.pth"  # the weights, unless --model-path names others

# What zipfile, torch.load and load_state_dict raise on a file that is not what they expect
DAMAGED_FILE_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class CNN(nn.Module):
    """Two convolutions and two linear layers: 421,834 parameters at ten classes.

    Input: images (N, 1, 28, 28), float32 in 0..1, light ink on black.
    Output: logits (N, num_classes), float32; softmax turns them into probabilities.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        # Leaky ReLU never changes which of two values is larger, so pooling before it gives the very same result as
        # pooling after it, and leaves it a quarter of the work.
        self.layers = nn.Sequential(
            nn.Conv2d(1, 32, kernel_size=3, stride=1, padding=1),  # (N, 32, 28, 28)
            nn.BatchNorm2d(32),
            nn.MaxPool2d(kernel_size=2, stride=2),  # (N, 32, 14, 14)
            nn.LeakyReLU(),
            nn.Conv2d(32, 64, kernel_size=3, stride=1, padding=1),  # (N, 64, 14, 14)
            nn.BatchNorm2d(64),
            nn.MaxPool2d(kernel_size=2, stride=2),  # (N, 64, 7, 7)
            nn.LeakyReLU(),
            nn.Flatten(),  # (N, 3136)
            nn.Linear(64 * 7 * 7, 128),  # (N, 128)
            nn.LeakyReLU(),
            nn.Linear(128, num_classes),  # (N, num_classes)
        )
        # Keeps the channels of a pixel together in memory: the same network, up to twice as fast on a CPU.
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


def predict_logits(model: CNN, images: Tensor, batch_size: int = 100) -> Tensor:
    """Return the logits (N, num_classes) of images (N, 1, 28, 28), uint8 in 0..255, on the device of both.

    Works in batches that fit into a CPU's cache, without gradients, and leaves the model in evaluation mode, in which
    batch norm uses what it learned in training instead of the batch at hand.
    """
    model.eval()
    with torch.inference_mode():
        return torch.cat([model(batch.float() / 255) for batch in images.split(batch_size)])


def available_devices() -> list[str]:
    """Return the names of the devices that this machine can compute on, the fastest first."""
    devices = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    return [device for device, is_available in devices.items() if is_available]


def check_model_path(path: str | Path) -> None:
    """Make sure, before any work is done, that weights can be saved at `path`; make its folder if need be.

    Also deletes what a training left there that was killed while it saved. Raises OSError when nothing can be saved.
    """
    path = Path(path).resolve()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file with --model-path")
    temporary_path = _temporary_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary_path.touch()
        temporary_path.unlink()
        for leftover in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
            if time.time() - leftover.stat().st_mtime > 60:  # seconds; nobody is writing it any more
                leftover.unlink()
    except OSError as error:
        raise OSError(f"cannot write {path} ({error.strerror}); name another place with --model-path") from error


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Save the model's state_dict at `path`, as a whole or not at all. Raises OSError when that fails.

    The weights go to a temporary file beside `path`, which then takes its place in one step, so that whatever
    interrupts the program leaves the complete old file or the complete new one.
    """
    # Gathered from the CPU and in memory, the bytes depend neither on the device nor on the name of the file.
    buffer = io.BytesIO()
    torch.save({name: tensor.cpu() for name, tensor in model.state_dict().items()}, buffer)

    path = Path(path).resolve()
    temporary_path = _temporary_path(path)
    try:
        with open(temporary_path, "wb") as file:
            file.write(buffer.getvalue())
            file.flush()
            os.fsync(file.fileno())  # on the disk before the old file goes
        os.replace(temporary_path, path)
    except OSError as error:
        raise OSError(
            f"the weights could not be saved at {path} ({error.strerror}); make room there, or name another place "
            "with --model-path"
        ) from error
    finally:
        if temporary_path.exists():
            temporary_path.unlink()


def _temporary_path(path: Path) -> Path:
    # With the process in its name, two trainings that save at the same time do not write into each other's file.
    return path.with_name(f"{path.name}.{os.getpid()}.tmp")


def load_weights(path: str | Path, device: str = "cpu", num_classes: int = 10) -> CNN:
    """Return a CNN on `device`, in evaluation mode, with the weights that `save_weights` saved at `path`.

    Raises FileNotFoundError when there is no such file, another OSError when it cannot be read, and ValueError when
    it does not hold the weights of a CNN with `num_classes` classes.
    """
    model = CNN(num_classes)
    try:
        file = io.BytesIO(Path(path).read_bytes())
        # torch.save writes a zip archive with checksums, but torch.load does not compare them.
        if zipfile.ZipFile(file).testzip() is not None:
            raise zipfile.BadZipFile
        file.seek(0)
        # weights_only admits nothing but tensors, so that a file from a stranger cannot run code.
        model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
            raise ValueError("not a number among the weights")
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; make it with python train_CNN.py") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}); name a file with --model-path") from error
    except DAMAGED_FILE_ERRORS as error:
        raise ValueError(
            f"{path} is damaged or does not hold the weights of this network; make it anew with python train_CNN.py"
        ) from error
    return model.to(device).eval()


def architecture_table(model: CNN) -> str:
    """Return the layers of the model as a Markdown table: name, shape of the output for one image, parameters."""
    rows = ["| layer | output | parameters |", "|---|---:|---:|"]
    output = torch.zeros(1, 1, 28, 28)
    for layer in model.layers:
        output = layer(output)
        num_parameters = sum(parameter.numel() for parameter in layer.parameters())
        shape = " x ".join(str(size) for size in output.shape[1:])
        rows.append(f"| {type(layer).__name__} | {shape} | {num_parameters:,} |")
    total = sum(parameter.numel() for parameter in model.parameters())
    return "\n".join([*rows, f"| **total** | | **{total:,}** |"])


if __name__ == "__main__":
    print(architecture_table(CNN()))
