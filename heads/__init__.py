"""Classifiers on stored features, compared fairly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featstore.lazily import lazily

if TYPE_CHECKING:
    from heads.api import compare_heads as compare_heads
    from heads.api import predict_plants as predict_plants

__all__ = ["compare_heads", "predict_plants"]
__getattr__ = lazily("heads.api", __all__)
