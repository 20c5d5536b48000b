"""What every head is given: the same photographs, divided once, with the features of each network."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_sample_weight

from featstore.backbones.table import BACKBONES
from featstore.errors import SplitError, TrainingError, counted, listed
from featstore.groups import Links, groups_of
from featstore.provenance import Json
from featstore.splits import SPARE
from featstore.store import Store
from featstore.store.identity import Identity
from featstore.table import FeatureTable, load_table
from heads.dividing import divide
from heads.examples import Examples
from heads.protocol import Protocol
from heads.weights import vote_weights, well_voted

LEARNT = ("train", "valid", SPARE)
"""Sides of photographs that a run learns or chooses from."""
HELD_OUT = "held out"
"""Side of photographs whose species is not to be learnt."""
PAPERS = ("image_id", "observation_id", "author", "view", "class_id", "species", "vote")
"""Papers that a run's files depend on."""


@dataclass(frozen=True, eq=False)
class Material:
    """Photographs that have features of every network compared, so that all heads meet the same ones.

    Attributes
    ----------
    table
        Papers and features, the networks side by side.
    split
        (n,) train, valid or test.
    identities
        What made the features of each network, in the order of the table's columns; of views only the first.
    essences
        What was chosen for the features of each network, in every view (`featstore.store.Store.essence`).
    columns
        Where each network's features stand in the table.
    links
        Pairs of copies, which stay together.
    warnings
        What is doubtful and was kept.

    Raises
    ------
    TrainingError
        If the training photographs show fewer than two classes.
    SplitError
        If no valid photograph shows a class that is trained.
    """

    table: FeatureTable
    split: NDArray[np.str_]
    identities: Mapping[str, Identity]
    essences: Mapping[str, Mapping[str, Json]]
    columns: Mapping[str, slice]
    links: Links = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        trained, validated = self.classes("train"), self.classes("valid")
        if len(trained) < 2:
            raise TrainingError(
                "training photographs of at least two classes",
                f"{len(trained)} ({listed(trained)})" if trained else "none of known class",
                "Add photographs of other classes, or correct the split.",
            )
        if not set(trained) & set(validated):
            raise SplitError(
                "valid photographs of the classes in train: every choice is made on them",
                f"{int((self.split == 'valid').sum())} valid photographs, none of such a class",
                "Add observations, or use another split.",
            )

    def classes(self, *splits: str) -> list[str]:
        """Known classes of some splits, sorted."""
        found = self.table.papers.loc[np.isin(self.split, splits), "class_id"]
        return sorted(set(found) - {""})

    def papers_of(self, *splits: str) -> pd.DataFrame:
        """Papers of the rows of some splits, in the order of the table."""
        return self.table.papers.loc[np.isin(self.split, splits)].reset_index(drop=True)

    def part(self, backbones: Sequence[str], *splits: str) -> FeatureTable:
        """Rows of some splits with the features of some networks, in the order of the table."""
        rows = np.isin(self.split, splits)
        blocks = [self.table.features[:, self.columns[backbone]][rows] for backbone in backbones]
        features = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        return FeatureTable(self.papers_of(*splits), features, tuple(backbones))

    def set_aside(self, share: float, seed: int) -> NDArray[np.bool_] | None:
        """Which photographs of valid are kept from every choice but the temperature's; None for a share of 0.

        Plants and equal files stay whole. At least one plant is on each side.
        """
        if not share:
            return None
        from sklearn.model_selection import GroupShuffleSplit

        valid = self.table.papers[self.split == "valid"].reset_index(drop=True)
        aside = np.zeros(len(valid), dtype=np.bool_)
        group = groups_of(valid, self.links)
        if int(group.max()) < 1:
            raise SplitError("valid photographs of at least two plants to set some aside", "one", "Add observations.")
        aside[next(GroupShuffleSplit(1, test_size=share, random_state=seed).split(valid, groups=group))[1]] = True
        return aside

    def species(self) -> dict[str, str]:
        """Species name of every class, "" where no photograph tells it."""
        papers = self.table.papers
        named = papers[papers["species"] != ""].drop_duplicates("class_id")
        names = dict(zip(named["class_id"], named["species"], strict=True))
        return {class_id: names.get(class_id, "") for class_id in self.classes("train", "valid", "test")}

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Number of photographs and of observations in each split that is not empty."""
        observations = self.table.papers["observation_id"].groupby(self.split, sort=False)
        return {
            name: (int(observations.get_group(name).size), int(observations.get_group(name).nunique()))
            for name in ("train", "valid", "test")
            if name in observations.groups
        }

    @property
    def baselines(self) -> tuple[str, ...]:
        """Features that no network made, such as a colour histogram."""
        kinds = {name: BACKBONES.get(identity.backbone) for name, identity in self.identities.items()}
        return tuple(name for name, kind in kinds.items() if kind is not None and kind.baseline)

    @property
    def views(self) -> tuple[str, ...]:
        """Views of the photographs that heads learn and choose from, sorted."""
        return tuple(np.unique(self.table.papers.loc[np.isin(self.split, ("train", "valid", SPARE)), "view"]).tolist())

    @property
    def state(self) -> str:
        """One digest of all of `digests`."""
        return hashlib.sha256(repr(sorted(self.digests.items())).encode()).hexdigest()

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 of the features of each network and, as `papers`, of the papers, split and group of every row."""
        together = groups_of(self.table.papers, self.links)
        lines = self.table.papers[list(PAPERS)].assign(divided=self.split, together=together).to_csv(index=False)
        digests = {"papers": hashlib.sha256(lines.encode()).hexdigest()}
        for backbone, columns in self.columns.items():
            block = np.ascontiguousarray(self.table.features[:, columns])
            digests[backbone] = hashlib.sha256(block.data).hexdigest()
        return digests


