"""Requests: what a unit of 128 photographs costs in an object store, counted at a server on this machine.

    python tests/benchmarks/bench_requests.py [--json requests.json]

Two builds of different size give the cost of one more unit, by method: building, a build with nothing to do, and
reading everything. The four networks of the article are replaced by ones that cost nothing.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stand_in import many_photographs, stand_in_for_networks

from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.provenance import Json, provenance, write_text
from featstore.shell import print_table
from featstore.store import Store
from featstore.table import load_table

UNITS = (14, 42)
"""Units of the two builds; seven views share them."""

ACCESS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1"}


@contextmanager
def counting_server() -> Iterator[tuple[str, Counter[str]]]:
    """A server that speaks S3, with a bucket, and the requests that it has seen."""
    from moto.moto_server import threaded_moto_server as moto

    seen: Counter[str] = Counter()

    class Counting(moto.DomainDispatcherApplication):
        def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
            method = str(environ["REQUEST_METHOD"])
            listing = method == "GET" and "list-type" in str(environ.get("QUERY_STRING", ""))
            seen["LIST" if listing else method] += 1
            return list(super().__call__(environ, start))

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto.DomainDispatcherApplication = Counting
    server = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    endpoint = "http://{}:{}".format(*server.get_host_and_port())
    os.environ.update({**ACCESS, "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "NO_PROXY": "127.0.0.1"})
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/bucket", method="PUT"))
    try:
        yield endpoint, seen
    finally:
        server.stop()


def counted(seen: Counter[str], run: Callable[[], object]) -> Counter[str]:
    before = seen.copy()
    run()
    return seen - before


def measured(n_units: int, folder: Path, seen: Counter[str]) -> dict[str, Counter[str]]:
    package = many_photographs(folder, n_units * 128)
    url = f"s3://bucket/{n_units}.zarr"
    settings = BuildSettings(weights="random", n_workers=0, roi="none")
    names = ["vgg16", "vgg19", "resnet50", "inception_v3"]
    return {
        "build": counted(seen, lambda: build_store(package, url, settings)),
        "nothing to do": counted(seen, lambda: build_store(package, url, settings)),
        "read one network": counted(seen, lambda: load_table(Store.open(url), names[:1])),
        "read all four": counted(seen, lambda: load_table(Store.open(url), names)),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    stand_in_for_networks()
    folder = Path(tempfile.mkdtemp())
    try:
        with counting_server() as (_, seen):
            few, many = (measured(n_units, folder / str(n_units), seen) for n_units in UNITS)
    finally:
        shutil.rmtree(folder)
    methods = ("PUT", "GET", "HEAD", "LIST", "POST", "DELETE")
    step = UNITS[1] - UNITS[0]
    rows: list[dict[str, Json]] = [
        {"what": what, **{method: (many[what][method] - few[what][method]) / step for method in methods},
         "fixed": {method: few[what][method] for method in methods}}
        for what in few
    ]  # fmt: skip
    print_table(
        "Requests for one more unit of 128 photographs",
        ["", *methods],
        [[str(row["what"]), *(f"{row[method]:.2f}" for method in methods)] for row in rows],
    )
    if options.json:
        write_text(options.json, json.dumps({"rows": list(rows), "provenance": provenance()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
