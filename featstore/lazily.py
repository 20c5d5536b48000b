"""Names that a package offers without loading what is behind them, so that command lines open at once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib import import_module


def lazily(module: str, names: Collection[str]) -> Callable[[str], object]:
    """Make the ``__getattr__`` of a package (PEP 562) that finds some names in one of its modules.

    Raises
    ------
    AttributeError
        Of the function returned: for any other name.
    """

    def find(name: str) -> object:
        if name not in names:
            package = module.rpartition(".")[0]
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module), name)

    return find
