"""MNIST's download, from a server on this machine that serves generated digits in MNIST's form, or fails to."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import socket
import threading
import time
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from torchvision.datasets import MNIST

from digits.command_line import DATA_DIR
from digits.training import mnist
from digits.training.mnist import load_mnist
from tests.helpers import needs_mnist, to_idx, write_mnist


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """Let no damaged file of the tests count as one that another program is still writing."""
    monkeypatch.setattr(mnist, "SETTLING_TIME", 0)


@pytest.fixture(scope="module")
def archives(tmp_path_factory) -> dict[str, bytes]:
    """Return the four archives, by their names."""
    data_dir = tmp_path_factory.mktemp("served")
    write_mnist(data_dir, num_train=30, num_test=20)
    return {f"{path.name}.gz": gzip.compress(path.read_bytes()) for path in (data_dir / "MNIST" / "raw").iterdir()}


class Mirror(http.server.BaseHTTPRequestHandler):
    """A mirror of MNIST on this machine, that holds `archives` and behaves as `way` tells."""

    archives: ClassVar[dict[str, bytes]]
    way = "good"

    def do_GET(self) -> None:
        """Respond to one request."""
        content, way = self.archives[self.path.rsplit("/", 1)[-1]], self.way
        if way == "hang":
            time.sleep(60)  # and then nobody listens any more
            return
        if way == "not found":
            self.send_error(404)
            return
        changed = {"error page": b"<html>down for maintenance</html>", "wrong checksum": gzip.compress(b"other")}
        content = content[: len(content) // 2] if way == "half" else changed.get(way, content)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content[: len(content) // 2] if way == "hang in the middle" else content)
            self.wfile.flush()
            time.sleep(60 if way == "hang in the middle" else 0)

    do_HEAD = do_GET  # torchvision first asks whether it is sent elsewhere

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def mirror(archives, monkeypatch):
    """Return the handler of the only mirror that torchvision knows; its attribute `way` tells how it behaves."""
    monkeypatch.setattr(Mirror, "archives", archives, raising=False)
    monkeypatch.setattr(Mirror, "way", "good")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Mirror)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    resources = [(name, hashlib.md5(archives[name]).hexdigest()) for name, _ in MNIST.resources]
    monkeypatch.setattr(MNIST, "resources", resources)
    monkeypatch.setattr(mnist, "TIMEOUT", 1.5)
    yield Mirror
    server.shutdown()
    server.server_close()


def load(data_dir: Path, train: bool = True) -> int:
    """Load MNIST; return the number of its images."""
    images, labels = load_mnist(data_dir, train, device="cpu")
    assert images.shape == (len(labels), 1, 28, 28) and labels.shape == (len(labels),)
    return len(labels)


def test_download(mirror, tmp_path):
    assert load(tmp_path) == 30 and load(tmp_path, train=False) == 20


@pytest.mark.parametrize(
    "way", ["refuse", "hang", "hang in the middle", "not found", "error page", "wrong checksum", "half"]
)
def test_failed_download_can_be_repeated(way, mirror, tmp_path, monkeypatch):
    mirror.way, good_mirrors, timeout = way, MNIST.mirrors, socket.getdefaulttimeout()
    if way == "refuse":
        monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])  # where nothing listens
    start = time.perf_counter()
    with pytest.raises(OSError, match=r"could not be downloaded: .*put train-images-idx3-ubyte.gz") as error_info:
        load(tmp_path)
    assert "\n" not in str(error_info.value)
    assert time.perf_counter() - start < 15 and socket.getdefaulttimeout() == timeout

    mirror.way = "good"
    monkeypatch.setattr(MNIST, "mirrors", good_mirrors)
    if way == "half":  # as a download leaves it that is killed
        (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b")
    assert load(tmp_path) == 30


def test_archives_put_there_by_hand_need_no_network(archives, tmp_path, mirror, monkeypatch):
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    raw_dir = tmp_path / "MNIST" / "raw"
    raw_dir.mkdir(parents=True)
    for name, content in archives.items():
        (raw_dir / name).write_bytes(content)
    assert load(tmp_path) == 30


@pytest.mark.parametrize(
    "error, expected",
    [
        (ConnectionResetError(104, "reset by peer"), r"could not be downloaded: .*reset by peer; try again later"),
        (socket.timeout("timed out"), r"could not be downloaded: timed out; try again later"),
        (RuntimeError("no\nmirror"), r"could not be downloaded: no mirror; try again later"),
        (
            PermissionError(13, "Permission denied"),
            r"cannot be kept in .* \(Permission denied\); name another with --data-dir",
        ),
    ],
)
def test_errors_of_the_network_and_of_the_disk(error, expected, monkeypatch, tmp_path):
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(mnist, "MNIST", fail)
    with pytest.raises(OSError, match=expected):
        load(tmp_path)


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"MNIST cannot be kept in .* with --data-dir"):
        load(tmp_path / "file")


@pytest.fixture
def raw_dir(tmp_path) -> Path:
    """Return the folder of the unpacked files of a small data set in tmp_path."""
    write_mnist(tmp_path, num_train=30, num_test=20)
    return tmp_path / "MNIST" / "raw"


@pytest.mark.parametrize(
    "name, change, part",
    [
        ("images-idx3", lambda data: b"", "damaged"),
        ("images-idx3", lambda data: data[:10], "damaged"),  # the header is cut
        ("images-idx3", lambda data: data[:-1], "damaged"),
        ("images-idx3", lambda data: b"\x01\x02" + data[2:], "damaged"),  # not the magic number
        ("images-idx3", lambda data: data[:3] + b"\x01" + data[4:], "do not belong together|damaged"),  # one axis
        ("images-idx3", lambda data: bytes(len(data)), "damaged"),
        ("images-idx3", lambda data: to_idx(np.zeros((30, 28, 27), np.uint8)), "do not belong together"),
        ("labels-idx1", lambda data: to_idx(np.arange(30, dtype=np.uint8)), "do not belong together"),  # above 9
        ("labels-idx1", lambda data: to_idx(np.zeros(20, np.uint8)), "do not belong together"),
    ],
)
def test_damaged_files(name, change, part, raw_dir, tmp_path):
    path = raw_dir / f"train-{name}-ubyte"
    path.write_bytes(change(path.read_bytes()))
    assert load(tmp_path, train=False) == 20
    with pytest.raises(ValueError, match=f"({part}).*; delete them and run this again"):
        load(tmp_path)


@needs_mnist
@pytest.mark.slow
def test_all_of_mnist():
    for train, num_images in ((True, 60_000), (False, 10_000)):
        images, labels = load_mnist(DATA_DIR, train=train, device="cpu")
        assert images.shape == (num_images, 1, 28, 28) and labels.unique().tolist() == list(range(10))
        assert images.min() == 0 and images.max() == 255


def test_files_that_are_being_written_are_waited_for(raw_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "SETTLING_TIME", 1)
    path = raw_dir / "train-images-idx3-ubyte"
    content = path.read_bytes()
    path.write_bytes(content[:1000])
    start = time.perf_counter()
    with pytest.raises(ValueError, match="are damaged; delete them"):
        load(tmp_path)
    assert 0.9 < time.perf_counter() - start < 8  # but not for long
    path.write_bytes(content[:1000])
    timer = threading.Timer(0.4, path.write_bytes, [content])
    timer.start()
    assert load(tmp_path) == 30
    timer.join()