def examples_of(table: FeatureTable, protocol: Protocol | None = None) -> Examples:
    """The rows of known class; under a protocol those that are learnt from, with their weights."""
    papers = table.papers
    labels = np.asarray(papers["class_id"], dtype=np.str_)
    rows = (labels != "") & well_voted(papers, protocol.min_vote if protocol else None)
    labels, weight = labels[rows], np.ones(int(rows.sum()))
    if protocol is not None and protocol.class_weight == "balanced":
        weight = weight * compute_sample_weight("balanced", labels)
    if protocol is not None and protocol.vote_weight:
        weight = weight * vote_weights(papers["vote"].to_numpy(np.float64)[rows])
    alike = bool(np.all(weight == weight[:1]))
    views = np.asarray(papers["view"], dtype=np.str_)[rows]
    return Examples(table.features[rows], labels, None if alike else weight / weight.mean(), views)


def load_material(
    store: Store,
    backbones: Sequence[str],
    seed: int,
    split_path: Path,
    excluded: Collection[str] = (),
    links: Links = (),
    *,
    like_test: bool = False,
    n_held_out: int = 0,
) -> Material:
    """Load the photographs that have features of all `backbones`, divided as `split_path` says.

    A split that is not there is drawn and written, over the photographs that are not `excluded`; one that is there is
    completed by those that it lacks. Copies by `links` stay together.

    Parameters
    ----------
    like_test
        Whether a split that has to be drawn judges valid plants by as many photographs as test shows (`make_split`).
    n_held_out
        Species, drawn by `seed`, whose photographs are not learnt from: they stand for unknown ones in valid and test.

    Raises
    ------
    StoreError
        If the store lacks one of the backbones.
    SplitError
        If the split that is there does not fit the store, or test leaks into what is learnt from.
    """
    identities = {backbone: store.identity(backbone) for backbone in backbones}
    essences = {backbone: store.essence(backbone) for backbone in backbones}
    table = load_table(store, backbones)
    left_out = table.papers["image_id"].isin(set(excluded)).to_numpy()
    table = table.select(~left_out)
    ends = np.cumsum([store.column(backbone).dimension for backbone in backbones]).tolist()
    columns = {backbone: slice(start, end) for backbone, start, end in zip(backbones, [0, *ends], ends, strict=False)}
    read = photographs_read(store, excluded)
    divided, completed = divide(read, seed, split_path, links, like_test=like_test)
    split = divided.of(table.papers)
    number = counted(int(left_out.sum()), "photograph is", "photographs are")
    told = f"{number} left out by the exclusion list ({len(excluded)} in it)"
    warnings = [
        *([told] if excluded else []),
        *completed,
        *_incomplete(read, table, backbones),
        *_untrained(table.papers, split),
        *_unjudged(table.papers, split),
    ]
    if n_held_out:
        split, named = _held_out(table.papers, split, n_held_out, seed)
        told = counted(n_held_out, "species is held out", "species are held out")
        told += ", in place of unknown ones, and counted as missed"
        warnings.append(f"{told}: {listed(named, n_held_out)}")
    return Material(table, split, identities, essences, columns, links, tuple(warnings))


