"""Float32 is multiplied as float32 on every device, so that features of a laptop prove a network on a card."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from featstore.engine import load_engine

BACKEND = keras.backend.backend()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="of TensorFlow")
def test_tensorflow_does_not_round_factors() -> None:
    config = pytest.importorskip("tensorflow").config.experimental
    config.enable_tensor_float_32_execution(True)
    load_engine()
    assert not config.tensor_float_32_execution_enabled()


@pytest.mark.skipif(BACKEND != "torch", reason="of PyTorch")
def test_torch_does_not_round_factors() -> None:
    backends = pytest.importorskip("torch").backends
    backends.cudnn.allow_tf32 = backends.cuda.matmul.allow_tf32 = True
    load_engine()
    assert not backends.cudnn.allow_tf32
    assert not backends.cuda.matmul.allow_tf32


@pytest.mark.skipif(BACKEND != "jax", reason="of JAX")
@pytest.mark.parametrize("layer", [keras.layers.Conv2D(4, 3), keras.layers.DepthwiseConv2D(3), keras.layers.Dense(4)])
def test_jax_asks_every_layer_for_full_products(layer: keras.layers.Layer) -> None:
    """What is compiled for a card says so itself: every product of it has the highest precision."""
    jax = pytest.importorskip("jax")
    load_engine()
    images = np.ones((1, 8, 8, 3), np.float32)
    layer(images)
    compiled = jax.jit(layer.call).lower(images).as_text()
    n_products = compiled.count("stablehlo.convolution") + compiled.count("stablehlo.dot_general")
    assert n_products == 1
    assert "precision = [HIGHEST, HIGHEST]" in compiled or compiled.count("precision HIGHEST") == 2, compiled
