"""Keeping: photographs and answers as folders, only where whoever runs the server wants it."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from evaluation.identify.contract import Photograph
from featstore.provenance import Json, write_json


def keep_plant(folder: Path, photographs: Sequence[Photograph], answer: Mapping[str, Json]) -> Path:
    """Keep the photographs of one plant and what was answered, in a folder of its own, whole or not at all.

    Returns
    -------
    FOLDER/<moment>-<eight signs>, with the photographs, and ``answer.json`` that names their views.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    # Its first signs tell the moment, so that folders sort by it.
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    partial = folder / f".{name}.partial"
    partial.mkdir(parents=True)
    try:
        for photograph in photographs:
            shutil.copyfile(photograph.path, partial / photograph.image_id)
        write_json(partial / "answer.json", answer)
        return partial.rename(folder / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
