"""Cards: what was fused into a run file, told beside it, because its own lines have no room for that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from evaluation.official.standings import UNSTATED
from featstore.provenance import Json, provenance, sha256_of_file, write_json

SCHEMA = "run-file/1"


def card_path(path: Path) -> Path:
    """Where the card of a run file lies."""
    return path.with_name(f"{path.name}.json")


def write_card(path: Path, content: Mapping[str, Json]) -> Path:
    """Write the card of a run file that is already there, bound to its bytes."""
    document = {"schema": SCHEMA, "sha256": sha256_of_file(path), **content, "provenance": provenance()}
    write_json(card_path(path), document)
    return card_path(path)


def read_label(path: Path) -> str:
    """What a run file's card says of its weights, `UNSTATED` without a card of these very bytes."""
    try:
        content: Json = json.loads(card_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return UNSTATED
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return UNSTATED
    label = content.get("label")
    # The file may have been replaced by another since.
    same = content.get("sha256") == sha256_of_file(path)
    return label if same and isinstance(label, str) and label else UNSTATED
