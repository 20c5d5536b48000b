"""Dask clusters: how to reach one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featstore.errors import SettingsError

if TYPE_CHECKING:
    from distributed import Client

_CONNECT_S = 30


def connect(address: str) -> Client:
    """Connect to a scheduler, such as ``tcp://host:8786``.

    Raises
    ------
    SettingsError
        If Dask is not installed or no scheduler answers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise SettingsError(
            "Dask for --scheduler", "none installed", 'Install it: pip install "phytobench[cluster]".'
        ) from error
    try:
        return Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"a Dask scheduler at {address}", str(error), "Start one with `dask scheduler`, and give its address."
        ) from error
