"""What the command line asks and is told about unknown species."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from evaluation.unknown.evidence import chosen_scores
from evaluation.unknown.judge import CHOOSE_ON, ChooseOn, UnknownSettings
from evaluation.unknown.report import BASELINE, GAIN, Figure, UnknownReport
from evaluation.unknown.threshold import Target
from featstore.errors import SettingsError

METRICS = {
    "auroc": "AUROC", "fpr95": "FPR95", "oscr": "OSCR", "coverage": "known kept",
    "unknown_rejected": "rejected", "precision": "right of kept", "S_open": "S_open",
}  # fmt: skip
"""On screen; the area under the risk-coverage curve is in the files."""
COLUMNS = ("run", "score", "AUROC", "95 %", "gain", "from", *list(METRICS.values())[1:])
GAIN_NOTE = f"gain: AUROC less that of {BASELINE}, drawn with the same authors; from: where plants begin to be named"


def settings_of(
    scores: Sequence[str],
    targets: tuple[float | None, float | None],
    choose_on: str,
    split: str | None,
    store: str | None,
) -> UnknownSettings:
    """Read the options of the command line.

    Parameters
    ----------
    targets
        Coverage and precision, of which at most one is given.

    Raises
    ------
    SettingsError
        If there is no such score or place to choose on, or both targets are given.
    """
    if choose_on not in CHOOSE_ON:
        raise SettingsError(f"--choose-on out of {', '.join(CHOOSE_ON)}", f"{choose_on!r}", "Pass one of these.")
    coverage, precision = targets
    if coverage is not None and precision is not None:
        raise SettingsError("either --coverage or --precision", "both", "Leave one out.")
    target = (
        Target("precision", precision)
        if precision is not None
        else Target("coverage", 0.95 if coverage is None else coverage)
    )
    return UnknownSettings(chosen_scores(scores), target, cast("ChooseOn", choose_on), split, store)


def cells(report: UnknownReport) -> list[list[str]]:
    """One line per run and score under `COLUMNS`, ``-`` where there is no figure."""
    rows = []
    for one in report.judged:
        found: dict[str, Figure] = {figure.metric: figure for figure in one.figures}
        first, *others = (f"{found[name].value:.4f}" if name in found else "-" for name in METRICS)
        low, high = (found["auroc"].low, found["auroc"].high) if "auroc" in found else (math.nan,) * 2
        interval = "-" if math.isnan(low) else f"{low:.3f}-{high:.3f}"
        gain = _told(found.get(GAIN))
        accepts = "-" if one.threshold is None else f"{one.threshold:.4g}"
        rows.append([one.run, one.score, first, interval, gain, accepts, *others])
    return rows


def plain_note(report: UnknownReport) -> str:
    """Say S of every run without rejection."""
    return "S without rejection: " + ", ".join(f"{figure.run} {figure.value:.4f}" for figure in report.plain)


def _told(gain: Figure | None) -> str:
    """A difference in words: a figure only where it is one."""
    if gain is None or math.isnan(gain.low):
        return "-"
    return f"{gain.value:+.4f}" if gain.low > 0 or gain.high < 0 else "not distinguishable"
