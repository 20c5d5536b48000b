"""The description of a store, its attributes: sealed by a digest and kept twice, because every row depends on it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import cast

import zarr

from featstore.errors import StoreError
from featstore.provenance import Json
from featstore.store.place import Place

ROOT = "zarr.json"
COPY = "description.json"
_SEAL = "seal"


def is_described(place: Place) -> bool:
    """Whether there is a store at a place, of whatever schema."""
    return place.read(ROOT) is not None or place.read(COPY) is not None


def open_described(place: Place, schema: str) -> zarr.Group:
    """Open the root group of a store.

    Raises
    ------
    StoreError
        If there is none, it has another schema, or its description is damaged.
    """
    if not is_described(place):
        raise StoreError("a feature store", f"none at {place.url}", "Build it: featstore build DATASET --store PATH.")
    try:
        group = zarr.open_group(place.zarr_store(), mode="r+")
        attributes = cast("dict[str, Json]", group.attrs.asdict())
    except (ValueError, KeyError, OSError, TypeError) as error:
        remedy = f"featstore repair {place.url} takes the copy of its description."
        raise StoreError(f"a readable feature store at {place.url}", str(error), remedy) from error
    found = attributes.get("schema")
    if found != schema:
        raise StoreError(
            f"a store of schema {schema}", f"{found!r} in {place.url}", "Build it anew with featstore build."
        )
    unsealed(attributes, place.url)
    return group


def sealed(attributes: Mapping[str, Json]) -> dict[str, Json]:
    """Attributes with the sha256 of all others, by which a flipped byte is noticed."""
    content = {name: value for name, value in attributes.items() if name != _SEAL}
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return {**content, _SEAL: hashlib.sha256(text.encode()).hexdigest()}


def unsealed(attributes: Mapping[str, Json], location: str) -> dict[str, Json]:
    """Attributes without their seal.

    Raises
    ------
    StoreError
        If they are not as they were written.
    """
    if attributes != sealed(attributes):
        raise _damaged(location)
    return {name: value for name, value in attributes.items() if name != _SEAL}


def write_copy(place: Place, attributes: Mapping[str, Json]) -> None:
    """Write the second copy."""
    place.write(COPY, json.dumps(sealed(attributes), ensure_ascii=False).encode() + b"\n")


def copy_is_intact(place: Place, attributes: Mapping[str, Json]) -> bool:
    """Whether the second copy says the same."""
    return _parsed(place.read(COPY)) == sealed(attributes)


def intact_copy(place: Place) -> dict[str, Json] | None:
    """The copy that has to take the place of a damaged description; None where that is as it was written.

    Raises
    ------
    StoreError
        If both are damaged.
    """
    root = _parsed(place.read(ROOT))
    attributes = root.get("attributes")
    if isinstance(attributes, dict) and attributes == sealed(attributes):
        return None
    copy = _parsed(place.read(COPY))
    if not copy or copy != sealed(copy):
        raise StoreError(
            f"a description of {place.url}, in {ROOT} or its copy {COPY}",
            "neither as it was written",
            "Restore one of the two files, or build the store anew in another place.",
        )
    return copy


def mend(place: Place) -> bool:
    """Put the copy in the place of a damaged description, and tell whether that was necessary; see `intact_copy`."""
    copy = intact_copy(place)
    if copy is None:
        return False
    content = {"zarr_format": 3, "node_type": "group", "attributes": copy}
    place.write(ROOT, json.dumps(content, indent=2).encode())
    return True


def _parsed(data: bytes | None) -> dict[str, Json]:
    try:
        content = json.loads(data or b"")
    except ValueError:
        return {}
    return cast("dict[str, Json]", content) if isinstance(content, dict) else {}


def _damaged(location: str) -> StoreError:
    return StoreError(
        f"the description of {location} as it was written",
        f"another one in its {ROOT}",
        f"featstore repair {location} takes its copy, {COPY}.",
    )
