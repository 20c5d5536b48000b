"""The work of `evaluate report`: gather, reduce the photographs, write one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from evaluation.report.album import Album
from evaluation.report.material import ReportSettings, gather
from evaluation.report.page import photographs_of, write_page
from evaluation.report.standings import headline
from featstore.provenance import Json, write_text


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes
    ----------
    path
        The page.
    headline
        Its finding in one sentence.
    n_bytes
        Its size.
    n_results, n_observations
        Rows of the leaderboard, and plants that were scored.
    n_photographs, n_missing
        Photographs in it, and those that could not be shown.
    warnings
        What is doubtful and was kept.
    """

    path: Path
    headline: str
    n_bytes: int
    n_results: int
    n_observations: int
    n_photographs: int
    n_missing: int
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """Everything, as one document."""
        return {
            "schema": "report/1",
            "html": str(self.path),
            "headline": self.headline,
            "bytes": self.n_bytes,
            "results": self.n_results,
            "observations": self.n_observations,
            "photographs": self.n_photographs,
            "missing_photographs": self.n_missing,
            "warnings": list(self.warnings),
        }


def report_runs(runs: Sequence[Path], settings: ReportSettings, store: str | None, path: Path) -> Written:
    """Write the page about some runs.

    Parameters
    ----------
    runs
        Run folders, folders of runs, or ``*.predictions.h5`` files.
    settings
        What to report, and how.
    store
        Feature store that knows the photographs; None for a page without them.
    path
        The HTML file, written whole or not at all.

    Raises
    ------
    PredictionsError
        If predictions are missing, break their format, do not belong together, or no true class is known.
    StoreError
        If there is no such store, or it is damaged.
    """
    material = gather(runs, settings, store)
    album = Album.of(material.herbarium, photographs_of(material)) if material.herbarium else Album({}, {})
    text = write_page(material, album)
    write_text(path, text)
    return Written(
        path=path,
        headline=headline(material),
        n_bytes=path.stat().st_size,
        n_results=len(material.results),
        n_observations=material.best.s.n_observations,
        n_photographs=len(album.prints),
        n_missing=len(album.missing),
        warnings=material.warnings,
    )
