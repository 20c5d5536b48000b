"""What made a feature row: network, weights, input and region, so that nothing stale is ever taken for fresh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Identity:
    """What made a feature row; rows of different identities are never mixed.

    Attributes
    ----------
    backbone
        Name in `featstore.backbones.BACKBONES`.
    weights
        As the user gave them; `weights_sha256` is what counts.
    side_px, pooling, preprocessing
        Input side, global pooling and scaling of the network.
    roi
        Recipe of the region of interest with its version, as `featstore.roi.recipe_identity` gives it.
    engine, precision, versions
        Keras backend, number format and library versions; recorded, but no reason to recompute.
    """

    backbone: str
    weights: str
    weights_sha256: str
    side_px: int
    pooling: str
    preprocessing: str
    roi: str
    engine: str
    precision: str
    versions: Mapping[str, str]

    def made_like(self, other: Identity) -> bool:
        """Whether rows of both may stand in one array."""
        return self.essence() == other.essence()

    def essence(self) -> dict[str, object]:
        """The fields that change features; the label of the weights and the versions do not."""
        record = asdict(self)
        return {name: value for name, value in record.items() if name not in {"weights", "engine", "versions"}}
