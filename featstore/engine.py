"""The engine: Keras and its backend, loaded without their start-up chatter."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def load_engine() -> str:
    """Import Keras with the backend that ``KERAS_BACKEND`` names (default TensorFlow).

    Float32 is then multiplied as float32 on every device. Left to themselves, the backends let newer cards round the
    factors to 10 bits (TF32): features would be 0.3-0.4 % off those of a processor, and a network on a card would not
    be proved by features from a laptop. What is to be fast instead asks for 16 bits by name.

    TensorFlow writes device details straight to the standard error of the process; they are shown only if the
    import fails.

    Returns
    -------
    Name of the backend.
    """
    # On a machine without an NVIDIA driver TensorFlow reports its absence as an error; elsewhere errors are shown.
    has_driver = Path("/proc/driver/nvidia").exists()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if has_driver else "3")
    # Several networks in one process are no retracing that anyone could avoid.
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    with _standard_error_held():
        import keras

        backend = str(keras.backend.backend())
        if backend in _FULL_FLOAT32:
            _FULL_FLOAT32[backend](importlib.import_module(backend))
        # Some messages come with the first array, not with the import.
        keras.ops.zeros((1,))
    return backend


def _torch_in_full(torch: Any) -> None:
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


_FULL_FLOAT32: Mapping[str, Callable[[Any], None]] = {
    "tensorflow": lambda tensorflow: tensorflow.config.experimental.enable_tensor_float_32_execution(False),
    "jax": lambda jax: jax.config.update("jax_default_matmul_precision", "highest"),
    "torch": _torch_in_full,
}
"""What each backend, given as a module, is told so that it multiplies float32 in full; Keras has no word for it."""


@contextmanager
def _standard_error_held() -> Iterator[None]:
    """Keep what native code prints, and print it only if the body raises."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            os.dup2(kept, 2)
            held.seek(0)
            sys.stderr.write(held.read().decode(errors="replace"))
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
