"""Saves the weights of the network whole or not at all, and loads them from anybody."""

from __future__ import annotations

import glob
import io
import os
import time
import warnings
import zipfile
from pathlib import Path

import torch
from torch import nn

from model import CNN

LEFTOVER_AGE = 60  # seconds after which nobody is writing a temporary file any more


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
            if time.time() - leftover.stat().st_mtime > LEFTOVER_AGE:
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
    try:
        file = io.BytesIO(Path(path).read_bytes())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; make it with python train_CNN.py") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}); name a file with --model-path") from error

    model = CNN(num_classes)
    damage = f"{path} is damaged or does not hold the weights of this network; make it anew with python train_CNN.py"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities of a file, which is either loaded or refused
            # torch.save writes a zip archive with checksums, but torch.load does not compare them: testzip does.
            damaged_member = zipfile.ZipFile(file).testzip()
            file.seek(0)
            # weights_only admits nothing but tensors, so that a file from a stranger cannot run code.
            model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # a stranger's bytes can make these libraries raise anything
        raise ValueError(damage) from error
    if damaged_member is not None or not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
        raise ValueError(damage)
    return model.to(device).eval()
