"""Predictions: what one model says about every image, with the truth travelling along."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

from evaluation.invariants import (
    REBUILD,
    check_classes,
    check_images,
    check_labels,
    check_log_sum_exp,
    check_probability,
    check_strings,
    check_unseen,
)
from featstore.errors import PredictionsError
from featstore.provenance import Json, replacing, require_room

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = "predictions/1"
SUFFIX = ".predictions.h5"
STRINGS = ("image_id", "observation_id", "author", "view", "true_class")
OPTIONAL = ("unseen", "log_sum_exp")


@dataclass(frozen=True, eq=False)
class Predictions:
    """One row of class probabilities per image; cannot exist with a row that breaks the format.

    Parameters
    ----------
    model
        Name of the model, as it stands in tables.
    split
        ``"train"``, ``"valid"`` or ``"test"``.
    image_id, observation_id
        (n,) never empty; every `image_id` once, the images of one plant share their `observation_id`.
    author
        (n,) who took the photograph, ``""`` when unknown.
    view
        (n,) organ on the photograph, ``"Unknown"`` when unknown.
    true_class
        (n,) raw class id, ``""`` when unknown; it may lie outside `classes`.
    classes
        (k,) raw class ids, sorted and unique.
    probability
        (n, k) float32, finite, >= 0; every row sums to 1 within 1e-3.
    images_per_second
        Speed that was measured when the predictions were made; NaN when unknown.
    provenance
        What made the predictions.
    unseen
        (n,) whether neither fitting, tuning nor early stopping looked at the image, so that more may be learnt on it;
        None where nobody said.
    log_sum_exp
        (n,) float32, finite: logarithm of the summed exponentials of the model's logits, before any temperature; None
        for a model without logits.

    Raises
    ------
    PredictionsError
        Naming the first row that breaks one of these promises.
    """

    model: str
    split: str
    image_id: NDArray[np.str_]
    observation_id: NDArray[np.str_]
    author: NDArray[np.str_]
    view: NDArray[np.str_]
    true_class: NDArray[np.str_]
    classes: NDArray[np.str_]
    probability: NDArray[np.float32]
    images_per_second: float = math.nan
    provenance: Mapping[str, Json] = field(default_factory=dict)
    unseen: NDArray[np.bool_] | None = None
    log_sum_exp: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        check_labels(self.model, self.split, self.images_per_second)
        for name in (*STRINGS, "classes"):
            check_strings(name, getattr(self, name))
        check_images(self.image_id, {name: getattr(self, name) for name in STRINGS})
        check_classes(self.classes)
        check_probability(self.probability, self.image_id, self.classes)
        check_unseen(self.unseen, self.image_id)
        check_log_sum_exp(self.log_sum_exp, self.image_id)
        told = [name for name in OPTIONAL if getattr(self, name) is not None]
        for name in (*STRINGS, "classes", "probability", *told):
            # A view: the caller's own array stays writeable.
            frozen = getattr(self, name).view()
            frozen.flags.writeable = False
            object.__setattr__(self, name, frozen)

    @classmethod
    def from_papers(
        cls,
        papers: pd.DataFrame,
        *,
        model: str,
        split: str,
        classes: Sequence[str] | NDArray[np.str_],
        probability: NDArray[np.float32],
        images_per_second: float = math.nan,
        provenance: Mapping[str, Json] | None = None,
        log_sum_exp: NDArray[np.float32] | None = None,
    ) -> Predictions:
        """Join probabilities to the papers of their images, row by row.

        Parameters
        ----------
        papers
            n rows with the columns image_id, observation_id, author, view and class_id; missing
            values count as unknown.
        model, split, classes, probability, images_per_second, provenance, log_sum_exp
            As in `Predictions`; row i of `probability` belongs to row i of `papers`.

        Raises
        ------
        PredictionsError
            If a column is absent or a row breaks the format.
        """
        columns = {name: "class_id" if name == "true_class" else name for name in STRINGS}
        absent = [column for column in columns.values() if column not in papers.columns]
        if absent:
            raise PredictionsError(
                "papers with the columns " + ", ".join(columns.values()),
                f"papers without {', '.join(absent)}",
                "Pass the papers of a feature store.",
            )
        strings = {
            name: papers[column].astype(object).fillna("").to_numpy().astype(np.str_)
            for name, column in columns.items()
        }
        return cls(
            model=model,
            split=split,
            **strings,
            unseen=None,
            classes=np.asarray(classes, dtype=np.str_),
            probability=probability,
            images_per_second=images_per_second,
            provenance=dict(provenance or {}),
            log_sum_exp=log_sum_exp,
        )

    def select(self, mask: NDArray[np.bool_]) -> Predictions:
        """Keep the images for which `mask` (n,) is true, at least one, in their order."""
        return self.take(np.flatnonzero(mask))

    def take(self, rows: NDArray[np.intp]) -> Predictions:
        """Give the images at positions `rows`, in that order; no position twice."""
        return Predictions(
            model=self.model,
            split=self.split,
            image_id=self.image_id[rows],
            observation_id=self.observation_id[rows],
            author=self.author[rows],
            view=self.view[rows],
            true_class=self.true_class[rows],
            classes=self.classes,
            probability=self.probability[rows],
            images_per_second=self.images_per_second,
            provenance=self.provenance,
            unseen=None if self.unseen is None else self.unseen[rows],
            log_sum_exp=None if self.log_sum_exp is None else self.log_sum_exp[rows],
        )

    def write(self, path: Path) -> None:
        """Write the HDF5 file, whole or not at all.

        Probabilities lie uncompressed: gzip saves 12 % of them and writes fifty times slower.

        Raises
        ------
        PredictionsError
            If an id cannot be written as UTF-8.
        OSError
            If the disk has no room.
        """
        n_bytes = self.probability.nbytes + sum(getattr(self, name).nbytes for name in STRINGS)
        require_room(path.parent, int(1.1 * n_bytes))
        text = h5py.string_dtype("utf-8")
        try:
            with replacing(path) as temporary, h5py.File(temporary, "w") as file:
                file.attrs["schema"] = SCHEMA
                file.attrs["model"] = self.model
                file.attrs["split"] = self.split
                if math.isfinite(self.images_per_second):
                    file.attrs["images_per_second"] = self.images_per_second
                if self.provenance:
                    file.attrs["provenance"] = json.dumps(dict(self.provenance), ensure_ascii=False)
                for name in (*STRINGS, "classes"):
                    file.create_dataset(name, data=getattr(self, name).astype(object), dtype=text)
                file.create_dataset("probability", data=self.probability)
                for name in OPTIONAL:
                    if getattr(self, name) is not None:
                        file.create_dataset(name, data=getattr(self, name))
        except ValueError as error:
            raise PredictionsError(
                "ids and names that are UTF-8 text without NUL",
                f"{error} while writing {path}",
                "Rename the photographs or correct the metadata, then build the feature store again.",
            ) from error

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read a file of schema predictions/1; additions to it are left aside.

        Raises
        ------
        PredictionsError
            If the file is absent, damaged, of another schema, or holds a row that breaks the format.
        """
        with _opened(path) as file:
            try:
                return cls(
                    model=_attribute(file, "model"),
                    split=_attribute(file, "split"),
                    **{name: np.array(file[name].asstr()[...], dtype=np.str_) for name in (*STRINGS, "classes")},
                    probability=_probability(file),
                    images_per_second=float(file.attrs.get("images_per_second", math.nan)),
                    provenance=json.loads(file.attrs.get("provenance", "{}")),
                    unseen=file["unseen"][...] if "unseen" in file else None,
                    log_sum_exp=np.array(file["log_sum_exp"], np.float32) if "log_sum_exp" in file else None,
                )
            except PredictionsError as error:
                raise PredictionsError(error.expected, f"{error.got} in {path}", error.remedy) from error