def _held_out(
    papers: pd.DataFrame, split: NDArray[np.str_], n_species: int, seed: int
) -> tuple[NDArray[np.str_], list[str]]:
    """Take some species out of train; those that valid and test can show come first."""
    classes = {side: set(papers.loc[split == side, "class_id"]) - {""} for side in ("train", "valid", "test")}
    shown = [classes[side] for side in ("valid", "test") if classes[side]]
    drawn = sorted(classes["train"].intersection(*shown))
    if len(drawn) < n_species or len(classes["train"]) < n_species + 2:
        raise SplitError(
            f"{n_species} species in train, valid and test to hold out, and two others to learn",
            f"{len(drawn)} of {len(classes['train'])}",
            "Hold out fewer.",
        )
    out = np.random.default_rng(seed).choice(drawn, n_species, replace=False)
    left = np.isin(papers["class_id"].to_numpy(str), out) & np.isin(split, ["train", SPARE])
    return np.where(left, HELD_OUT, split), sorted(out.tolist())


def photographs_read(store: Store, excluded: Collection[str]) -> pd.DataFrame:
    """Papers of every photograph that could be read and is not `excluded`."""
    papers = store.papers
    return papers[(papers["status"] == "done") & ~papers["image_id"].isin(set(excluded))].reset_index(drop=True)


def _incomplete(read: pd.DataFrame, table: FeatureTable, backbones: Sequence[str]) -> list[str]:
    lacking = read.loc[~read["image_id"].isin(table.papers["image_id"]), "image_id"]
    if lacking.empty:
        return []
    told = counted(len(lacking), "photograph lacks", "photographs lack")
    which = f"{told} features of one of {', '.join(backbones)}: {listed(list(lacking))}"
    return [f"{which}. No comparison has them; run featstore build again to complete them."]


def _untrained(papers: pd.DataFrame, split: NDArray[np.str_]) -> list[str]:
    """Warn, by name, of classes that are asked for but not learnt; a refit learns none that valid alone shows."""
    trained, told = set(papers.loc[split == "train", "class_id"]), []
    for side in ("valid", "test"):
        lost = papers[(split == side) & (papers["class_id"] != "") & ~papers["class_id"].isin(trained)]
        names = class_names(lost)
        if names:
            which = counted(len(lost), f"{side} photograph shows", f"{side} photographs show")
            classes = counted(len(names), "class", "classes")
            told.append(f"{which} {classes} without training photographs, and count as missed: {listed(names, 10)}")
    return told


def _unjudged(papers: pd.DataFrame, split: NDArray[np.str_]) -> list[str]:
    """Warn of classes that are learnt and about which no figure says anything, by name."""
    shown = set(papers.loc[np.isin(split, ("valid", "test")), "class_id"])
    lost = papers[(papers["class_id"] != "") & ~papers["class_id"].isin(shown)]
    if lost.empty:
        return []
    plants = lost.groupby("class_id", sort=False)["observation_id"].nunique()
    each = [f"{name} ({counted(n, 'plant')})" for name, n in zip(class_names(lost), plants, strict=True)]
    which = counted(len(each), "class is", "classes are")
    return [f"{which} learnt and never judged, for valid and test show no plant of them: {listed(each, 10)}"]


def class_names(papers: pd.DataFrame) -> list[str]:
    """Id and species of every class, in the order of the photographs; one of them where they are the same."""
    rows = papers.drop_duplicates("class_id").itertuples()
    return [" ".join(dict.fromkeys(filter(None, (str(row.class_id), str(row.species))))) for row in rows]
