"""Class folders: the folder's name is the class, optionally below train, valid and test."""

from __future__ import annotations

from pathlib import Path

from featstore.catalog import Catalog, make_catalog
from featstore.errors import DatasetError, counted, listed
from featstore.readers.reader import (
    Reader,
    hidden_warning,
    is_photograph,
    others_warning,
    plants_warning,
    walk,
    walk_folders,
)

_SPLIT_OF = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "test": "test",
}


def read(root: Path) -> Catalog:
    """Read ``[split/]class/photo`` or ``[split/]class/observation/photo``.

    The image_id is the path relative to `root`. A photograph directly in its class folder is a plant of its own;
    photographs in one folder below it are one observation.

    Raises
    ------
    DatasetError
        If no photograph lies in a class folder.
    """
    if not root.is_dir():
        raise DatasetError("a folder of class folders", f"a file: {root}", "Name the folder, or another --reader.")
    folders = list(walk_folders(root))
    files = [Path(folder, name) for folder, names, _ in folders for name in names]
    photographs = [path for path in files if is_photograph(path)]
    records = [_entry(path.relative_to(root)) for path in photographs]
    classless = [str(record["path"]) for record in records if not record["class_id"]]
    if len(classless) == len(records):
        raise DatasetError(
            "photographs in class folders (class/photo.jpg, or train/class/photo.jpg)",
            f"{counted(len(records), 'photograph')} and {counted(len(files) - len(records), 'other file')} in {root}, "
            "none in such a folder",
            "Put each class's photographs in a folder of its name. For photographs that nobody has named yet, write a "
            "table with an empty column class_id.",
        )
    warnings = others_warning([path for path in files if not is_photograph(path)])
    warnings += hidden_warning([name for *_, hidden in folders for name in hidden])
    if classless:
        told = counted(len(classless), "photograph lies", "photographs lie")
        warnings.append(f"{told} outside class folders and cannot be used: {listed(classless)}")
    n_alone = sum(bool(record["class_id"]) and record["observation_id"] == record["image_id"] for record in records)
    warnings += plants_warning(n_alone, "put them into a folder of their own inside the class folder")
    return make_catalog(records, root, root.resolve().name, warnings)


def _entry(path: Path) -> dict[str, object]:
    parts = list(path.parts[:-1])
    split = _SPLIT_OF.get(parts[0].casefold(), "") if parts else ""
    folders = parts[1:] if split else parts
    class_id = folders[0] if folders else ""
    return {
        "image_id": path.as_posix(),
        "path": path.as_posix(),
        "observation_id": "/".join(parts) if len(folders) > 1 else path.as_posix(),
        "class_id": class_id,
        "species": class_id.replace("_", " "),
        "view": "Unknown",
        "split": split or "train",
        "problem": "" if class_id else "it lies outside every class folder",
    }


def _recognises(root: Path) -> bool:
    return root.is_dir() and any(is_photograph(path) for path in walk(root))


READER = Reader("folders", "class folders (class/photo.jpg, or train/class/photo.jpg)", _recognises, read)
