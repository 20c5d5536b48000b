"""Plug-ins: who can open the runs of each kind, found by name, so that evaluation imports none of them.

A package of its own adds a kind by an entry point of the group `GROUP`, whose name is the kind in the run card::

    [project.entry-points."phytobench.identifiers"]
    mine = "mypackage.identifying:open_run"
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, cast

from evaluation.identify.contract import Identifier
from featstore.errors import PredictionsError, listed

GROUP = "phytobench.identifiers"

BUILT_IN: Mapping[str, str] = MappingProxyType(
    {"head": "heads.identifying:open_run", "finetuned": "finetune.identifying:open_run"}
)
"""Kind of run -> where its plug-in is. In text: evaluation imports neither, and a bare checkout has no metadata."""


class OpenRun(Protocol):
    """What a plug-in is."""

    def __call__(self, run: Path, *, store: str | None, photos: Path | None, weights: str | None) -> Identifier:
        """Open a run.

        Parameters
        ----------
        run
            Its folder.
        store
            Feature store that the run learnt from; None for where it was.
        photos
            Where the photographs of that store are now; None for where it was built from.
        weights
            Where the weights of its backbones are now; None for where they were.

        Raises
        ------
        PhytobenchError
            If something that it takes is gone, or is another one by now.
        """
        ...


def opener_of(kind: str) -> OpenRun:
    """The plug-in for runs of a kind; an entry point goes before what is built in.

    Raises
    ------
    PredictionsError
        If there is none, or it cannot be imported.
    """
    places = {**BUILT_IN, **added()}
    if kind not in places:
        expected = f"a run of a kind that can identify plants: {', '.join(sorted(places))}"
        raise PredictionsError(expected, f"one of kind {kind!r}", f"Install the package that has it ({GROUP}).")
    module, _, name = places[kind].partition(":")
    try:
        return cast("OpenRun", getattr(import_module(module), name))
    except (ImportError, AttributeError) as error:
        expected = f"{places[kind]} to open runs of kind {kind}"
        raise PredictionsError(expected, listed(str(error).splitlines(), 1), "Install its package again.") from error


def added() -> dict[str, str]:
    """Kind of run -> where its plug-in is, of all installed packages but this one."""
    points = entry_points(group=GROUP)
    return {point.name: point.value for point in points if BUILT_IN.get(point.name) != point.value}
