"""A drawn package on disk, as PlantCLEF 2014 lays it out."""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
from PIL import Image

from featstore.errors import DatasetError
from featstore.processes import UNGUARDED, end_with_parent, interrupts_held
from featstore.provenance import write_json
from featstore.shell.progress import Bar, progress
from featstore.synth.plan import PHOTOGRAPH_STREAM, Shot, SynthSettings, planned
from featstore.synth.scenes import photograph

SCHEMA = "synth/1"  # another number whenever the same settings would give other files
MARKER = "synth.json"
TRUTH_FOLDER = "testwithgroundtruthxml"
_FOLDERS = ("train", "test", TRUTH_FOLDER)

_SHARE = 100
"""Photographs that are worth a process of their own; it takes as long to start as it takes to draw about twenty."""

_TRAIN_ONLY_TAGS = ("Vote", "ClassId", "Family", "Species", "Genus")


@dataclass(frozen=True)
class SynthSummary:
    """What lies in `folder` now; corrupt photographs are counted, and `created` says whether this call drew it."""

    folder: Path
    created: bool
    n_images: int
    n_train: int
    n_test: int
    n_species: int
    n_observations: int
    n_authors: int
    n_corrupt: int


def synthesise(folder: Path, settings: SynthSettings) -> SynthSummary:
    """Draw a package: ``train/``, ``test/`` (without taxa and votes) and ``testwithgroundtruthxml/``.

    The package is complete when its marker `MARKER` is there, which is written last; an interrupted call leaves an
    empty folder. The same settings give the same bytes with the same version of Pillow, and every photograph depends
    only on the settings and its own id. All seven views occur in train and in test;
    every species has three or more training observations; poor votes go with poor photographs.

    Parameters
    ----------
    folder : Path
        Absent or empty; or a package that was drawn with these settings, which is left as it is.
    settings : SynthSettings
        What to draw.

    Returns
    -------
    SynthSummary

    Raises
    ------
    DatasetError
        If the folder holds anything else, or a process that draws is killed.
    """
    shots = planned(settings)
    summary = _summary(folder, settings, shots)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        _check_same(folder, settings, summary)
        return replace(summary, created=False)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".partial.", dir=folder) as workshop:
        draft = Path(workshop)
        for name in _FOLDERS:
            (draft / name).mkdir()
        with progress(len(shots), "drawing", "photographs") as bar:
            _write_all(draft, shots, settings, bar)
        for name in _FOLDERS:
            (draft / name).rename(folder / name)
    write_json(folder / MARKER, {"schema": SCHEMA, "settings": asdict(settings)})
    return summary


def _summary(folder: Path, settings: SynthSettings, shots: Sequence[Shot]) -> SynthSummary:
    n_train = sum(shot.split == "train" for shot in shots)
    return SynthSummary(
        folder=folder,
        created=True,
        n_images=len(shots),
        n_train=n_train,
        n_test=len(shots) - n_train,
        n_species=settings.n_species,
        n_observations=len({shot.papers["ObservationId"] for shot in shots}),
        n_authors=len({shot.papers["Author"] for shot in shots}),
        n_corrupt=sum(shot.corrupt for shot in shots),
    )


def _check_same(folder: Path, settings: SynthSettings, summary: SynthSummary) -> None:
    """Refuse a folder unless it is a whole package of these settings; no photograph is opened for that."""
    wanted = {"schema": SCHEMA, "settings": asdict(settings)}
    remedy = "Name another folder, or remove this one."
    marker = folder / MARKER
    if not marker.is_file():
        raise DatasetError(
            "an absent or empty folder for the drawn package", f"files of something else in {folder}", remedy
        )
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if found != wanted:
        raise DatasetError(*_told_apart(asdict(settings), found, folder), remedy)
    n_found = {name: len(list((folder / name).glob("*.*"))) for name in _FOLDERS}
    n_wanted = {"train": 2 * summary.n_train, "test": 2 * summary.n_test, TRUTH_FOLDER: summary.n_test}
    if n_found != n_wanted:
        raise DatasetError(f"{n_wanted} files in {folder}", str(n_found), "Remove the folder; it is then drawn again.")


