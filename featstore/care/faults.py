"""Faults: what a verification tells of a store, and its verdict."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """Something that is not as it was written.

    Attributes
    ----------
    kind
        ``chunk`` (features), ``identity`` (the numbers beside them), ``layout`` (how arrays and groups lie),
        ``record``, ``keys``, ``name`` (of features, that no array can have), ``catalogue`` or ``description`` (its
        copy: with a damaged description no store can be opened). No damage is ``pending``, see `Verdict`.
    view, name, unit
        Where; "" and -1 where that does not apply.
    image_ids
        Photographs whose rows it concerns.
    detail
        What was found.
    """

    kind: str
    detail: str
    view: str = ""
    name: str = ""
    unit: int = -1
    image_ids: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The place in words."""
        parts = [self.view, self.name] if self.name else [self.view]
        unit = f" unit {self.unit}" if self.unit >= 0 else ""
        return "/".join(part for part in parts if part) + unit


@dataclass(frozen=True)
class Verdict:
    """What a verification found.

    Attributes
    ----------
    n_units, n_rows, n_bytes
        Units of feature arrays read, rows that records vouch for, and bytes of features compared.
    pending
        What a build has not done yet: no damage, but photographs without rows.
    """

    n_units: int
    n_rows: int
    n_bytes: int
    faults: tuple[Fault, ...]
    pending: tuple[Fault, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether everything is as it was written."""
        return not self.faults

    @property
    def n_pending(self) -> int:
        """Photographs that lack rows for want of a build."""
        return sum(len(part.image_ids) for part in self.pending)
