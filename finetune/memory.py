"""Memory: what training frees is kept for the next step instead of being given back and asked for again."""

from __future__ import annotations

import ctypes
import sys

# Parameters of glibc's mallopt(3).
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory; whether it could be told.

    A training step allocates and frees the activations of every layer, tens of MB each. glibc gives blocks of that
    size back to the system at once, which then clears every page anew when the next step asks: a sixth of the time of
    a step on two cores. Peak memory stays what it is; it is given back when the process ends. Elsewhere than on glibc
    nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    mallopt = getattr(library, "mallopt", None)
    # musl has no mallopt.
    return mallopt is not None and bool(mallopt(_MMAP_MAX, 0)) and bool(mallopt(_TRIM_THRESHOLD, _MOST))
