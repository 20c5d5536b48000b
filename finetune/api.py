"""The Python interface of `finetune`: train whole networks, let them answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featstore.errors import counted, listed
from featstore.shown import Shown, rounded

if TYPE_CHECKING:
    from finetune.report import Judged, Report
    from finetune.settings import TrainSettings
    from heads.asking import Asked


def fine_tune(
    store: str | Path,
    runs: str | Path = "runs",
    *,
    backbones: Sequence[str] = (),
    settings: TrainSettings | None = None,
    config: str | Path | None = None,
    out: str | Path | None = None,
) -> Shown[list[Report]]:
    """Train networks with their heads as a whole, as `finetune run` does; what was interrupted goes on.

    Parameters
    ----------
    store
        The feature store that the heads were compared on; its photographs must be there.
    runs
        Folder that `heads.compare_heads` wrote.
    backbones
        Networks, one after another; none for the best one of the comparison.
    settings
        Rate, epochs, augmentation and everything else; None for those of `config`.
    config
        TOML file of settings; None for the defaults.
    out
        Folder of runs that is written to; None for `runs`.

    Returns
    -------
    Shown[list[Report]]
        One row per split and model - the starting head, the network, the network with test-time augmentation, and
        several networks fused - with S in [0, 1], its 95 % interval, and how much S is above the start's. The learning
        curves are its pictures.

    Raises
    ------
    PhytobenchError
        If something is missing or does not belong together, or the loss became no number.
    """
    from featstore.engine import load_engine
    from finetune.memory import keep_freed_memory

    keep_freed_memory()
    load_engine()
    from finetune.config import load_settings
    from finetune.display import write_comparison
    from finetune.report import compared_rows, few_told
    from finetune.run import finetune_all
    from finetune.start import Request

    chosen = settings or load_settings(None if config is None else Path(config), {})
    folder = Path(runs if out is None else out)
    reports, failed = finetune_all(Request(str(store), Path(runs), chosen, None, folder), list(backbones))
    rows = compared_rows(reports)
    write_comparison(rows, folder / "finetuned.csv")
    notes = [*few_told(rows), *(f"{name} was not fine-tuned: {error}" for name, error in failed.items())]
    for report in reports:
        notes.append(f"{report.folder}: {counted(report.epochs_run, 'epoch')} run, epoch {report.best_epoch} kept")
        notes += [f"{report.folder}: {report.trouble}"] if report.trouble else []
        notes += _left_out(report.failures, "could not be used")
    pictures = tuple(report.folder / "curve.png" for report in reports)
    return Shown("Fine-tuned networks beside their starts", rounded([_row(row, rows) for row in rows]), reports,
                 pictures, tuple(notes))  # fmt: skip


def predict_plants(
    run: str | Path, source: str | Path, out: str | Path = "answers", *, tta: int = 0, unseen: bool = False
) -> Shown[Asked]:
    """Let a fine-tuned network answer for photographs, stored or new, as `finetune predict` does.

    Parameters
    ----------
    run
        Folder of a run of `fine_tune`.
    source
        A feature store, a folder of photographs, one photograph, or a table that lists them.
    out
        Folder for predictions and answers.
    tta
        Variants averaged with each photograph; 0 for none.
    unseen
        Leave out photographs that the run has learnt or chosen from.

    Returns
    -------
    Shown[Asked]
        One row per observation: the likeliest species and its probability in [0, 1].

    Raises
    ------
    PhytobenchError
        If the run is damaged, or no photograph can be used. Single ones that cannot are told in the notes.
    """
    from featstore.engine import load_engine

    load_engine()
    from finetune.asking import ask
    from heads.api import show_asked

    asked, failures = ask(Path(run), str(source), Path(out), tta=tta, unseen=unseen)
    return show_asked(asked, _left_out(failures, "got no answer"))


def _left_out(failures: Mapping[str, str], what: str) -> list[str]:
    if not failures:
        return []
    told = listed([f"{image_id}: {reason}" for image_id, reason in failures.items()])
    return [f"{counted(len(failures), 'photograph')} {what}: {told}"]


def _row(row: Judged, rows: Sequence[Judged]) -> dict[str, object]:
    from finetune.report import base_of

    less = row.less(base_of(rows, row))
    return {
        "split": row.split, "run": row.line.run, "S": row.line.figures.get("S"), "low": row.line.low,
        "high": row.line.high, "less the start": less.value, "from": less.low, "to": less.high,
        "Top-1": row.line.figures.get("top_1"),
    }  # fmt: skip
