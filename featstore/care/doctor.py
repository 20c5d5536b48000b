"""The doctor: copies, doubtful labels, strangers and small classes of a data set, found by its features."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from featstore import shell
from featstore.care.likeness import likeness
from featstore.care.neighbours import Neighbours, find_neighbours
from featstore.errors import SettingsError, counted
from featstore.exclusions import Exclusion
from featstore.table import FeatureTable

if TYPE_CHECKING:
    Load = Callable[[str], NDArray[np.uint8] | None]

COLUMNS = ("kind", "image_id", "partner", "score", "suggestion", "detail")
KINDS = ("exact_duplicate", "near_duplicate", "split_leak", "label_disagreement", "outlier", "small_class")


@dataclass(frozen=True)
class DoctorSettings:
    """What counts as a finding.

    Parameters
    ----------
    k
        Neighbours that are looked at; those of the photograph's own observation do not vote on its label.
    near_ratio
        A pair of different plants may be copies if its distance is at most this share of what is usual around both.
    likeness
        Copies must also look alike: correlation of their thumbnails, in [-1, 1].
    disagreement
        A label is doubted if another class has at least this share of the neighbours' votes and its own has none.
    outlier_z
        A photograph is a stranger if its distance from the others of its view is this many robust standard deviations
        above the median.
    min_observations
        A class with fewer observations to learn from is small.
    """

    k: int = 20
    near_ratio: float = 0.85
    likeness: float = 0.97
    disagreement: float = 0.5
    outlier_z: float = 4.0
    min_observations: int = 4

    def __post_init__(self) -> None:
        right = {
            "k >= 2": self.k >= 2,
            "0 < near_ratio <= 1": 0 < self.near_ratio <= 1,
            "-1 <= likeness <= 1": -1 <= self.likeness <= 1,
            "0 < disagreement <= 1": 0 < self.disagreement <= 1,
            "outlier_z > 0": self.outlier_z > 0,
            "min_observations >= 0": self.min_observations >= 0,
        }
        broken = [rule for rule, kept in right.items() if not kept]
        if broken:
            raise SettingsError(" and ".join(broken), str(self), "Correct the settings.")


def examine(table: FeatureTable, settings: DoctorSettings, load: Load | None = None) -> pd.DataFrame:
    """Look through a table of features.

    Parameters
    ----------
    load
        Gives the pixels of a photograph by image_id, or None; copies are then confirmed by their looks. Without it
        features alone decide, and some merely similar photographs are taken for copies.

    Returns
    -------
    One row per finding with `COLUMNS`: `partner` is the other photograph of a pair ("" if there is none); `score`
    says how sure, higher is surer, within one kind; `suggestion` is exclude or review.
    """
    if len(table) < 3:
        raise SettingsError("at least three photographs", str(len(table)), "Build features first.")
    near = find_neighbours(table.features, settings.k)
    copies = _exact(table.papers)
    alike = _near(table.papers, near, settings, load, {(a, b) for a, b, _ in copies})
    pairs = [("exact_duplicate", *pair) for pair in copies] + [("near_duplicate", *pair) for pair in alike]
    found = [
        *(_pair(table.papers, kind, one, other, score) for kind, one, other, score in pairs),
        *_torn(table.papers),
        *_disagreements(table.papers, near, settings),
        *_outliers(table.papers, near, settings),
        *_small(table.papers, settings),
    ]
    frame = pd.DataFrame(found, columns=list(COLUMNS))
    frame["kind"] = pd.Categorical(frame["kind"], KINDS, ordered=True)
    return frame.sort_values(["kind", "score"], ascending=[True, False], ignore_index=True)


def exclusions_of(findings: pd.DataFrame) -> tuple[Exclusion, ...]:
    """The photographs that findings suggest to leave out, each once."""
    chosen = findings[findings["suggestion"] == "exclude"].drop_duplicates("image_id")
    return tuple(Exclusion(str(row.image_id), f"{row.kind}: {row.detail}") for row in chosen.itertuples())


_Row = tuple[str, str, str, float, str, str]
_Pair = tuple[int, int, float]


def _exact(papers: pd.DataFrame) -> list[_Pair]:
    """Each photograph after the first of equal bytes, with the first."""
    pairs = []
    for rows in papers[papers["sha256"] != ""].groupby("sha256", sort=False).indices.values():
        pairs += [(int(rows[0]), int(row), 1.0) for row in rows[1:]]
    return pairs


def _near(
    papers: pd.DataFrame, near: Neighbours, settings: DoctorSettings, load: Load | None, known: set[tuple[int, int]]
) -> list[_Pair]:
    """Pairs of different plants that are closer than is usual around both and also look alike.

    Photographs of one plant are alike by nature.
    """
    usual = np.median(near.distance, axis=1)
    closest = near.distance / np.maximum(np.minimum(usual[:, None], usual[near.row]), 1e-12)
    candidates = {
        (min(one, other), max(one, other)): float(1 - closest[one, position])
        for one, position in zip(*np.nonzero(closest <= settings.near_ratio), strict=True)
        for other in [int(near.row[one, position])]
    }
    digest, plant = papers["sha256"].to_numpy(), papers["observation_id"].to_numpy()
    candidates = {
        pair: score
        for pair, score in candidates.items()
        if pair not in known
        and plant[pair[0]] != plant[pair[1]]
        and (digest[pair[0]] == "" or digest[pair[0]] != digest[pair[1]])
    }
    if load is None:
        return [(int(one), int(other), score) for (one, other), score in candidates.items()]
    ids = papers["image_id"].to_numpy()
    pairs = []
    with shell.progress(len(candidates), "comparing pictures", "pairs") as bar:
        for one, other in candidates:
            first, second = load(str(ids[one])), load(str(ids[other]))
            alike = likeness(first, second) if first is not None and second is not None else -1.0
            if alike >= settings.likeness:
                pairs.append((int(one), int(other), alike))
            bar.update()
    return pairs


def _pair(papers: pd.DataFrame, kind: str, one: int, other: int, score: float) -> _Row:
    """A finding of two copies; the one that is left out is never the one that is tested on."""
    rows = papers.iloc[[one, other]]
    splits, classes = rows["split"].tolist(), rows["class_id"].tolist()
    same_plant = len(set(rows["observation_id"])) == 1
    kept, extra = (other, one) if splits[1] == "test" and splits[0] != "test" else (one, other)
    what = "the same bytes as" if kind == "exact_duplicate" else "a copy of"
    detail = f"{what} {papers['image_id'].iloc[kept]}"
    if len(set(splits)) > 1:
        kind, detail = "split_leak", f"{detail}, on both sides of {' and '.join(sorted(set(splits)))}"
    if len(set(classes)) > 1:
        detail = f"{detail}, but called {' and '.join(sorted(set(classes)))}"
    # What the data set marks as test is judged as a whole, with its copies: else figures are about other plants.
    spare = splits.count("test") < 2 and len(set(classes)) == 1
    suggestion = "exclude" if kind == "split_leak" or (kind == "exact_duplicate" and spare) else "review"
    if same_plant:
        detail = f"{detail} (of one observation)"
    ids = papers["image_id"]
    return kind, str(ids.iloc[extra]), str(ids.iloc[kept]), score, suggestion, detail


def _torn(papers: pd.DataFrame) -> list[_Row]:
    """Observations of which the data set itself has photographs in several splits."""
    found: list[_Row] = []
    for observation, of_plant in papers.groupby("observation_id", sort=False):
        splits = sorted(set(of_plant["split"]))
        if len(splits) > 1:
            detail = f"observation {observation} is on both sides of {' and '.join(splits)}"
            learning = of_plant[of_plant["split"] != "test"]
            found += [("split_leak", str(key), "", 1.0, "exclude", detail) for key in learning["image_id"]]
    return found


def _disagreements(papers: pd.DataFrame, near: Neighbours, settings: DoctorSettings) -> list[_Row]:
    """Labels that the nearest photographs of other plants contradict with one voice."""
    labels, plants = papers["class_id"].to_numpy(str), papers["observation_id"].to_numpy(str)
    ids = papers["image_id"].to_numpy(str)
    found: list[_Row] = []
    for row in np.flatnonzero(labels != ""):
        others = near.row[row]
        voting = (plants[others] != plants[row]) & (labels[others] != "")
        if voting.sum() < 2:
            continue
        votes: dict[str, float] = {}
        # Closer ones count more; the tenth nearest and beyond mostly belong to other classes of the genus.
        chosen = others[voting][:10]
        for other, distance in zip(chosen, near.distance[row][voting][:10], strict=True):
            votes[labels[other]] = votes.get(labels[other], 0.0) + max(0.0, 1 - float(distance) ** 2 / 2)
        total = sum(votes.values())
        label = max(votes, key=lambda name: votes[name])
        share = votes[label] / total if total else 0.0
        if label != labels[row] and labels[row] not in votes and share >= settings.disagreement:
            partner = ids[chosen[labels[chosen] == label][0]]
            detail = f"called {labels[row]}, but {share:.0%} of its nearest neighbours' votes are for {label}"
            found.append(("label_disagreement", str(ids[row]), str(partner), share, "review", detail))
    return found


def _outliers(papers: pd.DataFrame, near: Neighbours, settings: DoctorSettings) -> list[_Row]:
    """Photographs far from all others of their view."""
    # The median distance does not see a copy or two.
    far = np.median(near.distance, axis=1)
    ids = papers["image_id"].to_numpy(str)
    found: list[_Row] = []
    for view, rows in papers.groupby("view").indices.items():
        middle = float(np.median(far[rows]))
        spread = 1.4826 * float(np.median(np.abs(far[rows] - middle)))
        if len(rows) < 10 or spread == 0:
            continue
        z = (far[rows] - middle) / spread
        found += [
            (
                "outlier",
                str(ids[row]),
                "",
                float(score),
                "review",
                f"unlike the other photographs of {view} (z = {score:.1f})",
            )
            for row, score in zip(rows, z, strict=True)
            if score >= settings.outlier_z
        ]
    return found


def _small(papers: pd.DataFrame, settings: DoctorSettings) -> list[_Row]:
    """Classes with too few plants to be divided into train and valid, or with none to learn from."""
    known = papers[papers["class_id"] != ""]
    found: list[_Row] = []
    for label, of_class in known.groupby("class_id", sort=True):
        learning = of_class[of_class["split"] != "test"]
        n_plants = learning["observation_id"].nunique()
        if n_plants >= settings.min_observations:
            continue
        detail = f"class {label} has {counted(n_plants, 'observation')} to learn from"
        detail += f", and {len(of_class) - len(learning)} photographs in test" if not n_plants else ""
        found.append(("small_class", str(of_class["image_id"].iloc[0]), "", float(-n_plants), "review", detail))
    return found


def counts(findings: pd.DataFrame) -> dict[str, int]:
    """Number of findings of each kind."""
    return {kind: int((findings["kind"] == kind).sum()) for kind in KINDS}
