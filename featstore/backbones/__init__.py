"""Backbones: image networks without their classifier, each with its own weights, preprocessing and engine."""

from featstore.backbones.engines import ENGINES, backend_name, check_engine, engine_identity
from featstore.backbones.network import Network
from featstore.backbones.networks import build_backbone, preprocess, weights_sha256
from featstore.backbones.random import random_seed, randomise
from featstore.backbones.sources import weights_source
from featstore.backbones.table import (
    ARTICLE_BACKBONES,
    BACKBONES,
    Backbone,
    Pooling,
    backbone_named,
    check_options,
)

__all__ = [
    "ARTICLE_BACKBONES",
    "BACKBONES",
    "ENGINES",
    "Backbone",
    "Network",
    "Pooling",
    "backbone_named",
    "backend_name",
    "build_backbone",
    "check_engine",
    "check_options",
    "engine_identity",
    "preprocess",
    "random_seed",
    "randomise",
    "weights_sha256",
    "weights_source",
]
