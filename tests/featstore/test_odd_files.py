"""Files that are odd: pipes called like photographs, and hidden ones."""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.errors import ImageError
from featstore.images import read_bytes
from featstore.provenance import sha256_of_file
from featstore.readers import read_dataset
from featstore.readers.plantclef import parse_record

SETTINGS = BuildSettings(("mobilenet",), "random", side_px=32, batch_size=4, n_workers=0)

Answer = TypeVar("Answer")

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")


def soon(ask: Callable[[], Answer]) -> Answer:
    """The answer of something that might wait without end."""
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(ask()), daemon=True)
    thread.start()
    thread.join(120)
    assert answers, "no answer"
    return answers[0]


@needs_pipes
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "x.jpg")

    def ask() -> str:
        with pytest.raises(ImageError, match=r"a pipe or device: x\.jpg|Is a directory: x\.jpg") as caught:
            read_bytes(tmp_path / "x.jpg")
        return str(caught.value)

    assert soon(ask)


@needs_pipes
def test_a_pipe_among_the_photographs_fails_alone(tmp_path: Path, dataset: Path) -> None:
    build_store(dataset, tmp_path / "f.zarr", SETTINGS)
    photograph = dataset / "train" / "5.jpg"
    photograph.unlink()
    os.mkfifo(photograph)
    by_content = BuildSettings(("mobilenet",), "random", side_px=32, batch_size=4, n_workers=0, content=True)
    summary = soon(lambda: build_store(dataset, tmp_path / "f.zarr", by_content))
    assert (summary.n_done, summary.n_failed) == (9, 2)
    assert "a pipe or device" in dict(summary.failures)["5"]


def test_hidden_photographs_are_counted(tmp_path: Path, dataset: Path, write_photo: Callable[..., Path]) -> None:
    shutil.copy(dataset / "train" / "3.jpg", dataset / "train" / ".hidden.jpg")
    (dataset / "train" / ".DS_Store").write_bytes(b"x")
    write_photo(tmp_path / "folders" / "rose" / "a.jpg")
    write_photo(tmp_path / "folders" / "rose" / "._a.jpg")
    write_photo(tmp_path / "folders" / "rose" / "._b.JPG")
    told = "1 photograph is hidden by its name, and passed over: .hidden.jpg"
    assert told in read_dataset(dataset).warnings
    catalog = read_dataset(tmp_path / "folders")
    assert catalog.frame["image_id"].tolist() == ["rose/a.jpg"]
    assert catalog.warnings[0] == "2 photographs are hidden by their names, and passed over: ._a.jpg, ._b.JPG"


@needs_pipes
def test_a_pipe_in_place_of_a_record_or_weights_is_no_end_of_waiting(tmp_path: Path, dataset: Path) -> None:
    record = dataset / "train" / "5.xml"
    record.unlink()
    os.mkfifo(record)
    fields, wrong = soon(lambda: parse_record(record))
    assert fields == {}
    assert "cannot be read" in wrong
    assert soon(lambda: sha256_of_file(record)) == hashlib.sha256().hexdigest()
