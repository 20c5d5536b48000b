"""The journal of a search: what has been tried, kept beside the runs, so that a search goes on where it was ended."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from featstore.provenance import Json
from heads.candidates import Candidate

if TYPE_CHECKING:
    from heads.material import Material
    from heads.trial import Trial

JOURNALS = ".tuning"
"""Folder of the journals, beside the runs."""


class Journal:
    """What has been tried for a trial, one line each, kept beside the runs."""

    def __init__(self, trial: Trial, material: Material, folder: Path) -> None:
        conditions = {**trial.fingerprint(material), "tuning": trial.tuning.search if trial.tuning else ""}
        name = hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:16]
        self._path = folder / f"{trial.name}-{name}.jsonl"
        self.tried: list[Candidate] = []
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                # A line that a killed process left unfinished is tried again.
                try:
                    self.tried.append(Candidate(**json.loads(line)))
                except (ValueError, TypeError):
                    continue

    def find(self, settings: Mapping[str, Json]) -> Candidate | None:
        """What came of these settings, if they were tried."""
        return next((candidate for candidate in self.tried if dict(candidate.settings) == dict(settings)), None)

    def add(self, candidate: Candidate) -> None:
        """Remember one more."""
        self.tried.append(candidate)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(candidate)) + "\n")
