"""Which variants of a photograph help at test time: each alone and all so far together, measured on valid."""

from __future__ import annotations

import math
import shutil
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.cells import write_csv
from evaluation.intervals import Difference
from evaluation.predictions import Predictions
from evaluation.runs import predictions_path, read_run_card
from featstore.backbones import preprocess
from featstore.errors import PredictionsError
from featstore.provenance import Json, replacing
from finetune.asking import crops_of
from finetune.augment import VARIANTS
from finetune.card import NetworkRecipe, seed_of
from finetune.predict import Viewing, each_variant
from finetune.report import Judged, judge, told
from finetune.saved import load_network
from heads.learnt import read_learnt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = ("variant", "S alone", "less plain", "loss alone", "S together", "less plain", "loss together")
CSV_COLUMNS = (
    "variant", "S_alone", "alone_less_plain", "alone_low", "alone_high", "loss_alone", "S_together",
    "together_less_plain", "together_low", "together_high", "loss_together",
)  # fmt: skip
_COLOURS = ("#0072B2", "#D55E00")


@dataclass(frozen=True)
class Variant:
    """What one variant does.

    Attributes
    ----------
    name
        Its transform, ``"plain"`` for none.
    alone, alone_less, alone_loss
        S of the photograph and this variant averaged, its difference from plain, and the mean cross-entropy per
        photograph.
    together, together_less, together_loss
        The same with all variants before it, too: what ``--tta N`` does for the N-th.
    """

    name: str
    alone: float
    alone_less: Difference
    alone_loss: float
    together: float
    together_less: Difference
    together_loss: float

    def cells(self) -> list[str]:
        """Write it under `COLUMNS`."""
        if self.name == "plain":
            return [self.name, f"{self.alone:.4f}", "", f"{self.alone_loss:.4f}", "", "", ""]
        return [
            self.name, f"{self.alone:.4f}", told(self.alone_less), f"{self.alone_loss:.4f}",
            f"{self.together:.4f}", told(self.together_less), f"{self.together_loss:.4f}",
        ]  # fmt: skip

    def to_json(self) -> dict[str, Json]:
        """Give every number by the names of the CSV file."""
        first, second = self.alone_less, self.together_less
        numbers = (
            self.alone, first.value, first.low, first.high, self.alone_loss,
            self.together, second.value, second.low, second.high, self.together_loss,
        )  # fmt: skip
        cells = [None if math.isnan(number) else number for number in numbers]
        return dict(zip(CSV_COLUMNS, (self.name, *cells), strict=True))


def study(run: Path, store: str, photos: Path | None = None) -> list[Variant]:
    """Predict the valid photographs of a run in every variant, and judge; those that were set aside stay unseen.

    Parameters
    ----------
    run
        Folder of a run that `finetune run` wrote; gets ``variants.csv`` and ``variants.png``.
    store
        The feature store that it was trained on.
    photos
        Where the photographs are now; None for where the store was built from.

    Raises
    ------
    PhytobenchError
        If the run or the store cannot be used, or valid has no photographs of known class.
    """
    card = read_run_card(run)
    chosen = _chosen_by(Predictions.read(predictions_path(run, "valid")))
    network = load_network(run)
    cache = Path(tempfile.mkdtemp(prefix=".photographs-", dir=run))
    try:
        crops = crops_of(card, store, cache, photos)
        rows = np.flatnonzero(crops.papers["image_id"].isin(chosen))
        _require_the_same(crops.papers.iloc[rows], run, len(chosen))
        viewing = Viewing(partial(preprocess, NetworkRecipe.of(card).backbone), 32, len(VARIANTS), seed_of(card))
        seen = each_variant(network, crops, rows, viewing, "every variant of valid")
    finally:
        shutil.rmtree(cache, ignore_errors=True)
    whole = Predictions.from_papers(
        crops.papers.iloc[rows], model=card.model, split="valid", classes=np.array(sorted(card.classes)),
        probability=seen[0].astype(np.float32),
    )  # fmt: skip
    plain = judge(whole, "plain")
    if plain.per_author is None:
        raise PredictionsError("valid photographs of known class", "none", "Compare and train again.")
    nothing = Difference(math.nan, math.nan, math.nan)
    found = [Variant("plain", _s(plain), nothing, _loss(whole), _s(plain), nothing, _loss(whole))]
    total = seen[0].copy()
    for number, name in enumerate(VARIANTS, start=1):
        total += seen[number]
        alone = replace(whole, probability=((seen[0] + seen[number]) / 2).astype(np.float32))
        together = replace(whole, probability=(total / (number + 1)).astype(np.float32))
        judged = judge(alone, name), judge(together, name)
        found.append(
            Variant(
                name, _s(judged[0]), judged[0].less(plain), _loss(alone),
                _s(judged[1]), judged[1].less(plain), _loss(together),
            )
        )  # fmt: skip
    rows_told = [["" if value is None else str(value) for value in row.to_json().values()] for row in found]
    write_csv(run / "variants.csv", CSV_COLUMNS, rows_told)
    draw(found, run / "variants.png", card.model)
    return found


def draw(found: list[Variant], path: Path, title: str) -> None:
    """Draw the differences from plain with their intervals as a PNG."""
    figure = Figure(figsize=(9, 0.45 * len(found) + 2), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Axes = figure.subplots()
    rows = found[1:]
    for offset, colour, label, of in (
        (-0.14, _COLOURS[0], "the photograph and this variant", "alone_less"),
        (0.14, _COLOURS[1], "with all above it, too", "together_less"),
    ):
        less: list[Difference] = [getattr(row, of) for row in rows]
        values = np.array([one.value for one in less])
        ends = np.array([[one.value - one.low, one.high - one.value] for one in less]).T
        places = np.arange(len(rows)) + offset
        axes.errorbar(values, places, xerr=ends, fmt="o", color=colour, label=label, capsize=3)
    axes.axvline(0, color="#555555", linewidth=1)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.invert_yaxis()
    axes.set_xlabel("S on valid, less that of the photograph alone (95 %)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"{title}: which variants help at test time")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _chosen_by(valid: Predictions) -> list[str]:
    """Photographs of valid that may choose: those that the comparison set aside stay unseen."""
    ids: list[str] = valid.image_id.tolist()
    return ids if valid.unseen is None else [name for name, aside in zip(ids, valid.unseen, strict=True) if not aside]


def _require_the_same(papers: pd.DataFrame, run: Path, n_valid: int) -> None:
    """Refuse photographs that are not those that the run chose by."""
    learnt = read_learnt(run).set_index("image_id")["sha256"]
    same = papers["sha256"].astype(str).to_numpy() == learnt.reindex(papers["image_id"]).to_numpy(str)
    if len(papers) < n_valid or not same.all():
        raise PredictionsError(
            f"the {n_valid} valid photographs of {run.name}",
            f"{same.sum()} of them",
            "Name the store that the run was trained on, and --photos if its photographs have moved.",
        )


def _s(judged: Judged) -> float:
    return judged.line.figures["S"]


def _loss(predictions: Predictions) -> float:
    """Mean cross-entropy per photograph of known class, NaN where none is."""
    at = np.searchsorted(predictions.classes, predictions.true_class)
    known = np.isin(predictions.true_class, predictions.classes)
    own = predictions.probability[np.flatnonzero(known), at[known]].astype(np.float64)
    return float(-np.log(np.maximum(own, 1e-7)).mean()) if known.any() else math.nan
