"""Whole networks, trained from a backbone and its fitted head."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featstore.lazily import lazily

if TYPE_CHECKING:
    from finetune.api import fine_tune as fine_tune
    from finetune.api import predict_plants as predict_plants

__all__ = ["fine_tune", "predict_plants"]
__getattr__ = lazily("finetune.api", __all__)
