"""The Python interface of `heads`: compare, predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featstore.shown import Shown, rounded

if TYPE_CHECKING:
    import pandas as pd

    from evaluation.scores import Score
    from heads.asking import Asked
    from heads.compare import CompareSettings
    from heads.entry import Entry
    from heads.leaderboard import Leaderboard


def compare_heads(
    store: str | Path,
    runs: str | Path = "runs",
    *,
    backbones: Sequence[str] = (),
    heads: Sequence[str] = (),
    seed: int = 0,
    settings: CompareSettings | None = None,
) -> Shown[Leaderboard]:
    """Fit every head on every network's features, choose on valid, report on test, as `heads compare` does.

    Parameters
    ----------
    store
        A feature store.
    runs
        Folder that a run folder per model, the split and the leaderboard are written to.
    backbones
        Networks; none for all of the store.
    heads
        Heads as ``"logistic"`` or ``"wide=mlp:units=1024"``; none for those of `heads list`.
    seed
        Of the split and of every random head.
    settings
        Every setting there is, in place of the three above.

    Returns
    -------
    Shown[Leaderboard]
        One row per run, the highest S on valid first: S in [0, 1] with the ends of its 95 % interval (percentiles of
        2,000 draws of authors), on valid and test, and Top-1 on test.

    Raises
    ------
    PhytobenchError
        If store, split or settings cannot be used. A head that fails is a row with the reason.
    """
    from featstore.engine import load_engine
    from featstore.store import Store
    from heads.compare import CompareSettings
    from heads.compare import compare_heads as compare
    from heads.pictures import PICTURES
    from heads.protocol import Protocol
    from heads.registry import DEFAULT_HEADS

    load_engine()
    folder = Path(runs)
    board = compare(
        Store.open(store),
        settings or CompareSettings(tuple(backbones), tuple(heads) or DEFAULT_HEADS, protocol=Protocol(seed=seed)),
        folder,
    )
    pictures = tuple(folder / name for name in PICTURES if (folder / name).is_file())
    rows = [_row(entry) for entry in board.entries]
    return Shown(f"Heads, the best on {board.deciding} first", rounded(rows), board, pictures[:1], board.warnings)


def predict_plants(
    run: str | Path, store: str | Path, out: str | Path = "answers", *, unseen: bool = False
) -> Shown[Asked]:
    """Let the head of a run answer for all photographs of a store, as `heads predict` does.

    Parameters
    ----------
    run
        Folder of a run of `compare_heads`.
    store
        A store with the same features.
    out
        Folder for predictions and answers.
    unseen
        Leave out photographs that the run has learnt or chosen from, over which figures flatter it.

    Returns
    -------
    Shown[Asked]
        One row per observation: the likeliest species and its probability in [0, 1].

    Raises
    ------
    PhytobenchError
        If run and store do not go together.
    """
    from featstore.engine import load_engine
    from featstore.store import Store
    from heads.asking import ask

    load_engine()
    return show_asked(ask(Path(run), Store.open(store), Path(out), unseen=unseen))


def show_asked(asked: Asked, notes: Sequence[str] = ()) -> Shown[Asked]:
    """Answers as a table, one row per observation, the figures below where classes are known."""
    return Shown(
        f"What {asked.card.model} says of {len(asked.fused.observation_id)} observations", _answers(asked), asked,
        notes=(*notes, *_figures(asked.scores)),
    )  # fmt: skip


def _answers(asked: Asked) -> pd.DataFrame:
    import pandas as pd

    columns = ["observation_id", "n_images", "true_species", "top_1_species", "top_1_probability"]
    table = pd.read_csv(asked.files[1], dtype={"observation_id": str, "true_class": str})
    return table[columns].dropna(axis="columns", how="all")


def _figures(scores: Sequence[Score]) -> list[str]:
    total = {score.metric: score.value for score in scores if score.view == "all"}
    return [f"S {total['S']:.4f}, Top-1 {total['top_1']:.4f}"] if total else []


def _row(entry: Entry) -> dict[str, object]:
    if entry.error:
        return {"run": entry.trial.name, "error": entry.error}
    found: dict[str, object] = {"run": entry.trial.name}
    for split in ("valid", "test"):
        low, high = entry.interval(split)
        found |= {f"S {split}": entry.value(split), f"low {split}": low, f"high {split}": high}
    return found | {"Top-1 test": entry.value("test", "top_1")}
