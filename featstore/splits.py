"""Splits: train and valid, divided by observation and by equal files, so that no plant is on both sides."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from featstore.catalog import SPLITS
from featstore.errors import SplitError, listed
from featstore.groups import Links, groups_of
from featstore.provenance import write_text

COLUMNS = ("image_id", "observation_id", "split", "fold")
NO_FOLD = -1
N_FOLDS = 4
SPARE = "spare"
"""Photographs of valid plants that are not judged, because test shows fewer of a plant; a refit learns from them."""


@dataclass(frozen=True)
class Split:
    """Which images train, validate and test.

    Attributes
    ----------
    frame
        Columns image_id, observation_id, split (train, valid, spare or test) and fold (0 is valid; -1 for test).

    Raises
    ------
    SplitError
        If columns or split names are unknown, an image is named twice, or an observation is in two splits.
    """

    frame: pd.DataFrame

    def __post_init__(self) -> None:
        _require_rows(self.frame)
        side = self.frame["split"].replace(SPARE, "valid")
        split_count = side.groupby(self.frame["observation_id"]).nunique()
        torn = [str(observation) for observation in split_count.index[split_count > 1]]
        if torn:
            raise SplitError(
                "each observation in one split", f"{listed(torn)} in several", "Move their images together."
            )

    def of(self, papers: pd.DataFrame) -> NDArray[np.str_]:
        """Split of each row of `papers`, in its order.

        Raises
        ------
        SplitError
            If an image of `papers` is not in the split.
        """
        remedy = "The store has grown: run `heads compare` again, which adds them and moves no others."
        return sides_of(self.frame, papers, remedy)


def sides_of(rows: pd.DataFrame, papers: pd.DataFrame, remedy: str) -> NDArray[np.str_]:
    """Split of each row of `papers`, in its order, by rows of a split; `SplitError` with `remedy` if one is lacking."""
    known = rows.set_index("image_id")["split"]
    missing = papers.loc[~papers["image_id"].isin(known.index), "image_id"]
    if len(missing):
        got = f"{len(missing)} that are not ({listed(list(missing))})"
        raise SplitError("every image of the store in the split", got, remedy)
    return np.asarray(known.loc[papers["image_id"]], dtype=np.str_)


def _require_rows(frame: pd.DataFrame) -> None:
    if tuple(frame.columns) != COLUMNS:
        raise SplitError(f"the columns {', '.join(COLUMNS)}", ", ".join(frame.columns), "Correct the file.")
    unknown = sorted(set(frame["split"]) - {*SPLITS, SPARE})
    if unknown:
        raise SplitError(f"splits among {', '.join(SPLITS)}", listed(unknown), "Correct these rows.")
    twice = frame.loc[frame["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise SplitError("each image once", f"{listed(list(twice))} twice", "Correct these rows.")


def make_split(
    papers: pd.DataFrame, seed: int, n_folds: int = N_FOLDS, links: Links = (), *, like_test: bool = False
) -> Split:
    """Divide the images that are not test into `n_folds` folds; the first is valid, the rest train.

    Images of one observation, images whose files are equal (`sha256`) and those that are listed as copies stay
    together (`groups_of`). Folds are stratified
    by class. A class that would be left without training images goes to train whole. Images that the data set
    itself calls valid stay valid, and then nothing is drawn - except those that share an observation or a file
    with a training image: they train.

    Parameters
    ----------
    papers
        Columns image_id, observation_id, class_id, split and sha256, one row per image.
    seed
        Seed of the division.
    links
        Pairs of copies.
    like_test
        Judge so many photographs of a valid plant, and of such views, as test shows; the others are `SPARE`. A valid
        set that looks like train shows more photographs of a plant, and overrates what fusing them gains.

    Raises
    ------
    SplitError
        If fewer than two groups of images can be divided.
    """
    frame = papers[["image_id", "observation_id", "split"]].copy().reset_index(drop=True)
    frame["fold"] = NO_FOLD
    learn = np.flatnonzero((frame["split"] != "test").to_numpy())
    folds = _folds(papers.iloc[learn], seed, n_folds, links)
    frame.loc[learn, "fold"] = folds
    frame.loc[learn, "split"] = np.where(folds == 0, "valid", "train")
    return Split(_thinned(frame, papers, seed) if like_test else frame)


def added_rows(rows: pd.DataFrame, papers: pd.DataFrame, seed: int, links: Links = ()) -> pd.DataFrame:
    """Rows for the photographs that a split lacks; none that it has moves.

    What belongs together with photographs of the split (`groups_of`) takes their side - train, where they are on both,
    which is a leak -, the data set's own test photographs are test, and the rest goes where a division of all
    photographs by `make_split` would put it.

    Parameters
    ----------
    rows
        As `read_rows`; photographs that are not among `papers` still say where their plants are.
    papers, seed, links
        As in `make_split`.

    Returns
    -------
    pd.DataFrame
        The columns of a split, in the order of `papers`; empty where nothing is lacking. In a split with spare
        photographs those of plants that it has are spare, and those of other valid plants are thinned as there.

    Raises
    ------
    SplitError
        If there are photographs to draw, and fewer than two groups of images can be divided.
    """
    lacking = ~papers["image_id"].isin(rows["image_id"]).to_numpy()
    added = papers.loc[lacking, ["image_id", "observation_id", "split"]].assign(fold=NO_FOLD)
    is_test = (papers["split"] == "test").to_numpy()
    if not (lacking & ~is_test).any():
        return added.reset_index(drop=True)
    learn = papers[~is_test].reset_index(drop=True)
    gone = rows[~rows["image_id"].isin(papers["image_id"])]
    every = pd.concat([learn, gone.assign(sha256="")], ignore_index=True)
    known = rows[rows["split"] != "test"].set_index("image_id")
    side_fold = known["fold"].fillna(1).clip(lower=1).where(known["split"] == "train", 0)
    fold = every["image_id"].map(side_fold)
    # Of folds on both sides the greater: train.
    joined = fold.groupby(groups_of(every, links)).transform("max")[: len(learn)]
    fold = fold[: len(learn)].fillna(joined)
    drawn = fold.isna().to_numpy()
    if drawn.any():
        fold = fold.fillna(pd.Series(_folds(learn, seed, N_FOLDS, links)))
        if not (learn["split"] == "valid").any():
            kept = _kept_trained(fold.to_numpy(np.int64), learn, links)
            fold = fold.where(~drawn, kept)
    number = fold[lacking[~is_test]].to_numpy(np.int64)
    mine = (added["split"] != "test").to_numpy()
    added.loc[mine, "fold"] = number
    added.loc[mine, "split"] = np.where(number == 0, "valid", "train")
    if (rows["split"] == SPARE).any():
        added = _spared(added, rows, papers, seed)
    return added.reset_index(drop=True)


def _spared(added: pd.DataFrame, rows: pd.DataFrame, papers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Thin the valid photographs among rows that are added, `added` and `papers` sharing an index."""
    of_known = (added["split"] == "valid") & added["observation_id"].isin(rows["observation_id"])
    added = added.assign(split=added["split"].where(~of_known, SPARE))
    fresh = added[added["split"] == "valid"]
    tested = papers.loc[papers["split"] == "test", ["image_id", "observation_id", "split"]].assign(fold=NO_FOLD)
    if fresh.empty or tested.empty:
        return added
    some = pd.concat([fresh, tested])
    thinned = _thinned(some.reset_index(drop=True), papers.loc[some.index], seed)
    sides = pd.Series(thinned["split"].to_numpy()[: len(fresh)], index=fresh.index)
    return added.assign(split=sides.reindex(added.index).fillna(added["split"]))


