"""Answers: what a fusion says of every plant, as a table that a person can read and as rows for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from evaluation.alignment import Aligned
from evaluation.cells import write_csv
from evaluation.filing import RowWriter, open_writer
from evaluation.fused import FusedPlaces
from evaluation.rows import Matrix

N_ANSWERS = 5
COLUMNS = ("observation_id", "author", "n_images", "true_class", "true_species", "rank")
ANSWER_COLUMNS = tuple(
    f"top_{place}_{what}" for place in range(1, N_ANSWERS + 1) for what in ("class", "species", "probability")
)


def write_observations(fused: FusedPlaces, species: Mapping[str, str], path: Path) -> None:
    """Write one line per observation: its truth, the rank of the truth, and the five likeliest species.

    Parameters
    ----------
    fused
        The answers, with `N_ANSWERS` of the likeliest species. Equal probabilities are listed in the
        order of their class ids.
    species
        Class id -> species name; a missing name leaves its cell empty.
    path
        CSV file. `rank` is empty where the truth is unknown and ``inf`` where it is none of the classes.
    """
    write_csv(path, (*COLUMNS, *ANSWER_COLUMNS), _lines(fused, species))


def _lines(fused: FusedPlaces, species: Mapping[str, str]) -> Iterator[list[str]]:
    places = fused.places
    for row, (observation_id, true_class) in enumerate(zip(fused.observation_id, fused.true_class, strict=True)):
        answers: list[str] = []
        for column, probability in zip(places.best[row], places.probability[row], strict=True):
            class_id = str(fused.classes[column])
            answers += [class_id, species.get(class_id, ""), f"{probability:.6g}"]
        yield [
            str(observation_id),
            str(fused.author[row]),
            str(fused.n_images[row]),
            str(true_class),
            species.get(str(true_class), ""),
            f"{places.rank[row]:g}" if true_class else "",
            *answers,
            # Fewer classes than answers: the columns stay.
            *[""] * (len(ANSWER_COLUMNS) - len(answers)),
        ]


def open_answers(path: Path, aligned: Aligned[Matrix], model: str) -> AbstractContextManager[RowWriter]:
    """Open a file of predictions with one row per plant, whose id is that of the plant, to be written part by part."""
    plants = aligned.observations[0]
    strings = {
        "image_id": plants.observation_id,
        "observation_id": plants.observation_id,
        "author": plants.author,
        "view": np.full(len(plants.observation_id), "Unknown"),
        "true_class": plants.true_class,
        "classes": aligned.members[0].classes,
    }
    return open_writer(path, {"model": model, "split": aligned.members[0].split}, strings, {})
