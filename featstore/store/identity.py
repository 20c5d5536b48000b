"""What made a feature row: network, weights, input, region and software, so that nothing stale is taken for fresh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import cast

from featstore.provenance import Json

FOREIGN = "import"
"""Engine of features that were computed elsewhere and imported."""

# Where weights lie says nothing about what they are (their digest does).
_LABELS = frozenset({"weights", "weights_source"})
_ENVIRONMENT = frozenset({"engine", "batch_size", "versions"})


@dataclass(frozen=True)
class Identity:
    """What made the feature rows of one view; rows of different identities are never mixed.

    Attributes
    ----------
    backbone
        Name in `featstore.backbones.BACKBONES`; for imported features what the user called their network.
    weights, weights_source
        As the user gave them, and a fingerprint of where they came from; only `weights_sha256` counts.
    side_px, pooling, preprocessing
        Input side, global pooling and scaling of the network.
    roi
        Identity of the view's recipe, as `featstore.roi.ViewRecipe.identity` gives it.
    precision, batch_size
        Number format of the network, and images per call (a row's last bits depend on it).
    engine, versions
        What computed the network, and the libraries that had a hand in the pixels or the numbers.
    """

    backbone: str
    weights: str
    weights_source: str
    weights_sha256: str
    side_px: int
    pooling: str
    preprocessing: str
    roi: str
    precision: str
    batch_size: int
    engine: str
    versions: Mapping[str, str]

    @property
    def foreign(self) -> bool:
        """Whether the features were computed elsewhere."""
        return self.engine == FOREIGN

    def equals(self, other: Identity) -> bool:
        """Whether both make the same rows to the last bit."""
        return self.essence() == other.essence() and self.environment() == other.environment()

    def essence(self) -> dict[str, object]:
        """What the user chose: features of another essence never stand under the same name."""
        return {name: value for name, value in asdict(self).items() if name not in _LABELS | _ENVIRONMENT}

    def environment(self) -> dict[str, str]:
        """What the last bits depend on: rows of another environment are made again, unless the user keeps them."""
        return {"engine": self.engine, "batch_size": str(self.batch_size), **self.versions}


def other_choices(made: Mapping[str, Json], now: Mapping[str, Json]) -> dict[str, tuple[Json, Json]]:
    """What was chosen otherwise for features, by its name: what it was and what it is.

    Parameters
    ----------
    made, now
        As `Described.essence` gives them. Regions count in views that both have: where one shows none of a view,
        nothing was cut.
    """
    regions = [cast("dict[str, Json]", one["roi"]) if isinstance(one.get("roi"), dict) else {} for one in (made, now)]
    of_both = [view for view in regions[0] if view in regions[1]]
    flat = [
        {**{name: value for name, value in one.items() if name != "roi"}, **{f"roi of {v}": of[v] for v in of_both}}
        for one, of in zip((made, now), regions, strict=True)
    ]
    return {name: (flat[0].get(name), flat[1].get(name)) for name in differences(*flat)}


def differences(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    """Names of the entries in which two descriptions differ."""
    return [name for name in {**old, **new} if old.get(name) != new.get(name)]
