"""Shards from a real HTTP server that breaks connections, beside the same shards on the disk."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.config import LoaderConfig
from core.data import remote
from core.data.loader import Batches, make_loader
from core.data.remote import open_remote
from core.data.store import open_store
from core.errors import ConfigError, DataError
from tests.core.data.test_loader import equal, loader_threads, pairing


class Server(ThreadingHTTPServer):
    """Serves files of a folder. Each answer ends after `cut` bytes, whatever it promised; the first `refused` requests
    of a file get `status`."""

    daemon_threads = True
    cut: float = float("inf")
    ranges, refused, status, tag = True, 0, 503, "one"

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.asked: Counter[str] = Counter()
        self.starts: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, name = self.server, self.path.lstrip("/")
        server.asked[name] += 1
        path = server.folder / name
        if server.asked[name] <= server.refused or not path.is_file():
            self.send_error(server.status if path.is_file() else 404)
            return
        data, asked = path.read_bytes(), re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        first = int(asked[1]) if asked and server.ranges else 0
        server.starts.append(first)
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - first))
        self.send_header("ETag", server.tag)
        self.end_headers()
        # Without ranges nobody would get any further.
        stop = first + server.cut * (1 if server.ranges else server.asked[name])
        self.wfile.write(data[first : int(min(stop, len(data)))])

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(folder: Path, **how: Any) -> Iterator[Server]:
    with Server(folder) as server:
        vars(server).update(how)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(remote, "BUFFER", 1024)


def stream(folder: Path, url: str = "", workers: int = 1) -> Batches:
    config = LoaderConfig(backend="webdataset", url=url, workers=workers)
    return make_loader(open_store(folder).splits["train"], pairing("same_study"), config, seed=5, batch_size=4)


@pytest.mark.parametrize("how", [{}, {"cut": 3000}, {"cut": 1777, "refused": 2}, {"cut": 9000, "ranges": False}])
def test_the_same_batches_as_from_the_disk(pristine: Path, how: dict[str, Any]) -> None:
    local = stream(pristine)
    steps = 2 * local.steps_per_epoch
    shards = {path.name: path.stat().st_size for path in pristine.glob("train-*.tar")}
    with serving(pristine, **how) as server:
        ours = list(stream(pristine, server.url).batches(1, steps))
        assert set(server.asked) == set(shards)
        # Cut in the middle, several times.
        assert sum(server.asked.values()) >= (len(shards) * 3 if how else len(shards))
    assert len(ours) == steps - 1
    assert all(map(equal, local.batches(1, steps), ours))


def test_every_byte_once_and_in_order(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 256, 50_000, np.uint8).tobytes()
    (tmp_path / "file").write_bytes(data)
    with serving(tmp_path, cut=7000) as server:
        with open_remote(f"{server.url}/file") as stream:
            assert stream.read() == data
        assert server.starts == list(range(0, 50_000, 7000))


@pytest.mark.parametrize(
    ("how", "attempts", "said"), [({"refused": 99}, 4, "503"), ({"refused": 99, "status": 403}, 1, "403")]
)
def test_a_server_that_never_answers_right(pristine: Path, how: dict[str, Any], attempts: int, said: str) -> None:
    with serving(pristine, **how) as server:
        with pytest.raises(DataError) as caught:
            list(stream(pristine, server.url).batches(0, 3))
        assert sum(server.asked.values()) == attempts
    message = str(caught.value)
    assert re.match(rf"http://127.0.0.1:\d+/train-\d+.tar could not be read( after 4 attempts)?: .*{said}", message)
    assert ("after" in message) == (attempts > 1)
    assert "check loader.url" in message
    assert not loader_threads()


def test_no_server(pristine: Path) -> None:
    with serving(pristine) as server:
        url = server.url
    with pytest.raises(DataError, match=r"train-\d+.tar could not be read after 4 attempts: .*refused"):
        list(stream(pristine, url).batches(0, 3))


def test_a_server_that_answers_but_sends_nothing(pristine: Path) -> None:
    with serving(pristine, cut=0) as server, pytest.raises(DataError, match="after 4 attempts: the connection was clo"):
        list(stream(pristine, server.url).batches(0, 3))


def test_a_file_that_changes_between_two_connections(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(5000))
    with serving(tmp_path, cut=3000) as server, open_remote(f"{server.url}/file") as stream:
        assert len(stream.read(100)) == 100
        server.tag = "two"
        with pytest.raises(DataError, match=r"file changed while it was read"):
            stream.read()


@pytest.mark.parametrize(("backend", "url"), [("webdataset", "file:///etc"), ("mmap", "http://store/shards")])
def test_settings_that_cannot_work_are_refused(backend: str, url: str) -> None:
    with pytest.raises(ConfigError, match=r"loader\.url"):
        LoaderConfig(backend=backend, url=url)
