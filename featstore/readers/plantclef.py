"""LifeCLEF/PlantCLEF packages: one XML record beside each photograph (tags of 2013 to 2015)."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from featstore.catalog import Catalog, make_catalog, number_of, view_of
from featstore.errors import DatasetError, listed
from featstore.readers.reader import Reader, is_photograph, walk

# Ours -> theirs, first present wins. 2013 calls the plant `IndividualPlantId` and the place `Locality`.
TAGS: dict[str, tuple[str, ...]] = {
    "image_id": ("MediaId", "ImageId", "ImageID"),
    "file_name": ("FileName",),
    "observation_id": ("ObservationId", "IndividualPlantId"),
    "view": ("Content",),
    "background": ("Type", "Acquisition"),
    "author": ("Author",),
    "class_id": ("ClassId",),
    "species": ("Species",),
    "genus": ("Genus",),
    "family": ("Family",),
    "vote": ("Vote",),
    "date": ("Date",),
    "latitude": ("Latitude", "GPSLatitude"),
    "longitude": ("Longitude", "GPSLongitude"),
}
N_LOOKED_AT = 20
"""XML files that are opened to tell whether a folder is a package."""

TAXA = ("class_id", "species", "genus", "family")


Photographs: TypeAlias = dict[tuple[Path, str], Path]
"""Photographs by folder and name, with and without suffix."""


@dataclass(frozen=True)
class Record:
    """One XML file: where it lies, its fields by our names, and what is wrong with it ("" if nothing)."""

    xml: Path
    fields: dict[str, str]
    problem: str = ""

    @property
    def image_id(self) -> str:
        """MediaId, or the file's name where the tag is missing."""
        return self.fields.get("image_id") or self.xml.stem


