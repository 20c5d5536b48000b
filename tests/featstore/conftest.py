"""An object store on this machine, for tests of stores in buckets."""

from __future__ import annotations

import logging
import threading
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

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