def _folds(learn: pd.DataFrame, seed: int, n_folds: int, links: Links) -> NDArray[np.int64]:
    """Fold of each image that is not test: the data set's own valid images are fold 0, if there are any; else drawn."""
    valid = (learn["split"] == "valid").to_numpy()
    if not valid.any():
        return _kept_trained(draw_folds(learn, seed, n_folds, links), learn, links)
    group = groups_of(learn, links)
    return np.where(valid & ~np.isin(group, group[~valid]), 0, 1)


def _thinned(frame: pd.DataFrame, papers: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Make photographs of valid spare until plants have as many as those of test, of views as frequent as there."""
    side, views = frame["split"].to_numpy(str), papers["view"].to_numpy(str)
    tested, valid = side == "test", np.flatnonzero(side == "valid")
    if not tested.any():
        raise SplitError("test photographs for valid to be like", "none", "Leave --valid-like-test out.")
    sizes = frame.loc[tested, "observation_id"].value_counts().to_numpy()
    share = pd.Series(views[tested]).value_counts(normalize=True)
    wanted = share.reindex(np.unique(views[valid]), fill_value=1e-6) / pd.Series(views[valid]).value_counts()
    rng = np.random.default_rng(seed)
    for rows in frame.iloc[valid].groupby("observation_id").indices.values():
        of_plant = valid[rows]
        n_judged = min(len(of_plant), int(rng.choice(sizes)))
        odds = wanted.loc[views[of_plant]].to_numpy()
        judged = rng.choice(of_plant, n_judged, replace=False, p=odds / odds.sum())
        side[np.setdiff1d(of_plant, judged)] = SPARE
    return frame.assign(split=side)


def draw_folds(papers: pd.DataFrame, seed: int, n_folds: int, links: Links = ()) -> NDArray[np.int64]:
    """Divide all rows of `papers` into folds between plants and equal files, stratified by class; (n,) from 0.

    They are fewer than `n_folds` where there are only `most_folds`.

    Raises
    ------
    SplitError
        If there are fewer than two groups, or no class has two.
    """
    group = groups_of(papers, links)
    first = np.unique(group, return_index=True)[1]
    if len(first) < 2:
        raise SplitError("at least two observations to divide into train and valid", str(len(first)), "Add plants.")
    # One row per group: 3:1 is counted in plants, not in photographs.
    class_of_group = papers["class_id"].to_numpy()[first]
    most = most_folds(papers, links)
    if most < 2:
        raise SplitError("a class with at least two observations", "one in each", "Add plants, or mark some as valid.")
    division = StratifiedGroupKFold(min(n_folds, most), shuffle=True, random_state=seed)
    fold_of_group = np.zeros(len(first), dtype=np.int64)
    with warnings.catch_warnings():
        # Classes with fewer plants than folds are expected; they are seen to below.
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        for fold, (_, held_out) in enumerate(division.split(first[:, None], class_of_group, np.arange(len(first)))):
            fold_of_group[held_out] = fold
    return np.asarray(fold_of_group[group], dtype=np.int64)


def most_folds(papers: pd.DataFrame, links: Links = ()) -> int:
    """How many folds of `papers` can be drawn: as many as the class of most plants has plants."""
    first = np.unique(groups_of(papers, links), return_index=True)[1]
    return int(np.unique(papers["class_id"].to_numpy()[first], return_counts=True)[1].max(initial=0))


def _kept_trained(fold: NDArray[np.int64], papers: pd.DataFrame, links: Links) -> NDArray[np.int64]:
    """Move classes out of fold 0, valid, that no other fold shows: what is not trained cannot be judged."""
    group, classes = groups_of(papers, links), papers["class_id"].to_numpy()
    untrained = set(classes) - set(classes[fold != 0])
    # Whole groups move, so that what belongs together stays together.
    return np.where(np.isin(group, group[np.isin(classes, list(untrained))]), 1, fold)


def write_split(split: Split, path: Path) -> None:
    """Write `split.csv`, whole or not at all."""
    write_rows(split.frame, path)


def write_rows(rows: pd.DataFrame, path: Path) -> None:
    """Write rows as `read_rows` gives them, whole or not at all."""
    write_text(path, rows.to_csv(index=False, lineterminator="\n"))


def read_split(path: Path) -> Split:
    """Read `split.csv`; a missing or unreadable one is a `SplitError`."""
    return Split(read_rows(path))


def read_rows(path: Path) -> pd.DataFrame:
    """Read the rows of a split that may divide plants: each image once, on a side that there is.

    Raises
    ------
    SplitError
        If they are no such rows.
    """
    try:
        frame = pd.read_csv(
            path, dtype={"image_id": "str", "observation_id": "str", "split": "str"}, keep_default_na=False
        )
    except (OSError, ValueError) as error:
        raise SplitError(
            "a split.csv written by `heads compare`",
            f"{path}: {error}",
            "Run `heads compare` first, or correct the path.",
        ) from error
    _require_rows(frame)
    return frame
