"""Specs: which network stands behind each name of features, told without loading any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from featstore import shell
from featstore.backbones import (
    BACKBONES,
    Network,
    Pooling,
    build_backbone,
    engine_identity,
    weights_sha256,
    weights_source,
)
from featstore.engine import load_engine
from featstore.errors import WeightsError
from featstore.provenance import library_versions
from featstore.roi import ViewRecipe
from featstore.store.identity import Identity

_PIXEL_LIBRARIES = ("numpy", "pillow")
_REGION_LIBRARIES = ("numpy", "pillow", "scipy")


@dataclass(frozen=True)
class NetworkSpec:
    """One network to run, and the name its features get; `weights_sha256` is "" until the weights were seen."""

    name: str
    backbone: str
    weights: str
    side_px: int
    pooling: Pooling
    engine: str
    batch_size: int
    weights_source: str = ""
    weights_sha256: str = ""

    @property
    def dimension(self) -> int:
        """Number of features."""
        return BACKBONES[self.backbone].dimension

    def identity(self, view_recipe: ViewRecipe) -> Identity:
        """What makes this network's rows of a view."""
        engine, versions = engine_identity(self.engine)
        libraries = _PIXEL_LIBRARIES if view_recipe.identity == "keep" else _REGION_LIBRARIES
        return Identity(
            backbone=self.backbone,
            weights=self.weights,
            weights_source=self.weights_source,
            weights_sha256=self.weights_sha256,
            side_px=self.side_px,
            pooling=self.pooling,
            preprocessing=f"keras.applications {self.backbone}",
            roi=view_recipe.identity,
            precision="float32",
            batch_size=self.batch_size,
            engine=engine,
            versions={**library_versions(libraries), **versions},
        )


def with_weights(spec: NetworkSpec, known: Iterable[Identity]) -> NetworkSpec:
    """Fill in the digest of the weights: from what the store knows of the same source, or by loading them.

    Raises
    ------
    WeightsError
        If there are no such weights.
    """
    told = with_known_weights(spec, known)
    if told is not None:
        return told
    source = weights_source(spec.backbone, spec.weights, spec.side_px)
    sha256 = _network(replace(spec, weights_source=source or ""))[1]
    # A download puts the file in its place only now.
    source = weights_source(spec.backbone, spec.weights, spec.side_px) or ""
    return replace(spec, weights=lasting(spec.weights), weights_source=source, weights_sha256=sha256)


def with_known_weights(spec: NetworkSpec, known: Iterable[Identity]) -> NetworkSpec | None:
    """Fill in the digest of the weights from what the store knows of the same source; None if it knows none.

    Raises
    ------
    WeightsError
        If there is no such file of weights.
    """
    source = weights_source(spec.backbone, spec.weights, spec.side_px)
    seen = {identity.weights_sha256 for identity in known if _same_network(identity, spec, source)}
    if len(seen) != 1:
        return None
    return replace(spec, weights=lasting(spec.weights), weights_source=source or "", weights_sha256=seen.pop())


def load_network(spec: NetworkSpec) -> Network:
    """Load the network of a spec, once per process.

    Raises
    ------
    WeightsError
        If its weights are not those that the spec was made with.
    """
    network, sha256 = _network(spec)
    if sha256 != spec.weights_sha256:
        raise WeightsError(
            f"the weights {spec.weights_sha256[:12]} of {spec.backbone}",
            f"{sha256[:12]} in {spec.weights} on this machine",
            "Give every machine the same weights.",
        )
    return network


def load_untrained(spec: NetworkSpec) -> Network:
    """The network of a spec with random weights, which computes as fast as with any others."""
    weights = spec.weights if BACKBONES[spec.backbone].baseline else "random:0"
    return _network(replace(spec, weights=weights, weights_source="", weights_sha256=""))[0]


def load_networks(specs: Iterable[NetworkSpec]) -> Mapping[str, Network]:
    """Load every network by the name of its features."""
    return {spec.name: load_network(spec) for spec in specs}


def lasting(weights: str) -> str:
    """The weights as later steps find them, from whatever folder they are started."""
    path = Path(weights).expanduser()
    return str(path.resolve()) if path.exists() else weights


def _same_network(identity: Identity, spec: NetworkSpec, source: str | None) -> bool:
    return bool(source) and identity.backbone == spec.backbone and identity.weights_source == source


def _network(spec: NetworkSpec) -> tuple[Network, str]:
    return _loaded(
        spec.backbone, spec.weights, spec.side_px, spec.pooling, spec.engine, spec.batch_size, spec.weights_source
    )


@lru_cache(maxsize=32)
def _loaded(
    backbone: str, weights: str, side_px: int, pooling: Pooling, engine: str, batch_size: int, _source: str
) -> tuple[Network, str]:
    # The source is part of the key: another file may lie at the same place by now.
    load_engine()
    shell.say(f"loading {backbone} ({weights})")
    model = build_backbone(backbone, weights, side_px, pooling)
    return Network(backbone, model, batch_size, engine), weights_sha256(model)
