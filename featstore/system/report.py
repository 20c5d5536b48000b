"""The report of `featstore system`: everything that was seen, and what follows from it."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from featstore import shell
from featstore.backbones.engines import backend_name
from featstore.backbones.sources import keras_home
from featstore.provenance import Json, library_versions, phytobench_version
from featstore.system import hardware, software
from featstore.system.slow import Slow, find_slow

SCHEMA = "system/1"


@dataclass(frozen=True)
class SystemReport:
    """What was seen; bytes and seconds throughout.

    Attributes
    ----------
    versions
        Of Python, phytobench and the libraries; ``"absent"`` where there is none.
    extras
        By extra, the packages that it lacks.
    slow
        What will be slow, or not run at all, and what to do.
    """

    platform: str
    versions: Mapping[str, str]
    extras: Mapping[str, tuple[str, ...]]
    engine: software.Engine
    cards: tuple[software.Card, ...]
    processor: hardware.Processor
    memory: hardware.Memory
    disks: tuple[hardware.Disk, ...]
    weights: tuple[software.WeightFile, ...]
    shipped: Mapping[str, int]
    slow: tuple[Slow, ...]

    def to_json(self) -> dict[str, Json]:
        """Everything as one document."""
        found = cast("dict[str, Json]", asdict(self))
        return {"schema": SCHEMA, **found}


def look(store: str | None = None, *, quick: bool = False) -> SystemReport:
    """Look at the machine.

    Parameters
    ----------
    store
        Where a feature store is or is to be: a folder, or an address in an object store; None for the working
        directory.
    quick
        Neither start Keras nor write to a disk.
    """
    here = Path(store or ".")
    places = {"temporary files": Path(tempfile.gettempdir()), "weights": keras_home()}
    if "://" not in str(store):
        places = {"store" if store else "working directory": here, **places}
    if not quick:
        shell.say("asking Keras for its devices, which may take a minute (--quick leaves it out) ...")
    engine = software.engine(backend_name(), ask=not quick)
    cards, processor, memory = software.graphics_cards(), hardware.processor(), hardware.memory()
    disks = tuple(hardware.disk(use, path, measure=not quick) for use, path in places.items())
    extras, weights = software.extras(), software.weight_files()
    versions = {"phytobench": phytobench_version(), "python": platform.python_version()}
    return SystemReport(
        platform=platform.platform(),
        versions=versions | library_versions(software.LIBRARIES),
        extras=extras,
        engine=engine,
        cards=cards,
        processor=processor,
        memory=memory,
        disks=disks,
        weights=weights,
        shipped=software.shipped_weights(),
        slow=find_slow(platform.system(), engine, cards, processor, memory, disks, weights),
    )
