"""Photographs in, a feature store out: catalogue, regions of interest, backbones and the zarr store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featstore.lazily import lazily

if TYPE_CHECKING:
    from featstore.api import build_features as build_features
    from featstore.api import draw_regions as draw_regions
    from featstore.api import load_features as load_features

__all__ = ["build_features", "draw_regions", "load_features"]
__getattr__ = lazily("featstore.api", __all__)
