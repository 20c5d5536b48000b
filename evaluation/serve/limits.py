"""Limits: how much one request, and all of them together, may ask of the machine."""

from __future__ import annotations

from dataclasses import dataclass

from featstore.errors import SettingsError
from featstore.provenance import Json

MB = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What is refused before it costs anything.

    Parameters
    ----------
    file_bytes
        Of one photograph's file.
    n_photographs
        Of one plant.
    total_bytes
        Of one request, all of it.
    pixels
        Of one photograph by its header: what decoding it could take is 3 to 4 bytes each.
    timeout_s
        From the first byte of a request to its answer, in seconds.
    n_waiting
        Requests that may be under way or waiting beside the one that is being answered.

    Raises
    ------
    SettingsError
        If one of them is not above zero.
    """

    file_bytes: int = 20 * MB
    n_photographs: int = 20
    total_bytes: int = 100 * MB
    pixels: int = 64 * MB
    timeout_s: float = 60
    n_waiting: int = 32

    def __post_init__(self) -> None:
        for name, value in self.to_json().items():
            # A comparison that NaN fails as well.
            if not (isinstance(value, int | float) and value > 0):
                raise SettingsError("limits above zero", f"{name} = {value}", "Pass a larger one, or leave it out.")

    def to_json(self) -> dict[str, Json]:
        """Give the limits by name, for clients that want to know them beforehand."""
        return {
            "file_bytes": self.file_bytes,
            "photographs": self.n_photographs,
            "total_bytes": self.total_bytes,
            "pixels": self.pixels,
            "timeout_s": self.timeout_s,
            "waiting": self.n_waiting,
        }
