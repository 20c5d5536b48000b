"""The Python interface of `evaluation`: fuse, report, identify."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from evaluation.identify import N_NEIGHBOURS, TOP
from featstore.errors import counted
from featstore.shown import Shown, rounded

if TYPE_CHECKING:
    from evaluation.identify.answer import Identification
    from evaluation.identify.opening import Panel
    from evaluation.report.writing import Written
    from evaluation.table import FusionReport, Line

Somewhere: TypeAlias = str | Path


def fuse_models(
    runs: Sequence[Somewhere], *, rule: str = "mean", split: str | None = None, out: Somewhere = "runs"
) -> Shown[FusionReport]:
    """Fuse all images and models of each observation and score them, as `evaluate fuse` does.

    Parameters
    ----------
    runs
        Run folders, or files of predictions.
    rule
        A fusion rule, fixed or learned, by which images and models are fused.
    split
        ``"valid"`` or ``"test"``; None takes test where there is one.
    out
        Folder of runs, in which ``fusion-<rule>/`` is written.

    Returns
    -------
    Shown[FusionReport]
        One row per model and one for the fusion: S in [0, 1] with its 95 % interval, S_image and Top-1/3/5.

    Raises
    ------
    PhytobenchError
        If the runs do not belong together, or the rule cannot be used.
    """
    from evaluation.fuse import FuseSettings, fuse_runs
    from evaluation.fusion import recipes

    settings = FuseSettings(recipes((rule,), None, None, ()), split=split)
    report = fuse_runs([Path(run) for run in runs], settings, Path(out))
    rows = [_row(line) for line in report.lines]
    notes = (*report.warnings, *filter(None, [report.verdict]))
    return Shown(f"Scores on {report.split}, all views together", rounded(rows), report, notes=notes)


def write_report(
    runs: Sequence[Somewhere], store: Somewhere | None = None, html: Somewhere = "report.html"
) -> Shown[Written]:
    """Write one HTML page about runs, as `evaluate report` does; it opens from disk, offline.

    Parameters
    ----------
    runs
        Run folders, or folders of runs.
    store
        Feature store that knows the photographs; None for a page without them.
    html
        The file.

    Returns
    -------
    Shown[Written]
        Where the page is and what it says in one sentence.

    Raises
    ------
    PhytobenchError
        If the runs do not belong together, or no true class is known.
    """
    from evaluation.report.material import ReportSettings
    from evaluation.report.writing import report_runs

    written = report_runs(
        [Path(run) for run in runs], ReportSettings(), None if store is None else str(store), Path(html)
    )
    row = {"page": str(written.path), "results": written.n_results, "observations": written.n_observations}
    return Shown(written.headline, rounded([row]), written, notes=written.warnings)


def identify_plant(
    photographs: Somewhere | Mapping[Somewhere, str] | Sequence[Somewhere],
    models: Somewhere | Sequence[Somewhere],
    *,
    rule: str | None = None,
    top: int = TOP,
    n_neighbours: int = N_NEIGHBOURS,
    threshold: str | None = None,
    store: Somewhere | None = None,
    weights: Somewhere | None = None,
) -> Shown[Identification]:
    """Identify one plant by its photographs, as `evaluate identify` does.

    The models stay loaded, so that the next plant is answered at once.

    Parameters
    ----------
    photographs
        Of one plant: files, or file -> view (``"Flower"``, ``"Leaf"``, ...; ``""`` for an open one).
    models
        Run folder of `heads.compare_heads` or `finetune.fine_tune`; several are fused.
    rule
        A fixed rule; None for the mean.
    top
        How many species are ranked.
    n_neighbours
        Similar photographs of each one that the models have learnt from; the nearest are shown.
    threshold
        From which probability on the plant is named: a number or a threshold.json.
    store, weights
        Where they are now, if they have moved.

    Returns
    -------
    Shown[Identification]
        One row per species with its probability in [0, 1], genus and family.

    Raises
    ------
    PhytobenchError
        If no photograph can be used, a view is none, or a model cannot be opened.
    """
    from evaluation.identify.contract import OPEN_VIEW, Photograph
    from evaluation.identify.identify import require_photographs
    from evaluation.identify.views import view_named
    from evaluation.runs import CARD, read_run_card

    given = [photographs] if isinstance(photographs, str | Path) else photographs
    views = given if isinstance(given, Mapping) else dict.fromkeys(given, OPEN_VIEW)
    shown = [
        Photograph(str(path), Path(path), view_named(view, f"photograph {number}, {path}"))
        for number, (path, view) in enumerate(views.items(), 1)
    ]
    runs = [Path(models)] if isinstance(models, str | Path) else [Path(model) for model in models]
    for run in runs:
        read_run_card(run)  # says what is wrong with a path
    require_photographs(shown)  # before any network is loaded
    cards = tuple((str(run), (run / CARD).stat().st_mtime_ns) for run in runs)
    panel = _panel(cards, rule, threshold, *(None if place is None else str(place) for place in (store, weights)))
    found = panel.identify(shown, top=top, n_neighbours=n_neighbours)
    rows: list[dict[str, object]] = [
        {"species": one.species or one.class_id, "probability": one.probability, "genus": one.genus,
         "family": one.family}
        for one in found.ranking
    ]  # fmt: skip
    alike = {one.path: None for shown_for in found.neighbours.values() for one in shown_for}
    notes = [*found.remarks, *(f"{name} is left out: {reason}" for name, reason in found.failures.items())]
    title = f"{counted(len(shown), 'photograph')} of one plant"
    if found.doubt.unknown:
        title += ": likely none of the known species"
    return Shown(title, rounded(rows), found, tuple(map(Path, alike))[: n_neighbours * 2], tuple(notes))


@lru_cache(maxsize=2)
def _panel(
    cards: tuple[tuple[str, int], ...], rule: str | None, threshold: str | None, store: str | None, weights: str | None
) -> Panel:
    """Models that stay loaded as long as their cards are the same."""
    from evaluation.identify.opening import Places, open_panel
    from featstore.engine import load_engine

    load_engine()
    runs = [Path(run) for run, _ in cards]
    return open_panel(runs, rule=rule, places=Places(store, None, weights), threshold=threshold)


def _row(line: Line) -> dict[str, object]:
    from evaluation.table import TITLES

    first, *others = ({title: line.figures.get(name)} for name, title in TITLES.items())
    found: dict[str, object] = {"run": line.run, **first, "low": line.low, "high": line.high}
    for cell in others:
        found |= cell
    return found | {"observations": line.n_observations}
