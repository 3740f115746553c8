"""MNIST's download, from a server on this machine that serves generated digits in MNIST's form, or fails to."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import MNIST

from digits.command_line import DATA_DIR, PROJECT_DIR
from digits.training import mnist
from digits.training.mnist import load_mnist
from tests.helpers import needs_mnist, write_idx, write_mnist


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


class Server(http.server.ThreadingHTTPServer):
    """A mirror of MNIST on this machine, that holds `archives` and behaves as `way` tells."""

    daemon_threads = True
    archives: dict[str, bytes]
    way = "good"


class Mirror(http.server.BaseHTTPRequestHandler):
    """Serves the archives of its server in the way that its server is told to."""

    def do_GET(self) -> None:
        """Respond to one request."""
        assert isinstance(self.server, Server)
        content, way = self.server.archives[self.path.rsplit("/", 1)[-1]], self.server.way
        if way == "hang":
            time.sleep(60)
        elif way == "not found":
            self.send_error(404)
        else:
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
    """Return a server, the only mirror that torchvision knows, whose attribute `way` tells how it behaves."""
    server = Server(("127.0.0.1", 0), Mirror)
    server.archives = archives
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(MNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    resources = [(name, hashlib.md5(archives[name]).hexdigest()) for name, _ in MNIST.resources]
    monkeypatch.setattr(MNIST, "resources", resources)
    monkeypatch.setattr(mnist, "TIMEOUT", 1.5)
    yield server
    server.shutdown()
    server.server_close()


def test_download(mirror, tmp_path):
    images, labels = load_mnist(tmp_path, train=True, device="cpu")
    assert images.shape == (30, 1, 28, 28) and labels.shape == (30,)
    assert load_mnist(tmp_path, train=False, device="cpu")[0].shape == (20, 1, 28, 28)


@pytest.mark.parametrize(
    "way", ["refuse", "hang", "hang in the middle", "not found", "error page", "wrong checksum", "half"]
)
def test_failed_download_can_be_repeated(way, mirror, tmp_path, monkeypatch):
    mirror.way = way
    good_mirrors = MNIST.mirrors
    if way == "refuse":
        monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])  # where nothing listens
    start = time.perf_counter()
    with pytest.raises(OSError, match=r"could not be downloaded: .*put train-images-idx3-ubyte.gz") as error_info:
        load_mnist(tmp_path, train=True, device="cpu")
    assert "\n" not in str(error_info.value)
    assert time.perf_counter() - start < 15

    mirror.way = "good"
    monkeypatch.setattr(MNIST, "mirrors", good_mirrors)
    if way == "half":  # as a download leaves it that is killed
        (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b")
    assert len(load_mnist(tmp_path, train=True, device="cpu")[0]) == 30


def test_archives_put_there_by_hand_need_no_network(archives, tmp_path, mirror, monkeypatch):
    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/"])
    raw_dir = tmp_path / "MNIST" / "raw"
    raw_dir.mkdir(parents=True)
    for name, content in archives.items():
        (raw_dir / name).write_bytes(content)
    assert len(load_mnist(tmp_path, train=True, device="cpu")[0]) == 30


def test_time_out_is_set_while_torchvision_loads_and_then_put_back(monkeypatch, tmp_path):
    during = []

    def fail(*arguments: object, **options: object) -> None:
        during.append(socket.getdefaulttimeout())
        raise RuntimeError("no mirror")

    monkeypatch.setattr(mnist, "MNIST", fail)
    before = socket.getdefaulttimeout()
    with pytest.raises(OSError, match="could not be downloaded: no mirror;"):
        load_mnist(tmp_path, train=True, device="cpu")
    assert during == [mnist.TIMEOUT] and 5 <= mnist.TIMEOUT <= 60
    assert socket.getdefaulttimeout() == before


@pytest.mark.parametrize(
    "error", [ConnectionResetError(104, "Connection reset by peer"), socket.timeout("timed out"), OSError("no route")]
)
def test_errors_of_the_network_are_no_errors_of_the_disk(error, monkeypatch, tmp_path):
    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(mnist, "MNIST", fail)
    with pytest.raises(OSError, match=f"could not be downloaded: .*{str(error)[-8:]}; try again later"):
        load_mnist(tmp_path, train=True, device="cpu")


def test_files_in_place_are_only_read(raw_dir, tmp_path):
    before = {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")}
    load_mnist(tmp_path, train=True, device="cpu")
    assert before == {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in tmp_path.rglob("*")}


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"MNIST cannot be kept in .* with --data-dir"):
        load_mnist(tmp_path / "file", train=True, device="cpu")


def test_read_only_folder(tmp_path, monkeypatch):
    def refuse(path, *arguments, **options):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "makedirs", refuse)  # as for a user other than root
    with pytest.raises(OSError, match=r"cannot be kept in .* \(Permission denied\); name another with --data-dir"):
        load_mnist(tmp_path, train=True, device="cpu")


@pytest.fixture
def raw_dir(tmp_path) -> Path:
    """Return the folder of the unpacked files of a small data set in tmp_path."""
    write_mnist(tmp_path, num_train=30, num_test=20)
    return tmp_path / "MNIST" / "raw"


DAMAGES = {
    "empty": lambda data: b"",
    "header cut": lambda data: data[:10],
    "half": lambda data: data[: len(data) // 2],
    "last byte missing": lambda data: data[:-1],
    "wrong magic": lambda data: b"\x01\x02" + data[2:],
    "wrong number of axes": lambda data: data[:3] + b"\x01" + data[4:],
    "wrong type": lambda data: data[:2] + b"\x07" + data[3:],
    "zeros": lambda data: bytes(len(data)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_images(damage, raw_dir, tmp_path):
    path = raw_dir / "train-images-idx3-ubyte"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(ValueError, match="delete them and run this again"):
        load_mnist(tmp_path, train=True, device="cpu")


@pytest.mark.parametrize("case", ["images of another size", "labels over nine", "labels of other images"])
def test_files_that_do_not_belong_together(case, raw_dir, tmp_path):
    if case == "images of another size":
        write_idx(raw_dir / "train-images-idx3-ubyte", np.zeros((30, 28, 27), dtype=np.uint8))
    elif case == "labels over nine":
        write_idx(raw_dir / "train-labels-idx1-ubyte", np.arange(30, dtype=np.uint8))
    else:
        shutil.copy(raw_dir / "t10k-labels-idx1-ubyte", raw_dir / "train-labels-idx1-ubyte")
    assert len(load_mnist(tmp_path, train=False, device="cpu")[0]) == 20
    with pytest.raises(ValueError, match="do not belong together; delete them"):
        load_mnist(tmp_path, train=True, device="cpu")


@needs_mnist
@pytest.mark.slow
def test_all_of_mnist():
    for train, num_images in ((True, 60_000), (False, 10_000)):
        images, labels = load_mnist(DATA_DIR, train=train, device="cpu")
        assert images.shape == (num_images, 1, 28, 28) and labels.shape == (num_images,)
        assert images.min() == 0 and images.max() == 255
        assert labels.unique().tolist() == list(range(10))


LOADER = """
import sys
from digits.training.mnist import load_mnist
print("ready", flush=True)
sys.stdin.readline()
print(len(load_mnist(sys.argv[1], True, "cpu")[0]))
"""


@needs_mnist
@pytest.mark.slow
@pytest.mark.parametrize("turn", range(0, 10, 2))
def test_two_first_runs_at_once(turn, tmp_path):
    """Both unpack the archives into the same files, one a little after the other, and read them."""
    raw_dir = tmp_path / "MNIST" / "raw"
    raw_dir.mkdir(parents=True)
    for name, _ in MNIST.resources:
        archive = DATA_DIR / "MNIST" / "raw" / name
        content = archive.read_bytes() if archive.exists() else gzip.compress(archive.with_suffix("").read_bytes())
        (raw_dir / name).write_bytes(content)
    command = [sys.executable, "-c", LOADER, str(tmp_path)]
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(command, text=True, cwd=PROJECT_DIR, stdin=pipe, stdout=pipe, stderr=pipe) for _ in range(2)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
        time.sleep(turn / 10)
    results = [process.communicate(timeout=60) for process in processes]
    assert [output for output, _ in results] == ["60000\n"] * 2, results


def test_files_that_are_being_written_are_waited_for(raw_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "SETTLING_TIME", 3)
    path = raw_dir / "train-images-idx3-ubyte"
    content = path.read_bytes()
    path.write_bytes(content[:1000])
    timer = threading.Timer(1.5, path.write_bytes, [content])
    timer.start()
    images, _ = load_mnist(tmp_path, train=True, device="cpu")
    timer.join()
    assert len(images) == 30


def test_files_that_stay_damaged_are_not_waited_for_long(raw_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "SETTLING_TIME", 3)
    path = raw_dir / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:1000])
    start = time.perf_counter()
    with pytest.raises(ValueError, match="are damaged; delete them"):
        load_mnist(tmp_path, train=True, device="cpu")
    assert 2 < time.perf_counter() - start < 8
