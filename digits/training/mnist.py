"""MNIST: 60,000 handwritten digits to train with and 10,000 to test with, as two tensors.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition".
"""

from __future__ import annotations

import socket
import time
from pathlib import Path

from torch import Tensor
from torchvision.datasets import MNIST

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
TIMEOUT = 20  # seconds without a byte from a mirror
SETTLING_TIME = 3  # seconds since the last change of a file; until then another program may still be unpacking it
MAX_TRIES = 10  # one per second, to read files that seem damaged
MAX_DOWNLOADS = 2  # tries


def load_mnist(data_dir: str | Path, train: bool, device: str) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, 28, 28), uint8 in 0..255, light ink on black, and labels (N,), int64 in 0..9, on `device`.

    `train` asks for the 60,000 training images, else the 10,000 test images are returned. torchvision downloads to
    `data_dir`/MNIST/raw what is missing there, and checks it. Raises OSError when that fails, and ValueError when
    the files there are damaged.
    """
    raw_dir = Path(data_dir) / "MNIST" / "raw"
    attempt = 1
    while True:
        try:
            images, labels = _load(data_dir, train, raw_dir)
            return images.unsqueeze(1).to(device), labels.to(device)
        except (OSError, ValueError) as error:
            max_tries = MAX_TRIES if isinstance(error, ValueError) else MAX_DOWNLOADS
            if attempt >= max_tries or not _is_changing(raw_dir):
                raise
        time.sleep(1)  # of two first runs at once, each may meet the half-written files of the other
        attempt += 1


def _load(data_dir: str | Path, train: bool, raw_dir: Path) -> tuple[Tensor, Tensor]:
    """Return images (N, 28, 28), uint8, and labels (N,), int64; raises what load_mnist() raises."""
    earlier_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # or a mirror that does not respond would keep the program waiting for ever
    try:
        dataset = MNIST(data_dir, train=train, download=True)
    except Exception as error:  # what mirrors send and files hold can make torchvision raise anything
        raise _explain(error, raw_dir) from error
    finally:
        socket.setdefaulttimeout(earlier_timeout)
    images, labels = dataset.data, dataset.targets
    if not len(images) == len(labels) > 0 or images.shape[1:] != (28, 28) or labels.max() > 9:
        raise ValueError(f"the files in {raw_dir} do not belong together; delete them and run this again")
    return images, labels


def _is_changing(raw_dir: Path) -> bool:
    """Return whether a file in the folder has just been written."""
    try:
        return abs(time.time() - max(path.stat().st_mtime for path in raw_dir.iterdir())) < SETTLING_TIME
    except (OSError, ValueError):  # no such folder, or it is empty
        return False


def _explain(error: Exception, raw_dir: Path) -> OSError | ValueError:
    """Return an error: what kept torchvision from loading MNIST, and what to do."""
    is_from_network = isinstance(error, (ConnectionError, socket.timeout))
    if isinstance(error, OSError) and error.strerror and not is_from_network:
        return OSError(f"MNIST cannot be kept in {raw_dir} ({error.strerror}); name another with --data-dir")
    if all((raw_dir / name).exists() for name in FILES):
        return ValueError(f"the files in {raw_dir} are damaged; delete them and run this again")
    reason = " ".join(str(error).split())
    names = ", ".join(f"{name}.gz" for name in FILES)
    return OSError(f"MNIST could not be downloaded: {reason}; try again later, or put {names} into {raw_dir}")
