"""Predictions, metrics and fusion, with the observation as the unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featstore.lazily import lazily

if TYPE_CHECKING:
    from evaluation.api import fuse_models as fuse_models
    from evaluation.api import identify_plant as identify_plant
    from evaluation.api import write_report as write_report

__all__ = ["fuse_models", "identify_plant", "write_report"]
__getattr__ = lazily("evaluation.api", __all__)
