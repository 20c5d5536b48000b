"""Truth: which plant every query of a contest shows, who photographed it, and in how many images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from evaluation.official.checks import Known
from evaluation.official.layouts import Layout
from evaluation.papers import read_papers
from featstore.catalog import make_catalog, number_of, view_of
from featstore.errors import DatasetError, SettingsError, listed
from featstore.readers.plantclef import TAXA, parse_record
from featstore.readers.reader import PHOTOGRAPH_SUFFIXES, is_photograph, walk

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Truth:
    """The plants of a contest whose class is known.

    Parameters
    ----------
    split
        The split that they belong to.
    observation_id, author, true_class
        (m,) sorted by `observation_id`; an author is ``""`` where unknown.
    image_id, view
        (n,) their photographs.
    plant
        (n,) position of each photograph's plant in the rows above.
    classes
        (k,) sorted ids of all species, where the source lists more than the plants asked about; else None.
    left_out
        Observations whose class is unknown, sorted: they may be asked about and are not scored.
    left_out_images
        Their photographs.
    warnings
        What is doubtful and was kept.
    """

    split: str
    observation_id: NDArray[np.str_]
    author: NDArray[np.str_]
    true_class: NDArray[np.str_]
    image_id: NDArray[np.str_]
    view: NDArray[np.str_]
    plant: NDArray[np.intp]
    classes: NDArray[np.str_] | None
    left_out: NDArray[np.str_]
    left_out_images: NDArray[np.str_]
    warnings: tuple[str, ...] = ()

    def known(self, layout: Layout) -> Known:
        """What a run of this layout may name."""
        if layout.by_image:
            return Known(image_queries(np.concatenate([self.image_id, self.left_out_images])), self.classes)
        return Known(np.concatenate([self.observation_id, self.left_out]), self.classes)


def image_queries(image_id: NDArray[np.str_]) -> NDArray[np.str_]:
    """Names of photographs in an image run: ``<MediaId>.jpg``; an id that is a file's name stays as it is."""
    suffixes = tuple(PHOTOGRAPH_SUFFIXES)
    ids = image_id.tolist()
    return np.array([name if name.casefold().endswith(suffixes) else f"{name}.jpg" for name in ids], dtype=np.str_)


def read_truth(source: str | Path, split: str | None = None) -> Truth:
    """Read the truth of a contest.

    Parameters
    ----------
    source
        A folder of XML records alone, as ``testwithgroundtruthxml/``; or what `read_papers` takes: a feature store,
        a package with photographs, a CSV or Parquet table.
    split
        Whose plants are asked about; None takes test where any of its classes is known, else all.

    Raises
    ------
    DatasetError
        If nothing can be read, records contradict each other, or no class is known.
    SettingsError
        If `split` has no photographs.
    """
    path = Path(source)
    # Photographs beside the records make it a package, whose folders say what is train and what is test.
    frame = _records_alone(path) if path.is_dir() else None
    papers = read_papers(source) if frame is None else frame
    return truth_of(papers, str(source), split)


def truth_of(papers: pd.DataFrame, name: str, split: str | None = None) -> Truth:
    """Take the truth out of papers with the columns of `featstore.catalog`; `name` is for messages."""
    chosen, rows = _chosen(papers, name, split)
    text = {
        column: rows[column].to_numpy(dtype=object).astype(np.str_)
        for column in ("image_id", "observation_id", "author", "class_id", "view")
    }
    observation_id, plant = np.unique(text["observation_id"], return_inverse=True)
    true_class = _first_known(text["class_id"], plant, len(observation_id))
    author = _first_known(text["author"], plant, len(observation_id))
    known = true_class != ""
    asked = known[plant]
    place = np.cumsum(known) - 1
    everything = papers["class_id"].to_numpy(dtype=object).astype(np.str_)
    # The species of a contest are those of its training photographs; test alone need not show all of them.
    more_than_asked = len(rows) < len(papers)
    return Truth(
        split=chosen,
        observation_id=observation_id[known],
        author=author[known],
        true_class=true_class[known],
        image_id=text["image_id"][asked],
        view=text["view"][asked],
        plant=place[plant[asked]],
        classes=np.unique(everything[everything != ""]) if more_than_asked else None,
        left_out=observation_id[~known],
        left_out_images=text["image_id"][~asked],
        warnings=tuple(_doubts(text, author[plant], known)),
    )


def _chosen(papers: pd.DataFrame, name: str, split: str | None) -> tuple[str, pd.DataFrame]:
    """The split that is asked about, and its rows."""
    own = papers["split"] == (split or "test")
    if split is not None and not own.any():
        there = ", ".join(sorted(set(papers["split"])))
        raise SettingsError(f"{split} photographs in {name}", f"only {there}", "Pass another --split.")
    if split is None and not (papers.loc[own, "class_id"] != "").any():
        own[:] = True
    if not (papers.loc[own, "class_id"] != "").any():
        remedy = "Name the folder that holds the truth, testwithgroundtruthxml/ in the official package."
        raise DatasetError(f"classes in {name}", f"none for {own.sum()} photographs", remedy)
    splits = sorted(set(papers.loc[own, "split"]))
    return splits[0] if len(splits) == 1 else "all", papers.loc[own]


def _first_known(values: NDArray[np.str_], plant: NDArray[np.intp], n_plants: int) -> NDArray[np.str_]:
    """(m,) first value of each plant that is not empty."""
    filled = np.flatnonzero(values != "")
    plants, first = np.unique(plant[filled], return_index=True)
    result = np.zeros(n_plants, dtype=values.dtype)
    result[plants] = values[filled[first]]
    return result


def _doubts(text: dict[str, NDArray[np.str_]], author: NDArray[np.str_], known: NDArray[np.bool_]) -> list[str]:
    other = (text["author"] != "") & (text["author"] != author)
    several = np.unique(text["observation_id"][other]).tolist()
    found = [f"Observations with several authors, of whom the first counts: {listed(several)}."] if several else []
    if not known.all():
        found.append(
            f"No known class, left out of the scores: {np.count_nonzero(~known)} of {len(known)} observations."
        )
    return found


def _records_alone(folder: Path) -> pd.DataFrame | None:
    """Papers of the XML records of a folder without any photograph, None if it is something else."""
    records, broken = [], []
    for path in walk(folder):
        if is_photograph(path):
            return None
        if path.suffix.casefold() != ".xml":
            continue
        fields, problem = parse_record(path)
        if problem:
            broken.append(f"{path.name}: {problem}")
            continue
        records.append(
            {
                **{name: fields[name] for name in ("observation_id", "author", "date", *TAXA)},
                **{name: number_of(fields[name]) for name in ("vote", "latitude", "longitude")},
                "image_id": fields["image_id"] or path.stem,
                "path": path.relative_to(folder).as_posix(),
                "view": view_of(fields["view"]),
                "split": "test",
            }
        )
    if broken:
        got = f"{len(broken)} that are not ({listed(broken)})"
        raise DatasetError(f"XML records in {folder} that can be read", got, "Take the folder from the package again.")
    return make_catalog(records, folder, folder.name).frame if records else None
