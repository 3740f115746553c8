"""Loads MNIST: 60,000 handwritten digits to train with and 10,000 to test with.

LeCun, Bottou, Bengio and Haffner 1998, "Gradient-based learning applied to document recognition".
"""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor
from torchvision.datasets import MNIST

DATA_DIR = os.environ.get("MNIST_DIR") or Path(__file__).resolve().parent / "data"  # unless --data-dir names another


def load_mnist(data_dir: str | Path, train: bool, device: str) -> tuple[Tensor, Tensor]:
    """Return images (N, 1, 28, 28), uint8 in 0..255, light ink on black, and labels (N,), int64 in 0..9, on `device`.

    `train` asks for the 60,000 training images, else the 10,000 test images come. torchvision downloads to
    `data_dir`/MNIST/raw what is missing there, and checks it. Raises OSError when that fails, and ValueError when
    the files there are damaged.
    """
    raw_dir = Path(data_dir) / "MNIST" / "raw"
    try:
        dataset = MNIST(data_dir, train=train, download=True)
    except RuntimeError as error:  # every mirror failed
        reason = " ".join(str(error).split())
        raise OSError(
            f"MNIST could not be downloaded: {reason}; try again later, or put train-images-idx3-ubyte.gz, "
            f"train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz and t10k-labels-idx1-ubyte.gz into {raw_dir}"
        ) from error
    except (AssertionError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"the files in {raw_dir} are damaged; delete them and run this again") from error
    images, labels = dataset.data, dataset.targets
    if not len(images) == len(labels) > 0 or images.shape[1:] != (28, 28) or labels.max() > 9:
        raise ValueError(f"the files in {raw_dir} do not belong together; delete them and run this again")
    return images.unsqueeze(1).to(device), labels.to(device)