def peek_split(path: Path) -> str:
    """Read only which split a file of predictions is about.

    Raises
    ------
    PredictionsError
        If the file is absent, damaged or of another schema.
    """
    with _opened(path) as file:
        return _attribute(file, "split")


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a file of this schema; whatever fails while it is read names the file."""
    if not path.is_file():
        raise PredictionsError("a file of predictions", f"{path}, which is not a file", "Check the path.")
    try:
        with h5py.File(path, "r") as file:
            _require_schema(file, path)
            yield file
    except (AttributeError, OSError, TypeError, ValueError) as error:
        got = f"{path}, which is damaged or of another kind ({error})"
        raise PredictionsError("a readable HDF5 file of predictions", got, REBUILD) from error


def _require_schema(file: h5py.File, path: Path) -> None:
    schema = file.attrs.get("schema", "none")
    if schema != SCHEMA:
        raise PredictionsError(f"schema {SCHEMA}", f"{schema} in {path}", REBUILD)
    absent = [name for name in (*STRINGS, "classes", "probability") if name not in file]
    if absent:
        raise PredictionsError("the datasets of schema predictions/1", f"{path} without {', '.join(absent)}", REBUILD)


def _attribute(file: h5py.File, name: str) -> str:
    value = file.attrs.get(name)
    if not isinstance(value, str):
        raise PredictionsError(f"the text attribute `{name}`", repr(value), REBUILD)
    return value


def _probability(file: h5py.File) -> NDArray[np.float32]:
    """Read the matrix; other floating widths are converted, integers are no probabilities."""
    dataset = file["probability"]
    if dataset.dtype.kind != "f":
        raise PredictionsError("floating-point numbers in `probability`", f"{dataset.dtype}", REBUILD)
    return np.asarray(dataset[...], dtype=np.float32)
