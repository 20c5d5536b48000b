"""The start of a run: everything it needs, read and checked before anything is computed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.predictions import Predictions
from evaluation.runs import SPLIT_FILE, RunCard, predictions_path, read_run_card
from featstore import shell
from featstore.errors import TrainingError, counted, listed
from featstore.exclusions import excluded_in, read_exclusions
from featstore.provenance import Json, sha256_of_file
from featstore.roi import Recipe
from featstore.splits import read_split
from featstore.store import Store
from featstore.store.identity import Identity
from featstore.table import FeatureTable, load_table
from finetune.batches import require_step, trained_rows
from finetune.settings import TrainSettings
from finetune.starting import starting_run
from heads.asking import require_same_features
from heads.learnt import read_learnt
from heads.looking import recipe_as_made
from heads.mlp import MlpHead
from heads.registry import load_head

if TYPE_CHECKING:
    import pandas as pd

SPLITS = ("valid", "test")
"""Splits that are predicted and reported; valid decides, test is only told."""

ENDING = "-finetuned"
"""What the name of a run adds to that of the features whose network it trains."""


@dataclass(frozen=True)
class Request:
    """What the user asks for.

    Attributes
    ----------
    store
        Feature store of the photographs.
    runs
        Folder that `heads compare` wrote.
    settings
        See `TrainSettings`.
    backbone
        Whose head to start from; None for the best one of the comparison.
    out
        Folder of runs that is written to; None for `runs`.
    photos
        Where the photographs are now; None for where the store was built from.
    weights
        Where the backbone's weights are now; None for where the store was built from.
    exclude
        Lists of photographs to leave out (``exclusions/1``), besides what the comparison left out.
    restart
        Begin anew where an interrupted run of the same settings could go on, and take the place of a finished one of
        others.
    """

    store: str | Path
    runs: Path
    settings: TrainSettings
    backbone: str | None = None
    out: Path | None = None
    photos: Path | None = None
    weights: str | None = None
    exclude: tuple[Path, ...] = ()
    restart: bool = False


@dataclass(frozen=True)
class Start:
    """Everything a run begins from.

    Attributes
    ----------
    run, card
        Run folder of the starting head, and its card.
    head
        The head, fitted on the training photographs; training changes its network.
    table
        Papers and features of every photograph.
    split
        (n,) train, valid or test.
    identity, recipe
        What made the features, and the ROI recipe that its photographs were cut by.
    root
        Where the photographs are.
    weights
        Where the backbone's weights are.
    made_from
        Digests of all this: two runs with the same ones and the same settings are the same run.
    aside
        image_id of the valid photographs that the comparison set aside (`heads compare --calibration-share`): they
        neither stop training nor choose an epoch, so that a fusion may learn on them.
    """

    run: Path
    card: RunCard
    head: MlpHead
    table: FeatureTable
    split: NDArray[np.str_]
    identity: Identity
    recipe: Recipe
    root: Path
    weights: str
    made_from: dict[str, Json]
    aside: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """What the features are called: their backbone, unless ``featstore build --as`` gave them another name."""
        return self.card.backbones[0]

    @property
    def classes(self) -> NDArray[np.str_]:
        """(k,) raw class ids, sorted; column j of the probabilities belongs to ``classes[j]``."""
        return self.head.classes_

    def parts(self, settings: TrainSettings) -> dict[str, NDArray[np.bool_]]:
        """Masks (n,) of the photographs that train, that validate, and that the vote or the comparison leaves out."""
        known = np.isin(self.table.papers["class_id"].to_numpy(str), self.classes)
        train = trained_rows(self.table.papers, self.split, settings.min_vote)
        aside = self.is_aside(self.table.papers)
        return {
            "train": train & known,
            "valid": (self.split == "valid") & known & ~aside,
            "left out by vote": (self.split == "train") & ~train,
            "set aside": aside,
        }

    def learnt(self) -> pd.DataFrame:
        """What the head has learnt and chosen from, also of what is no longer there, as `heads.learnt` keeps it.

        Raises
        ------
        PredictionsError
            If its run does not say it.
        """
        # The run answers for test with a head that was refitted, also on what was set aside; this one was not.
        learnt = read_learnt(self.run)
        return learnt[~self.is_aside(learnt)]

    def is_aside(self, papers: pd.DataFrame) -> NDArray[np.bool_]:
        """(n,) whether each photograph was set aside."""
        return papers["image_id"].isin(self.aside).to_numpy(bool)


def open_start(request: Request) -> Start:
    """Read store, starting head and split.

    Raises
    ------
    PhytobenchError
        If one of them is missing or damaged, or they do not belong together.
    TrainingError
        If there is nothing to train on, nothing to validate on, or only one class.
    """
    store = Store.open(request.store)
    run = starting_run(store, request.runs, request.backbone)
    card = read_run_card(run)
    head = load_head(run / "fitted")
    if not isinstance(head, MlpHead) or len(card.backbones) != 1:
        got = f"{run.name}, a {head.name} on {' and '.join(card.backbones)}"
        raise TrainingError("the run of an mlp head on one backbone", got, "Name another --backbone.")
    if head.unit_length or head.components:
        raise TrainingError(
            "an mlp on features as the backbone gives them",
            f"{run.name}, whose head brings them to unit length or projects them first",
            "Compare one without unit_length and components, and name it by --from.",
        )
    backbone = card.backbones[0]
    identity = store.identity(backbone)
    if identity.foreign:
        raise TrainingError(
            "features of a network that this program can build",
            f"{backbone}, which was imported",
            "Name another --backbone; imported features can be compared, not fine-tuned.",
        )
    require_same_features(card, store)
    table = load_table(store, [backbone])
    table = _kept(table, request)
    split_path = request.runs / SPLIT_FILE
    aside = _set_aside(run)
    start = Start(
        run=run,
        card=card,
        head=head,
        table=table,
        split=read_split(split_path).of(table.papers),
        identity=identity,
        recipe=recipe_as_made(store, backbone),
        root=request.photos or store.root,
        weights=request.weights or identity.weights,
        made_from={
            "backbone": store.essence(backbone),
            "head": {path.name: sha256_of_file(path) for path in sorted((run / "fitted").iterdir()) if path.is_file()},
            "photographs": _digest(table),
            "split": sha256_of_file(split_path),
            # Named only where there are any: other runs stay what they were.
            **({"aside": hashlib.sha256("\n".join(sorted(aside)).encode()).hexdigest()} if aside else {}),
        },
        aside=aside,
    )
    require_trainable(start, request.settings)
    return start


def require_trainable(start: Start, settings: TrainSettings) -> None:
    """Refuse a run that could not learn or could not be judged.

    Raises
    ------
    TrainingError
        If there are fewer than two classes, no photographs of known class to train or to validate on, or fewer
        batches of them than one step gathers.
    """
    if len(start.classes) < 2:
        raise TrainingError(
            "at least two classes", f"only {listed(list(start.classes))}", "Add photographs of another species."
        )
    parts = start.parts(settings)
    if not parts["train"].any():
        vote = "" if settings.min_vote is None else f" with a vote of at least {settings.min_vote:g}"
        raise TrainingError(f"training photographs{vote}", "none", "Lower --min-vote or change the split.")
    if not parts["valid"].any():
        raise TrainingError(
            "photographs to validate on: they decide when to stop",
            "no valid photograph of a known class",
            "Run `heads compare` again so that it draws a split with valid photographs.",
        )
    n_train = int(parts["train"].sum())
    require_step(n_train // min(settings.batch_size, n_train), settings)


def _set_aside(run: Path) -> frozenset[str]:
    """Valid photographs that the comparison kept from every choice of the starting head."""
    path = predictions_path(run, "valid")
    unseen = (valid := Predictions.read(path)).unseen if path.is_file() else None
    return frozenset() if unseen is None else frozenset(valid.image_id[unseen].tolist())


def _kept(table: FeatureTable, request: Request) -> FeatureTable:
    """What neither the comparison nor a list of the user leaves out."""
    left_out = set(excluded_in(request.runs))
    for path in request.exclude:
        listed_ids = {exclusion.image_id for exclusion in read_exclusions(path)}
        unknown = sorted(listed_ids - set(table.papers["image_id"]) - left_out)
        if unknown:
            shell.warn(
                f"{path} lists {counted(len(unknown), 'photograph')} that the store does not hold: {listed(unknown)}"
            )
        left_out |= listed_ids
    return table.select(~table.papers["image_id"].isin(left_out).to_numpy())


def _digest(table: FeatureTable) -> str:
    lines = table.papers[["image_id", "sha256", "class_id", "vote"]].to_csv(index=False)
    return hashlib.sha256(lines.encode()).hexdigest()
