"""Engines: what computes a network, chosen by name and known without importing it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featstore.backbones.networks import preprocess
from featstore.backbones.sources import keras_home
from featstore.provenance import library_versions

if TYPE_CHECKING:
    import keras

Compute: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(b, side, side, 3) RGB uint8, always the same b, to (b, d) float32."""


def keras_engine(name: str, model: keras.Model, batch_size: int) -> Compute:  # noqa: ARG001  # the contract of ENGINES
    """Keras with whatever backend it has."""

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(model.predict_on_batch(preprocess(name, images)), dtype=np.float32)

    return compute


ENGINES: Mapping[str, Callable[[str, keras.Model, int], Compute]] = {"keras": keras_engine}


def backend_name() -> str:
    """What Keras computes with, without importing it: ``KERAS_BACKEND``, its settings file, or TensorFlow."""
    named = os.environ.get("KERAS_BACKEND")
    if named:
        return named
    try:
        return str(json.loads((keras_home() / "keras.json").read_text(encoding="utf-8"))["backend"])
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow"


def engine_identity(engine: str) -> tuple[str, dict[str, str]]:
    """What computes the rows, such as ``"keras-tensorflow"``, and the versions of its libraries."""
    backend = backend_name()
    libraries = ("keras", backend)
    return f"{engine}-{backend}", library_versions(libraries)
