"""Which head a run starts from, told without loading a network: what is missing is told at once."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from evaluation.runs import read_run_card
from featstore.errors import PredictionsError, TrainingError, listed
from featstore.provenance import Json
from featstore.readers import require_path
from featstore.store import Store

BEST = "best.json"
BEST_SCHEMA = "best/1"


def starting_run(store: Store, runs: Path, backbone: str | None) -> Path:
    """Folder of the head to start from: the named backbone's mlp, or what `best.json` says.

    Parameters
    ----------
    store
        What the heads were fitted on; if it lacks the backbone, the error says to build it first.
    runs
        Folder that `heads compare` wrote.

    Raises
    ------
    TrainingError
        If there is no such head.
    PredictionsError
        If there is no such folder, or its `best.json` is absent or damaged.
    """
    if backbone is not None:
        run = runs / f"{backbone}-mlp"
        if not run.is_dir():
            built = backbone in store.backbones
            first = (
                "" if built else f"`featstore build PHOTOS --store {store.location} --backbone {backbone}` and then "
            )
            there = sorted(path.name.removesuffix("-mlp") for path in runs.glob("*-mlp") if "+" not in path.name)
            raise TrainingError(
                f"the mlp head of {backbone} in {runs}",
                f"those of {listed(there)}" if there else "none",
                f"Run {first}`heads compare {store.location} --backbone {backbone} --head mlp --out {runs}` first, "
                "or name another --backbone.",
            )
        return run
    chosen = _chosen(runs / BEST)
    if chosen is None:
        got = f"none in {runs / BEST}"
        raise TrainingError("an mlp head on a single backbone", got, "Compare one: `--head mlp`.")
    return runs / Path(str(chosen["run"])).name


def require_there(store: str | Path, runs: Path, backbones: Collection[str], photos: Path | None) -> None:
    """Refuse at once what could not even start: a run opens the same again, once its network can be loaded.

    Raises
    ------
    PhytobenchError
        If there is no such store, no such folder of photographs, or no head to start the only run from.
    """
    opened = Store.open(store)
    if photos is not None:
        require_path(photos)
    if len(set(backbones)) < 2:
        read_run_card(starting_run(opened, runs, next(iter(backbones), None)))


def _chosen(path: Path) -> Mapping[str, Json] | None:
    """The run that a comparison would fine-tune; None if it has none."""
    try:
        best = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        got = f"{path.parent} without one" if path.parent.is_dir() else f"no folder {path.parent}"
        raise _not_best(path, got) from error
    except (OSError, ValueError) as error:
        raise _not_best(path, f"one that cannot be read ({error})") from error
    schema = best.get("schema") if isinstance(best, dict) else None
    if schema != BEST_SCHEMA:
        raise PredictionsError(f"schema {BEST_SCHEMA}", f"{schema!r} in {path}", "Run `heads compare` again.")
    chosen: Mapping[str, Json] | None = best.get("finetune", {})
    if chosen is not None and "run" not in chosen:
        raise _not_best(path, "one that names no run to fine-tune")
    return chosen


def _not_best(path: Path, got: str) -> PredictionsError:
    remedy = "Run `heads compare` first, or name the folder that it wrote: --from RUNS."
    return PredictionsError(f"{path.name}, written by `heads compare`", got, remedy)
