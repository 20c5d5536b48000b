"""What a store says of itself: the data set, and what stands under each name of features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, cast

from featstore.errors import StoreError
from featstore.provenance import Json
from featstore.store.column import Column
from featstore.store.description import sealed, unsealed, write_copy
from featstore.store.identity import Identity
from featstore.store.place import Place

if TYPE_CHECKING:
    import zarr

    from featstore.roi import Recipe


class Described:
    """A place with a store's attributes; read when asked, written in one step."""

    def __init__(self, place: Place, group: zarr.Group) -> None:
        self.place = place
        self._group = group

    @property
    def location(self) -> str:
        """Where the store lies; `Store.open` takes it."""
        return self.place.url

    @property
    def attrs(self) -> dict[str, Json]:
        """Everything that the store says of itself."""
        return unsealed(cast("dict[str, Json]", self._group.attrs.asdict()), self.location)

    def update_attrs(self, **changes: Json) -> None:
        """Replace attributes in one write."""
        attributes = {**self.attrs, **changes}
        # The copy first: it may be ahead of the rows, never behind them.
        write_copy(self.place, attributes)
        self._group = self._group.update_attributes(sealed(attributes))

    @property
    def name(self) -> str:
        """What the data set is called."""
        return str(self.attrs["dataset"])

    @property
    def root(self) -> Path:
        """Folder that the photographs' paths start from."""
        return Path(str(self.attrs["root"]))

    @property
    def identities(self) -> tuple[Identity, ...]:
        """Every identity the store has known; a row points at its place in this table."""
        table = cast("list[dict[str, object]]", self.attrs["identities"])
        return tuple(Identity(**entry) for entry in table)  # type: ignore[arg-type]  # JSON keeps what asdict wrote

    @property
    def backbones(self) -> tuple[str, ...]:
        """Names of the features, in the order in which they came: a backbone's, or what --as gave."""
        return tuple(cast("dict[str, Json]", self.attrs["features"]))

    def column(self, name: str) -> Column:
        """What stands under a name of features.

        Raises
        ------
        StoreError
            If nothing does.
        """
        features = cast("dict[str, dict[str, Json]]", self.attrs["features"])
        if name not in features:
            known = ", ".join(features) or "none"
            raise StoreError(f"features of {name} in {self.location}", f"those of {known}", "Build them first.")
        return Column.from_json(features[name])

    def identity(self, name: str, view: str | None = None) -> Identity:
        """What makes the features of a name now, in a view or (but for the region) in all."""
        current = self.column(name).current
        return self.identities[current[view or next(iter(current))]]

    def essence(self, name: str) -> dict[str, Json]:
        """What the user chose for the features of a name: `Identity.essence` with ``roi`` by view, in every view."""
        current = self.column(name).current
        regions: dict[str, Json] = {view: self.identities[number].roi for view, number in sorted(current.items())}
        return {**cast("dict[str, Json]", self.identity(name).essence()), "roi": regions}

    def recipe(self, name: str) -> Recipe:
        """How the photographs behind a name of features were cut."""
        return self.column(name).recipe

    def set_column(self, name: str, column: Column, identities: Sequence[Identity]) -> None:
        """Enter what stands under a name, together with the table of identities that its numbers point into."""
        features = cast("dict[str, Json]", self.attrs["features"])
        self.update_attrs(
            identities=[cast("Json", asdict(identity)) for identity in identities],
            features={**features, name: column.to_json()},
        )
