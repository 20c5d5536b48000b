"""An object store on this machine, for tests of stores in buckets, and processes that get into each other's way."""

from __future__ import annotations

import logging
import multiprocessing
import os
import shutil
import threading
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.store.place import LocalPlace

BUCKET = "bucket"
SECRET = "a-secret-key"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of a server that speaks S3, with an empty bucket; it lives as long as the tests."""
    threaded = pytest.importorskip("moto.moto_server.threaded_moto_server")
    turn = threading.Lock()

    class OneByOne(threaded.DomainDispatcherApplication):
        """Moto looks at a condition and writes in two steps; real servers do it in one."""

        def __call__(self, *request: Any) -> Iterable[bytes]:  # WSGI's own types say no more
            with turn:
                return list(super().__call__(*request))

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threaded, "DomainDispatcherApplication", OneByOne)
        server = threaded.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")):
        yield endpoint
    server.stop()


@pytest.fixture
def s3_url(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty place in a bucket, ``s3://bucket/prefix``, and an environment that lets obstore and its children in."""
    access = {
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ENDPOINT_URL": s3_endpoint,
        "NO_PROXY": "127.0.0.1",
    }
    for name, value in access.items():
        monkeypatch.setenv(name, value)
    return f"s3://{BUCKET}/{uuid.uuid4().hex}"


@pytest.fixture(params=["folder", "bucket"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "f.zarr") if request.param == "folder" else str(request.getfixturevalue("s3_url"))


@pytest.fixture
def folder(tmp_path: Path) -> LocalPlace:
    return LocalPlace(tmp_path / "f.zarr")


@dataclass(frozen=True)
class Child:
    """Another process, and a pipe to it."""

    process: BaseProcess
    pipe: Connection

    def told(self, timeout_s: float = 20.0) -> str:
        assert self.pipe.poll(timeout_s), "the process says nothing"
        return str(self.pipe.recv())

    def go(self) -> str:
        self.pipe.send("go")
        return self.told()

    def end(self) -> None:
        self.pipe.send("end")
        self.process.join(20)

    def kill(self) -> None:
        self.process.kill()
        self.process.join(20)


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    """A function that starts a process which runs some lines: `start(lines, url, claim)`; all end with the test."""
    # A server that has imported everything once forks them, for an import takes a second.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["featstore.store.lease"])
    children: list[Child] = []

    def begin(lines: str, url: str, claim: tuple[str, int, int] = ("plan", 1, 1)) -> Child:
        ours, theirs = context.Pipe()
        before = "import os; os.environ.update(env)\nfrom featstore.store import lease as leases\n"
        before += "from featstore.store.place import open_place\n"
        names = {"pipe": theirs, "url": url, "claim": claim, "env": dict(os.environ)}
        process = context.Process(target=exec, args=(before + lines, names), daemon=True)
        process.start()
        children.append(Child(process, ours))
        return children[-1]

    yield begin
    for child in children:
        child.kill()


def make_dataset(folder: Path, write_photo: Callable[..., Path], write_record: Callable[..., Path]) -> Path:
    """Eleven photographs in three views; number 4 is truncated."""
    for n in range(11):
        path = write_photo(folder / "train" / f"{n}.jpg", seed=n, size=(80, 60))
        view = ("Flower", "Leaf", "Entire")[n % 3]
        write_record(
            path.with_suffix(".xml"), ObservationId=n // 2 * 2, MediaId=n, FileName=path.name, Content=view,
            ClassId=n // 6,
        )  # fmt: skip
    damaged = folder / "train" / "4.jpg"
    damaged.write_bytes(damaged.read_bytes()[:-300])
    return folder


@pytest.fixture
def dataset(tmp_path: Path, write_photo: Callable[..., Path], write_record: Callable[..., Path]) -> Path:
    """See `make_dataset`."""
    return make_dataset(tmp_path / "photos", write_photo, write_record)


@pytest.fixture(scope="session")
def master(
    tmp_path_factory: pytest.TempPathFactory, write_photo: Callable[..., Path], write_record: Callable[..., Path]
) -> Path:
    """Folder of photographs and of a store with two networks' features of them; to be left as it is."""
    folder = tmp_path_factory.mktemp("finished")
    photos = make_dataset(folder / "photos", write_photo, write_record)
    networks = ("mobilenet", "mobilenet_v2")
    build_store(photos, folder / "f.zarr", BuildSettings(networks, "random", side_px=32, batch_size=4, n_workers=0))
    return folder


@pytest.fixture
def finished(master: Path, tmp_path: Path) -> Path:
    """A copy of a store with two networks' features of `make_dataset`; its photographs lie where they were built."""
    return Path(shutil.copytree(master / "f.zarr", tmp_path / "f.zarr"))
