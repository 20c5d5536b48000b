"""Writing: fused answers as an official run file, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

from evaluation.alignment import align
from evaluation.fuse import FuseSettings
from evaluation.fusion import fuse, fuse_images
from evaluation.members import load_members
from evaluation.official.cards import write_card
from evaluation.official.layouts import AROUND, SEPARATOR, Layout, layout_of
from evaluation.official.standings import label_of
from evaluation.official.truth import image_queries
from featstore.errors import PredictionsError, SettingsError, listed
from featstore.provenance import Json, replacing, require_room, sha256_of_file

_BYTES_PER_LINE = 48
_QUERIES_AT_ONCE = 1024


@dataclass(frozen=True)
class Written:
    """A run file that was written.

    Parameters
    ----------
    path, card
        The file, and the description beside it.
    n_queries, n_lines
        Queries and lines in it.
    label
        `label_of` its members.
    warnings
        What is doubtful and was kept.
    """

    path: Path
    card: Path
    n_queries: int
    n_lines: int
    label: str
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Json]:
        """Say what was written where."""
        return {
            "schema": "written-run/1",
            "file": str(self.path),
            "card": str(self.card),
            "n_queries": self.n_queries,
            "n_lines": self.n_lines,
            "label": self.label,
            "warnings": list(self.warnings),
        }


def write_run(
    runs: Sequence[Path], settings: FuseSettings, path: Path, layout: str = "2014", limit: int | None = None
) -> Written:
    """Fuse runs and write the answers, with a description of what was fused beside them (``<path>.json``).

    Parameters
    ----------
    runs
        Run folders or ``*.predictions.h5`` files; one alone is fused over the images of each plant.
    settings
        How to fuse, by one recipe.
    path
        The run file.
    layout
        A name in `LAYOUTS`; with an image layout the models are fused image by image.
    limit
        Lines per query; None writes all species, or as many as the layout allows.

    Raises
    ------
    PredictionsError
        If the runs do not belong together, or an id cannot stand in a run file.
    SettingsError
        If a setting does not fit.
    """
    form = layout_of(layout)
    n_most = _limit(form, limit)
    (recipe,) = settings.recipes
    members = load_members(runs, settings.split, augmented=settings.augmented)
    aligned = align([member.predictions for member in members.fused], settings.align_by)
    if form.by_image:
        by_image = fuse_images(aligned, recipe)
        if by_image is None:
            got = "members with images of their own"
            raise SettingsError(f"the same images in every member for layout {layout}", got, "Pass --align image.")
        queries, probability = image_queries(aligned.members[0].image_id), by_image
    else:
        fused = fuse(aligned, recipe)
        queries, probability = fused.observation_id, fused.probability
    classes = aligned.members[0].classes
    n_lines = write_lines(queries, classes, probability, path, form, n_most)
    label = label_of(member.card for member in members.fused)
    content: dict[str, Json] = {
        "layout": form.name,
        "label": label,
        "split": aligned.members[0].split,
        "rule": recipe.name,
        "align": settings.align_by,
        "limit": n_most,
        "members": [
            {"run": member.run, "file": str(member.path), "sha256": sha256_of_file(member.path)}
            for member in members.fused
        ],
    }
    card = write_card(path, content)
    warnings = (*members.warnings, *aligned.warnings)
    return Written(path, card, len(queries), n_lines, label, warnings)


def _limit(layout: Layout, limit: int | None) -> int | None:
    if limit is not None and (limit < 1 or limit > (layout.max_lines or limit)):
        most = f" to {layout.max_lines}" if layout.max_lines else ""
        raise SettingsError(f"a limit from 1{most} lines in layout {layout.name}", str(limit), "Pass another --limit.")
    return limit or layout.max_lines


def write_lines(
    queries: NDArray[np.str_],
    classes: NDArray[np.str_],
    probability: NDArray[np.floating],
    path: Path,
    layout: Layout,
    limit: int | None = None,
) -> int:
    """Write the species of every query by falling probability, whole or not at all.

    Equal probabilities are ranked in the order of their class ids: a rank has to be a whole number. Scores are
    written with all their digits, so who reads them back finds the same order and the same ties.

    Parameters
    ----------
    queries
        (q,) names, each once.
    classes
        (k,) raw class ids, sorted.
    probability
        (q, k) finite, at least 0.
    limit
        Lines per query; None writes all.

    Returns
    -------
    int
        Lines written.

    Raises
    ------
    PredictionsError
        If a name holds the separator, a line end, or spaces or quotes around it.
    """
    _require_writable([*queries.tolist(), *classes.tolist()])
    n_each = min(limit or len(classes), len(classes))
    require_room(path.parent, _BYTES_PER_LINE * n_each * len(queries))
    options = csv.WriteOptions(include_header=False, delimiter=SEPARATOR, quoting_style="none")
    with replacing(path) as temporary, temporary.open("wb") as file:
        if layout.may_have_header:
            file.write(f"{layout.header}\n".encode())
        for start in range(0, len(queries), _QUERIES_AT_ONCE):
            some = slice(start, start + _QUERIES_AT_ONCE)
            csv.write_csv(_table(queries[some], classes, probability[some], layout, n_each), file, options)
    return n_each * len(queries)


def _table(
    queries: NDArray[np.str_],
    classes: NDArray[np.str_],
    probability: NDArray[np.floating],
    layout: Layout,
    n_each: int,
) -> pa.Table:
    """Lines of some queries, with columns in the order of the layout."""
    rows = probability.astype(np.float64)
    # Rounding may leave a share a hair above 1.
    rows = np.minimum(rows, 1.0) if layout.probabilities else rows
    best = np.argsort(-rows, axis=1, kind="stable")[:, :n_each]
    numbers = [
        pa.array(np.tile(np.arange(1, n_each + 1), len(rows))),
        pa.array(np.take_along_axis(rows, best, axis=1).ravel()),
    ]
    names = pa.array(queries.tolist()), pa.array(classes.tolist())
    columns = [
        names[0].take(pa.array(np.repeat(np.arange(len(rows)), n_each))),
        names[1].take(pa.array(best.ravel())),
        *(numbers if layout.rank_column == 2 else numbers[::-1]),
    ]
    return pa.table(dict(zip(layout.columns, columns, strict=True)))


def _require_writable(names: Sequence[str]) -> None:
    odd = [repr(name) for name in names if not _is_writable(name)]
    if odd:
        remedy = "Rename them in the metadata, and predict again."
        raise PredictionsError("ids without semicolons, line ends, spaces or quotes around them", listed(odd), remedy)


def _is_writable(name: str) -> bool:
    return bool(name) and name == name.strip(AROUND) and not set(name) & {SEPARATOR, "\r", "\n"}
