"""Engines: what computes a network, chosen by name and known without importing it."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from featstore.backbones.folding import folded
from featstore.backbones.networks import from_pixels
from featstore.backbones.sources import keras_home
from featstore.errors import SettingsError
from featstore.provenance import library_versions

if TYPE_CHECKING:
    import keras

Compute: TypeAlias = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""(b, side, side, 3) RGB uint8, always the same b, to (b, d) float32."""


def keras_engine(name: str, model: keras.Model, batch_size: int) -> Compute:
    """Keras with whatever backend it has; convolutions swallow the normalisation behind them."""
    network = from_pixels(name, folded(model), batch_size)

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.asarray(network.predict_on_batch(images), dtype=np.float32)

    return compute


def openvino_engine(name: str, model: keras.Model, batch_size: int) -> Compute:
    """OpenVINO on the processor, in full float32; Keras builds the network and hands it over once.

    Raises
    ------
    SettingsError
        If OpenVINO is not installed, or fails on this Python.
    """
    check_engine("openvino")
    import keras
    import openvino

    network = from_pixels(name, model, batch_size)
    # Without the fixed batch it would be compiled for any, and bits would depend on it.
    signature = [keras.InputSpec(shape=network.input_shape, dtype="uint8")]
    # Windows does not remove weights that are still mapped.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "network.xml"
        try:
            network.export(str(path), format="openvino", input_signature=signature, verbose=False)
        except NameError as error:
            # OpenVINO deletes a local name by `exec`, which Python has kept nowhere since 3.13.
            python = ".".join(map(str, sys.version_info[:2]))
            raise SettingsError(
                "a Python that OpenVINO takes networks over on",
                f"{python}, where it ends with: {error}",
                "Use Python 3.11 or 3.12 for --engine openvino, or leave it out.",
            ) from error
        # Left to itself it computes in bfloat16 where the processor can: features would be 0.3-1 % off.
        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(openvino.Core().read_model(path), "CPU", exact)

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.array(compiled(images)[0], dtype=np.float32)

    return compute


ENGINES: Mapping[str, Callable[[str, keras.Model, int], Compute]] = {
    "keras": keras_engine,
    "openvino": openvino_engine,
}


def check_engine(engine: str) -> None:
    """Refuse an unknown engine, or one that is not installed, with a `SettingsError`; imports nothing."""
    if engine not in ENGINES:
        raise SettingsError(f"--engine among {', '.join(ENGINES)}", repr(engine), "Choose one of these.")
    if engine == "openvino" and importlib.util.find_spec("openvino") is None:
        remedy = 'Install it with pip install "phytobench[openvino]", or take --engine keras.'
        raise SettingsError("OpenVINO for --engine openvino", "no such package here", remedy)


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
    """What computes the rows, ``"keras-tensorflow"`` or ``"openvino"``, and the versions of its libraries.

    Raises
    ------
    SettingsError
        If the engine is unknown or not installed.
    """
    check_engine(engine)
    if engine == "openvino":
        return engine, library_versions(("keras", "openvino"))
    backend = backend_name()
    return f"{engine}-{backend}", library_versions(("keras", backend))
