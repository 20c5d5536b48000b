"""LifeCLEF/PlantCLEF packages: one XML record beside each photograph (tags of 2013 to 2015)."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from featstore.catalog import Catalog, make_catalog, number_of, view_of
from featstore.errors import DatasetError, counted, listed
from featstore.provenance import open_at_once
from featstore.readers.reader import (
    Reader,
    hidden_warning,
    is_photograph,
    numbers_warning,
    views_warning,
    walk,
    walk_folders,
)

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
_LAST_FIRST = [(ours, tag) for ours, tags in TAGS.items() for tag in reversed(tags)]

N_LOOKED_AT = 20
"""XML files that are opened to tell whether a folder is a package."""

TAXA = ("class_id", "species", "genus", "family")


@dataclass(frozen=True)
class Record:
    """One XML file.

    Attributes
    ----------
    xml
        Path from the package's root, as all paths here.
    fields
        What it says, by our names.
    photograph
        The photograph that it describes, "" if there is none.
    problem
        What is wrong with it, "" if nothing is.
    """

    xml: str
    fields: Mapping[str, str]
    photograph: str
    problem: str

    @property
    def image_id(self) -> str:
        """MediaId, or the file's name where the tag is missing."""
        return self.fields.get("image_id") or _stem(self.xml.rpartition("/")[2])


def parse_record(path: str | Path) -> tuple[dict[str, str], str]:
    """Read the fields of one XML file, and what is wrong with it ("" if nothing) instead of raising.

    Tags are found by name at any depth, the first of a name counts; order, absence and emptiness do not matter,
    except that a record needs ObservationId.
    """
    try:
        # A Path costs as much as the reading.
        with open(path, "rb", buffering=0, opener=open_at_once) as file:  # a Path has no opener
            tag, texts = _texts(file.read() or b"")
    except (expat.ExpatError, ValueError, LookupError, OSError) as error:
        return {}, f"its XML cannot be read: {error}"
    if tag != "Image":
        return {}, f"its XML has root <{tag}> instead of <Image>"
    fields = dict.fromkeys(TAGS, "")
    for ours, theirs in _LAST_FIRST:
        fields[ours] = texts.get(theirs) or fields[ours]
    if not fields["observation_id"]:
        found = ", ".join(sorted(tag for tag, text in texts.items() if text)) or "no filled tag"
        return fields, f"its XML lacks ObservationId (it has {found})"
    return fields, ""


def _texts(data: bytes) -> tuple[str, dict[str, str]]:
    """The root's tag, and the text before the first child of the first element of each name.

    A document type is refused before any entity of it is read.
    """
    texts: dict[str, str] = {}
    path: list[str] = []
    pieces: list[str] = []

    def close() -> None:
        if path:
            texts.setdefault(path[-1], "".join(pieces).strip())
        pieces.clear()

    def start(name: str, _: dict[str, str]) -> None:
        close()
        path.append(name)

    def end(_: str) -> None:
        close()
        path.pop()

    def doctype(name: str, *_: object) -> None:
        raise ValueError(f"it declares a document type ({name}), which no PlantCLEF record does")

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler = pieces.append
    parser.StartDoctypeDeclHandler = doctype
    parser.Parse(data, True)
    return next(iter(texts)), texts


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]  # noqa: PTH122  # a Path costs ten times as much


def read(root: Path) -> Catalog:
    """Read a package: train, test and truth folders are told apart by their names.

    The deepest folder whose name contains ``truth``, ``test`` or ``train`` decides; without any, `root` does,
    and then it is train. Records of a truth folder fill in the taxa of the test records of the same MediaId.

    Raises
    ------
    DatasetError
        If a truth record contradicts its test record, or the catalogue's own checks fail.
    """
    records: dict[str, list[Record]] = {"train": [], "test": [], "truth": []}
    orphans: list[dict[str, object]] = []
    hidden: list[str] = []
    name = root.resolve().name
    for folder, names, passed_over in walk_folders(root):
        below = Path(folder).relative_to(root)
        role = _role((name, *below.parts))
        found, alone = _records(folder, "" if below == Path() else f"{below.as_posix()}/", names)
        records[role] += found
        hidden += passed_over
        orphans += [_orphan(path, "train" if role == "train" else "test") for path in alone]
    # Some packages pack the photographs with the truth: those records then stand for test.
    tested = {record.image_id for record in records["test"]}
    packed = [record for record in records["truth"] if record.image_id not in tested and record.photograph]
    used = [(record, split) for split in ("train", "test") for record in records[split]]
    used += [(record, "test") for record in packed]
    entries = [_entry(record, split) for record, split in used]
    taken = {id(record) for record in packed}
    warnings = _fill_truth(entries, [record for record in records["truth"] if id(record) not in taken])
    whole = [record for record, _ in used if record.photograph and not record.problem]
    warnings += views_warning((record.image_id, record.fields["view"]) for record in whole)
    warnings += numbers_warning((record.image_id, record.fields) for record in whole) + hidden_warning(hidden)
    return make_catalog([*entries, *orphans], root, name, warnings)