class _NoDoctype(ET.TreeBuilder):
    """Refuses a document type before any entity of it is read."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:  # noqa: ARG002  # TreeBuilder's signature
        raise ValueError(f"it declares a document type ({name}), which no PlantCLEF record does")


def parse_record(path: Path) -> Record:
    """Read one XML file; a file that cannot be used says so in `problem` instead of raising.

    Tags are found by name at any depth; order, absence and emptiness do not matter, except that a record needs
    ObservationId.
    """
    try:
        root = ET.fromstring(path.read_bytes(), parser=ET.XMLParser(target=_NoDoctype()))  # noqa: S314  # see _NoDoctype
    except (ET.ParseError, ValueError, LookupError, OSError) as error:
        return Record(path, {}, f"its XML cannot be read: {error}")
    if root.tag != "Image":
        return Record(path, {}, f"its XML has root <{root.tag}> instead of <Image>")
    texts: dict[str, str] = {}
    for element in root.iter():
        texts.setdefault(element.tag, (element.text or "").strip())
    fields = {ours: next((texts[tag] for tag in tags if texts.get(tag)), "") for ours, tags in TAGS.items()}
    if not fields["observation_id"]:
        found = ", ".join(sorted(tag for tag, text in texts.items() if text)) or "no filled tag"
        return Record(path, fields, f"its XML lacks ObservationId (it has {found})")
    return Record(path, fields)


def read(root: Path) -> Catalog:
    """Read a package: train, test and truth folders are told apart by their names.

    The deepest folder whose name contains ``truth``, ``test`` or ``train`` decides; without any, `root` does,
    and then it is train. Records of a truth folder fill in the taxa of the test records of the same MediaId.

    Raises
    ------
    DatasetError
        If a truth record contradicts its test record, or the catalogue's own checks fail.
    """
    files = list(walk(root))
    records: dict[str, list[Record]] = {"train": [], "test": [], "truth": []}
    for path in files:
        if path.suffix.casefold() == ".xml":
            records[_role(path, root)].append(parse_record(path))
    paths = [path for path in files if is_photograph(path)]
    # 12.xml may stand beside 12.jpg, 12.JPG or 12.png; the full name, where it is right, goes first.
    photographs = {(path.parent, name): path for path in paths for name in (path.stem, path.name)}
    # Some packages pack the photographs with the truth: those records then stand for test.
    tested = {record.image_id for record in records["test"]}
    alone = [
        record for record in records["truth"] if record.image_id not in tested and _photograph(record, photographs)
    ]
    entries = [_entry(record, split, root, photographs) for split in ("train", "test") for record in records[split]]
    entries += [_entry(record, "test", root, photographs) for record in alone]
    used = {id(record) for record in alone}
    warnings = _fill_truth(entries, [record for record in records["truth"] if id(record) not in used])
    described = {_photograph(record, photographs) for part in records.values() for record in part}
    orphans = [_orphan(path, root) for path in paths if path not in described]
    warnings += _unknown_views(entries)
    return make_catalog([*entries, *orphans], root, root.resolve().name, warnings)


def _role(path: Path, root: Path) -> str:
    folders = [*reversed(path.relative_to(root).parts[:-1]), root.resolve().name]
    for folder in folders:
        # Words, so that "latest" is no test: PlantCLEF2014trainAllInOne, test_truth, testwithgroundtruthxml.
        words = [word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", folder)]
        if any("truth" in word for word in words):
            return "truth"
        for role in ("test", "train"):
            if any(word.startswith(role) for word in words):
                return role
    return "train"


def _photograph(record: Record, photographs: Photographs) -> Path | None:
    named = Path(record.fields.get("file_name", ""))
    beside = (photographs.get((record.xml.parent, name)) for name in (named.name, named.stem, record.xml.stem))
    return next((path for path in beside if path), None)


def _entry(record: Record, split: str, root: Path, photographs: Photographs) -> dict[str, object]:
    photograph = _photograph(record, photographs)
    path = photograph or record.xml.with_suffix(".jpg")
    missing = "" if photograph else f"no photograph {path.name} beside {record.xml.name}"
    view = view_of(record.fields.get("view", ""))
    # 2013 has no LeafScan: a leaf on a sheet is one.
    if view == "Leaf" and record.fields.get("background", "").casefold().startswith("sheet"):
        view = "LeafScan"
    return {
        **{name: record.fields.get(name, "") for name in ("observation_id", "author", "date", *TAXA)},
        **{name: number_of(record.fields.get(name, "")) for name in ("vote", "latitude", "longitude")},
        "image_id": record.image_id,
        "path": path.relative_to(root).as_posix(),
        "view": view,
        "split": split,
        "problem": record.problem or missing,
    }


def _fill_truth(entries: list[dict[str, object]], truth: list[Record]) -> list[str]:
    by_id = {entry["image_id"]: entry for entry in entries if entry["split"] == "test"}
    unused, broken = [], []
    for record in truth:
        entry = by_id.get(record.image_id)
        if record.problem:
            broken.append(f"{record.xml.name}: {record.problem}")
        elif entry is None:
            unused.append(record.image_id)
        else:
            _agree(entry, record)
            entry.update({name: record.fields[name] for name in TAXA})
            if record.fields["vote"]:
                entry["vote"] = number_of(record.fields["vote"])
    warnings = [f"{len(unused)} truth records have no test record: {listed(unused)}"] if unused else []
    return warnings + ([f"{len(broken)} truth records are unusable: {listed(broken)}"] if broken else [])


def _agree(entry: dict[str, object], record: Record) -> None:
    for name in ("observation_id", "class_id"):
        test, truth = entry[name], record.fields[name]
        if test and truth and test != truth:
            raise DatasetError(
                f"one {name} for test image {record.image_id}",
                f"{test!r} in the test record and {truth!r} in {record.xml.name}",
                "Take the truth folder of the same package.",
            )


def _orphan(path: Path, root: Path) -> dict[str, object]:
    name = path.relative_to(root).as_posix()
    return {
        "image_id": name,
        "path": name,
        "view": "Unknown",
        "split": "train" if _role(path, root) == "train" else "test",
        "problem": f"no XML record beside {path.name}",
    }


def _unknown_views(entries: list[dict[str, object]]) -> list[str]:
    unknown = [str(entry["image_id"]) for entry in entries if entry["view"] == "Unknown" and not entry["problem"]]
    return (
        [f"{len(unknown)} images have no known view (Content) and are kept as Unknown: {listed(unknown)}"]
        if unknown
        else []
    )


def _recognises(root: Path) -> bool:
    """Whether one of the first XML files is a record; other tools leave XML of their own."""
    if not root.is_dir():
        return False
    files = itertools.islice((path for path in walk(root) if path.suffix.casefold() == ".xml"), N_LOOKED_AT)
    return any(b"<Image" in path.read_bytes()[:8000].replace(b"\0", b"") for path in files)


READER = Reader("plantclef", "folders of photographs with one XML record beside each", _recognises, read)
