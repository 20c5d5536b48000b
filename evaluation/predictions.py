"""Predictions: what one model says about every image, with the truth travelling along."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Generic, cast

import h5py
import numpy as np
from numpy.typing import NDArray
from typing_extensions import TypeVar

from evaluation.filing import OPTIONAL, STRINGS, open_file, open_writer, text_attribute
from evaluation.invariants import (
    REBUILD,
    check_classes,
    check_distributions,
    check_images,
    check_labels,
    check_log_sum_exp,
    check_matrix,
    check_strings,
    check_unseen,
)
from evaluation.rows import Matrix, StoredRows, open_rows, row_blocks
from featstore.errors import PredictionsError
from featstore.provenance import Json

if TYPE_CHECKING:
    import pandas as pd

SUFFIX = ".predictions.h5"

MatrixT_co = TypeVar("MatrixT_co", bound=Matrix, covariant=True, default=NDArray[np.float32])
"""Where the probabilities are: in memory where nothing is said, `StoredRows` in their file."""


@dataclass(frozen=True, eq=False)
class Predictions(Generic[MatrixT_co]):
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
        (n, k) float32, finite, >= 0; every row sums to 1 within 1e-3. An array, or rows that stay in their file.
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
    probability: MatrixT_co
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
        check_matrix(self.probability.shape, self.probability.dtype, (len(self.image_id), len(self.classes)))
        # Stored rows were proved when they were opened.
        if isinstance(self.probability, np.ndarray):
            for block in row_blocks(self.probability.shape):
                check_distributions(self.probability[block], self.image_id[block], block.start)
        check_unseen(self.unseen, self.image_id)
        check_log_sum_exp(self.log_sum_exp, self.image_id)
        for name in (*STRINGS, "classes", "probability", *OPTIONAL):
            if isinstance(values := getattr(self, name), np.ndarray):
                # A view: the caller's own array stays writeable.
                frozen = values.view()
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
        return Predictions(
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

    def select(self, mask: NDArray[np.bool_]) -> Predictions[MatrixT_co]:
        """Keep the images for which `mask` (n,) is true, at least one, in their order."""
        return self.take(np.flatnonzero(mask))

    def take(self, rows: NDArray[np.intp]) -> Predictions[MatrixT_co]:
        """Give the images at positions `rows`, in that order; no position twice."""
        told = [name for name in (*STRINGS, *OPTIONAL) if getattr(self, name) is not None]
        per_image = {name: getattr(self, name)[rows] for name in told}
        own: Matrix = self.probability
        kept = own.take(rows) if isinstance(own, StoredRows) else own[rows]
        return replace(self, **per_image, probability=cast("MatrixT_co", kept))

    def sharing(self, other: Predictions[Matrix]) -> Predictions[MatrixT_co]:
        """Give the same predictions; papers that equal those of `other` are kept once for both."""
        same = {
            name: getattr(other, name)
            for name in (*STRINGS, "classes")
            if np.array_equal(getattr(self, name), getattr(other, name))
        }
        return replace(self, **same)

    def loaded(self) -> Predictions:
        """Give the same predictions with all probabilities in memory."""
        anywhere: Predictions[Matrix] = self
        return cast("Predictions", replace(anywhere, probability=np.asarray(self.probability)))

    def write(self, path: Path) -> None:
        """Write the HDF5 file, whole or not at all.

        Raises
        ------
        PredictionsError
            If an id cannot be written as UTF-8.
        OSError
            If the disk has no room.
        """
        attributes: dict[str, str | float] = {"model": self.model, "split": self.split}
        if math.isfinite(self.images_per_second):
            attributes["images_per_second"] = self.images_per_second
        if self.provenance:
            attributes["provenance"] = json.dumps(dict(self.provenance), ensure_ascii=False)
        strings = {name: getattr(self, name) for name in (*STRINGS, "classes")}
        optional = {name: getattr(self, name) for name in OPTIONAL if getattr(self, name) is not None}
        with open_writer(path, attributes, strings, optional) as write:
            for block in row_blocks(self.probability.shape):
                write(block.start, self.probability[block])

    @classmethod
    def read(cls, path: Path) -> Predictions:
        """Read a file of schema predictions/1 into memory; additions to it are left aside.

        Raises
        ------
        PredictionsError
            If the file is absent, damaged, of another schema, or holds a row that breaks the format.
        """
        return cls.open(path).loaded()

    @classmethod
    def open(cls, path: Path) -> Predictions[StoredRows]:
        """Prove a file of schema predictions/1 and leave its probabilities there, to be read by rows.

        The memory that this takes does not grow with the number of classes.

        Raises
        ------
        PredictionsError
            As `read`.
        """
        with open_file(path) as file:
            try:
                strings = {name: np.array(file[name].asstr()[...], dtype=np.str_) for name in (*STRINGS, "classes")}
                return Predictions(
                    model=text_attribute(file, "model"),
                    split=text_attribute(file, "split"),
                    **strings,
                    probability=_probability(file, strings),
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
    with open_file(path) as file:
        return text_attribute(file, "split")


def peek_classes(path: Path) -> NDArray[np.str_]:
    """Read only the classes of a file of predictions.

    Raises
    ------
    PredictionsError
        If the file is absent, damaged or of another schema.
    """
    with open_file(path) as file:
        return np.array(file["classes"].asstr()[...], dtype=np.str_)


def _probability(file: h5py.File, strings: Mapping[str, NDArray[np.str_]]) -> StoredRows:
    """Open the matrix; other floating widths are converted, integers are no probabilities."""
    dataset = file["probability"]
    if dataset.dtype.kind != "f":
        raise PredictionsError("floating-point numbers in `probability`", f"{dataset.dtype}", REBUILD)
    check_matrix(dataset.shape, StoredRows.dtype, (len(strings["image_id"]), len(strings["classes"])))
    return open_rows(dataset, strings["image_id"])