def _records(folder: str, prefix: str, names: Sequence[str]) -> tuple[list[Record], list[str]]:
    """The records of a folder, and its photographs that have none; `prefix` leads there from the root."""
    photographs = [name for name in names if is_photograph(name)]
    # 12.xml may stand beside 12.jpg, 12.JPG or 12.png; the full name, where it is right, goes first.
    called = {key: name for name in photographs for key in (_stem(name), name)}
    records = []
    described = set()
    for name in names:
        if name[-4:].casefold() != ".xml":
            continue
        fields, problem = parse_record(f"{folder}/{name}")
        named = fields.get("file_name", "").rpartition("/")[2]
        photograph = called.get(named) or called.get(_stem(named)) or called.get(_stem(name)) or ""
        described.add(photograph)
        records.append(Record(prefix + name, fields, prefix + photograph if photograph else "", problem))
    return records, [prefix + name for name in photographs if name not in described]


def _role(folders: Sequence[str]) -> str:
    for folder in reversed(folders):
        # Words, so that "latest" is no test: PlantCLEF2014trainAllInOne, test_truth, testwithgroundtruthxml.
        words = [word.casefold() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", folder)]
        if any("truth" in word for word in words):
            return "truth"
        for role in ("test", "train"):
            if any(word.startswith(role) for word in words):
                return role
    return "train"


def _entry(record: Record, split: str) -> dict[str, object]:
    fields = record.fields
    path = record.photograph or f"{_stem(record.xml)}.jpg"
    names = path.rpartition("/")[2], record.xml.rpartition("/")[2]
    missing = "" if record.photograph else f"no photograph {names[0]} beside {names[1]}"
    view = view_of(fields.get("view", ""))
    # 2013 has no LeafScan: a leaf on a sheet is one.
    if view == "Leaf" and fields.get("background", "").casefold().startswith("sheet"):
        view = "LeafScan"
    return {
        **{name: fields.get(name, "") for name in ("observation_id", "author", "date", *TAXA)},
        **{name: number_of(fields.get(name, "")) for name in ("vote", "latitude", "longitude")},
        "image_id": record.image_id,
        "path": path,
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
            broken.append(f"{record.xml.rpartition('/')[2]}: {record.problem}")
        elif entry is None:
            unused.append(record.image_id)
        else:
            _agree(entry, record)
            entry.update({name: record.fields[name] for name in TAXA})
            if record.fields["vote"]:
                entry["vote"] = number_of(record.fields["vote"])
    warnings = (
        [f"{counted(len(unused), 'truth record has', 'truth records have')} no test record: {listed(unused)}"]
        if unused
        else []
    )
    return warnings + (
        [f"{counted(len(broken), 'truth record is', 'truth records are')} unusable: {listed(broken)}"] if broken else []
    )


def _agree(entry: dict[str, object], record: Record) -> None:
    for name in ("observation_id", "class_id"):
        test, truth = entry[name], record.fields[name]
        if test and truth and test != truth:
            raise DatasetError(
                f"one {name} for test image {record.image_id}",
                f"{test!r} in the test record and {truth!r} in {record.xml.rpartition('/')[2]}",
                "Take the truth folder of the same package.",
            )


def _orphan(path: str, split: str) -> dict[str, object]:
    return {
        "image_id": path,
        "path": path,
        "view": "Unknown",
        "split": split,
        "problem": "no XML record beside it",
    }


def _recognises(root: Path) -> bool:
    """Whether one of the first XML files is a record; other tools leave XML of their own."""
    if not root.is_dir():
        return False
    files = itertools.islice((path for path in walk(root) if path.suffix.casefold() == ".xml"), N_LOOKED_AT)
    return any(b"<Image" in path.read_bytes()[:8000].replace(b"\0", b"") for path in files)


READER = Reader("plantclef", "folders of photographs with one XML record beside each", _recognises, read)
