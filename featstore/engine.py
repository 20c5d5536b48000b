"""The engine: Keras and its backend, loaded without their start-up chatter."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def load_engine() -> str:
    """Import Keras with the backend that ``KERAS_BACKEND`` names (default TensorFlow).

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

        # Some messages come with the first array, not with the import.
        keras.ops.zeros((1,))
    return str(keras.backend.backend())


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