def _told_apart(wanted: Mapping[str, object], found: object, folder: Path) -> tuple[str, str]:
    """Say by which options a package was to be drawn and by which it was, as far as they differ."""
    written = found.get("settings") if isinstance(found, dict) and found.get("schema") == SCHEMA else None
    if not isinstance(written, dict) or set(written) != set(wanted) or written == wanted:
        return f"a package drawn by this version in {folder}", f"one whose {MARKER} says otherwise"
    names = [name for name in wanted if wanted[name] != written[name]]
    new, old = (
        ", ".join(f"--{name.removeprefix('n_').removesuffix('_px')} {settings[name]}" for name in names)
        for settings in (wanted, written)
    )
    return f"a package drawn with {new} in {folder}", f"one drawn with {old}"


def _write_all(package: Path, shots: Sequence[Shot], settings: SynthSettings, bar: Bar) -> None:
    """Write every photograph, on all cores if there are many."""
    write = partial(_write_shot, package, settings=settings)
    n_processes = min(os.cpu_count() or 1, len(shots) // _SHARE)
    if n_processes < 2:
        for shot in shots:
            write(shot)
            bar.update()
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_processes, mp_context=context, initializer=end_with_parent) as pool:
        n_drawn = 0
        try:
            with interrupts_held():
                drawn = pool.map(write, shots)
            for _ in drawn:
                n_drawn += 1
                bar.update()
        except BrokenProcessPool as error:
            got = f"one of {n_processes} that was killed after {n_drawn:,} photographs (often for lack of memory)"
            remedy = "Close other programs or draw less, and run again; nothing is left behind."
            remedy = remedy if n_drawn else f"{UNGUARDED}{remedy}"
            raise DatasetError("processes that draw until the end", got, remedy) from error
        except BaseException:
            # Whoever interrupts does not wait for what is left.
            pool.shutdown(cancel_futures=True)
            raise


def _write_shot(package: Path, shot: Shot, settings: SynthSettings) -> None:
    name, is_test = str(shot.media_id), shot.split == "test"
    (package / shot.split / f"{name}.jpg").write_bytes(_jpeg(shot, settings))
    (package / shot.split / f"{name}.xml").write_bytes(_xml(shot, without=_TRAIN_ONLY_TAGS if is_test else ()))
    if is_test:
        (package / TRUTH_FOLDER / f"{name}.xml").write_bytes(_xml(shot))


def _jpeg(shot: Shot, settings: SynthSettings) -> bytes:
    rng = np.random.default_rng([settings.seed, PHOTOGRAPH_STREAM, shot.media_id])
    vote = float(shot.papers["Vote"] or 4)
    pixels = photograph(shot.plant, shot.papers["Content"], settings.side_px, min(1.0, (vote - 1) / 2), rng)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    content = file.getvalue()
    return content[: len(content) // 3] if shot.corrupt else content


def _xml(shot: Shot, without: Sequence[str] = ()) -> bytes:
    """Metadata with the tags and the order of 2014; unknown values are empty tags."""
    values = {
        "ObservationId": "",
        "FileName": f"{shot.media_id}.jpg",
        "MediaId": str(shot.media_id),
        **dict.fromkeys(("Vote", "Content", "ClassId", "Family", "Species", "Genus", "Author"), ""),
        **dict.fromkeys(("Date", "Location", "Latitude", "Longitude"), ""),
        "YearInCLEF": "PlantCLEF2014",
        "IndividualPlantId2013": "",
        "ImageID2013": "",
    } | shot.papers
    root = ET.Element("Image")
    for tag, value in values.items():
        if tag not in without:
            ET.SubElement(root, tag).text = value
    ET.indent(root, "\t")
    document: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return document + b"\n"
