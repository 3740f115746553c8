"""Saves the weights of the network atomically, and loads them from anybody."""

from __future__ import annotations

import glob
import io
import os
import time
import warnings
import zipfile
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from digits.command_line import FINDER_PATH
from digits.reading.finder import Finder
from model import CNN

Network = TypeVar("Network", bound=nn.Module)

ZIP_MAGIC = b"PK\x03\x04"  # the first bytes of a zip archive
DAMAGED = "is damaged or does not hold the weights of this network"
LEFTOVER_AGE = 60  # seconds; age from which nobody is writing a temporary file any more


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
        raise OSError(f"cannot write {path} ({error.strerror}); name another file with --model-path") from error


def save_weights(model: nn.Module, path: str | Path) -> None:
    """Save the model's state_dict at `path` atomically. Raises OSError when that fails.

    The weights go to a temporary file beside `path`, which is then renamed, so that whatever interrupts the program
    leaves the complete old file or the complete new one.
    """
    # Gathered from the CPU and in memory, the bytes depend neither on the device nor on the name of the file.
    state_dict = model.state_dict()  # its metadata holds the version of the network
    for name, tensor in state_dict.items():
        state_dict[name] = tensor.cpu()
    buffer = io.BytesIO()
    torch.save(state_dict, buffer)

    path = Path(path).resolve()
    temporary_path = _temporary_path(path)
    try:
        with open(temporary_path, "wb") as file:
            file.write(buffer.getvalue())
            file.flush()
            os.fsync(file.fileno())  # on the disk before the old file goes
        os.replace(temporary_path, path)
    except OSError as error:
        what_to_do = "make room there, or name another file with --model-path"
        raise OSError(f"the weights could not be saved at {path} ({error.strerror}); {what_to_do}") from error
    finally:
        if temporary_path.exists():
            temporary_path.unlink()


def _temporary_path(path: Path) -> Path:
    # With the process in its name, two trainings that save at the same time do not write into each other's file.
    return path.with_name(f"{path.name}.{os.getpid()}.tmp")


def load_weights(path: str | Path, device: str = "cpu", num_classes: int = 10) -> CNN:
    """Return a CNN on `device`, in evaluation mode, with the weights that `save_weights` saved at `path`.

    Raises FileNotFoundError when there is no such file, another OSError when it cannot be read, and ValueError when
    it does not hold the weights of a CNN of this version with `num_classes` classes.
    """
    return _load(CNN(num_classes), path, device, "python train_CNN.py")


def load_finder(path: str | Path = FINDER_PATH, device: str = "cpu") -> Finder:
    """Return a finder on `device`, in evaluation mode, with the weights at `path`. Raises as load_weights() does."""
    return _load(Finder(), path, device, "python -m digits.reading.train_finder")


def _load(model: Network, path: str | Path, device: str, command: str) -> Network:
    """Return `model` with the weights at `path`, which `command` makes."""
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; make it with {command}") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror}); name another file") from error
    try:
        _fill(model, _unpack(data))
    except ValueError as error:
        raise ValueError(f"{path} {error}; make it anew with {command}") from error
    # Channels last, in memory only: the same network, up to twice as fast on a CPU
    return model.to(device).to(memory_format=torch.channels_last).eval()


def _unpack(data: bytes) -> object:
    """Return what torch.save wrote into the bytes of a file. Raises ValueError with what is wrong with it.

    Only zip archives reach torch.load: older versions of PyTorch run code from a crafted file in one of the formats
    used before PyTorch 1.6, a tar archive or a bare pickle, even with weights_only (CVE-2025-32434), and TorchScript
    archives hold code.
    """
    if data[257:262] == b"ustar" or data[:1] == b"\x80":
        raise ValueError("was saved by a PyTorch older than 1.6")
    if data[:4] != ZIP_MAGIC:
        raise ValueError(DAMAGED)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about oddities of a file, which is either loaded or refused
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                # torch.save writes checksums, but torch.load does not compare them.
                is_intact = archive.testzip() is None and not any(
                    "constants.pkl" in name for name in archive.namelist()
                )
            # weights_only admits tensors and plain containers alone.
            return torch.load(io.BytesIO(data), "cpu", weights_only=True) if is_intact else None
    except Exception as error:  # a stranger's bytes can make these libraries raise anything
        raise ValueError(DAMAGED) from error


def _fill(model: nn.Module, state_dict: Any) -> None:
    """Load a state_dict into `model`. Raises ValueError with what is wrong with it."""
    try:
        model.load_state_dict(state_dict)
        version = getattr(state_dict, "_metadata", {}).get("", {}).get("version", 1)
    except Exception as error:  # a stranger's file may hold anything under any name
        raise ValueError(DAMAGED) from error
    if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
        raise ValueError(DAMAGED)
    if version != model._version:
        raise ValueError("is from another version of this project, which prepared images differently")
