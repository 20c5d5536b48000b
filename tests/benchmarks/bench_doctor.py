"""The doctor on planted trouble: recall and precision of each kind of finding.

    python tests/benchmarks/bench_doctor.py --photos FOLDER --weights FOLDER [--json doctor.json] [--seed 1]

A table of the data set's own photographs is written beside planted ones, in a temporary folder: copies (byte for byte,
saved anew at quality 60, at half size, cropped by 5 %, mirrored, brightened), each as an observation of its own, half
of them in test; labels of whole observations swapped; strangers (noise, flat colours, drawings); a class of two plants.
What the doctor finds in the data set without plants is set aside: it may well be real.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageOps

from featstore.build.build import build_store
from featstore.build.settings import BuildSettings
from featstore.care.doctor import DoctorSettings, examine
from featstore.catalog import COLUMNS
from featstore.images import load_photograph
from featstore.provenance import Json, provenance, write_text
from featstore.readers import read_dataset
from featstore.shell import print_table
from featstore.store import Store
from featstore.synth import SynthSettings, synthesise
from featstore.table import load_table

N_EACH = 20
COPIES: dict[str, Callable[[Image.Image, Path], None]] = {
    "equal bytes": lambda image, path: None,
    "saved anew, quality 60": lambda image, path: image.save(path, quality=60),
    "half size": lambda image, path: image.resize((image.width // 2, image.height // 2)).save(path, quality=90),
    "cropped by 5 %": lambda image, path: image.crop(
        (image.width // 20, image.height // 20, image.width * 19 // 20, image.height * 19 // 20)
    ).save(path, quality=90),
    "mirrored": lambda image, path: ImageOps.mirror(image).save(path, quality=90),
    "brightened by 30 %": lambda image, path: ImageEnhance.Brightness(image).enhance(1.3).save(path, quality=90),
}


def planted(frame: pd.DataFrame, root: Path, folder: Path, seed: int) -> tuple[pd.DataFrame, dict[str, set[str]]]:
    """The data set's table with plants, and the image_ids of each kind of plant."""
    rng = np.random.default_rng(seed)
    frame = frame.assign(path=[str((root / path).resolve()) for path in frame["path"]])
    frame = frame[frame["problem"] == ""].drop(columns="problem").reset_index(drop=True)
    truth: dict[str, set[str]] = {}
    added = []
    chosen = iter(rng.permutation(len(frame)))
    for kind, make in COPIES.items():
        truth[kind] = set()
        for number in range(N_EACH):
            row = frame.iloc[next(chosen)].copy()
            path = folder / f"{kind[:5].strip()}-{number}.jpg"
            if kind == "equal bytes":
                shutil.copyfile(row["path"], path)
            else:
                make(Image.open(row["path"]).convert("RGB"), path)
            row["image_id"], row["path"] = path.stem, str(path)
            row["observation_id"] = f"copy {path.stem}"
            row["split"] = "test" if number % 2 else "train"
            truth[kind].add(path.stem)
            added.append(row)
    plants = frame[frame["split"] == "train"].groupby("observation_id")["class_id"].first()
    classes = sorted(set(plants))
    truth["swapped label"] = set()
    for plant in rng.choice(plants.index.to_numpy(), N_EACH, replace=False):
        others = [name for name in classes if name != plants[plant]]
        of_plant = frame["observation_id"] == plant
        frame.loc[of_plant, "class_id"] = rng.choice(others)
        frame.loc[of_plant, ["species", "genus", "family"]] = ""
        truth["swapped label"] |= set(frame.loc[of_plant, "image_id"])
    truth["stranger"] = set()
    for path in strangers(folder, rng):
        row = frame.iloc[int(rng.integers(len(frame)))].copy()
        row["image_id"], row["path"], row["observation_id"], row["split"] = path.stem, str(path), path.stem, "train"
        truth["stranger"].add(path.stem)
        added.append(row)
    small = frame[(frame["split"] == "train") & frame["class_id"].eq(classes[0])].head(2).copy()
    small["class_id"], small["observation_id"] = "rare", ["rare 1", "rare 2"]
    small["image_id"] = ["rare-1", "rare-2"]
    return pd.concat([frame, pd.DataFrame(added), small], ignore_index=True), truth


def strangers(folder: Path, rng: np.random.Generator) -> list[Path]:
    """Noise, flat colours, stripes and drawings: no plants."""
    paths = []
    for number in range(4):
        stripes = np.broadcast_to(rng.integers(0, 2, (24, 1, 1), dtype=np.uint8) * 255, (24, 320, 3)).repeat(10, 0)
        pixels = {
            "noise": rng.integers(0, 256, (240, 320, 3), dtype=np.uint8),
            "flat": np.broadcast_to(rng.integers(0, 256, 3, dtype=np.uint8), (240, 320, 3)),
            "stripes": stripes,
        }
        for kind, array in pixels.items():
            paths.append(folder / f"{kind}-{number}.png")
            Image.fromarray(np.ascontiguousarray(array)).save(paths[-1])
    synthesise(folder / "drawn", SynthSettings(n_species=2, n_observations=4, side_px=240, n_corrupt=0, seed=3))
    for number, path in enumerate(sorted((folder / "drawn").rglob("*.jpg"))[:8]):
        paths.append(folder / f"drawing-{number}.jpg")
        shutil.copyfile(path, paths[-1])
    return paths


def findings_of(table_path: Path, weights: str, backbone: str, store_path: Path) -> pd.DataFrame:
    build_store(table_path, store_path, BuildSettings((backbone,), weights, roi="none"))
    store = Store.open(store_path)
    table = load_table(store, [backbone])
    paths = dict(zip(table.papers["image_id"], table.papers["path"], strict=True))
    return examine(table, DoctorSettings(), lambda key: load_photograph(store.root / str(paths[key])).pixels)


def marks(findings: pd.DataFrame, kinds: Sequence[str]) -> set[frozenset[str]]:
    """Findings of some kinds, each as the set of photographs that it names."""
    chosen = findings[findings["kind"].isin(kinds)]
    return {frozenset({one, other} - {""}) for one, other in zip(chosen["image_id"], chosen["partner"], strict=True)}


def judged(findings: pd.DataFrame, before: pd.DataFrame, truth: dict[str, set[str]]) -> list[dict[str, Json]]:
    copies = ("exact_duplicate", "near_duplicate", "split_leak")
    groups = {**dict.fromkeys(COPIES, copies), "swapped label": ("label_disagreement",), "stranger": ("outlier",)}
    every_copy = set().union(*(truth[kind] for kind in COPIES))
    rows: list[dict[str, Json]] = []
    for kind, kinds in groups.items():
        named = set().union(*marks(findings, kinds)) if marks(findings, kinds) else set()
        found = truth[kind] & (
            set(findings.loc[findings["kind"].isin(kinds), "image_id"]) if "label" in kind else named
        )
        rows.append(
            {"planted": kind, "n": len(truth[kind]), "found": len(found), "recall": len(found) / len(truth[kind])}
        )
    for label, kinds, wanted in (
        ("copies", copies, every_copy),
        ("label_disagreement", ("label_disagreement",), truth["swapped label"]),
        ("outlier", ("outlier",), truth["stranger"]),
    ):
        found_marks = marks(findings, kinds)
        known = marks(before, kinds)
        right = {mark for mark in found_marks if mark & wanted}
        new = {mark for mark in found_marks if not mark & wanted and mark not in known}
        rows.append(
            {"found": label, "n": len(found_marks), "planted": len(right),
             "known_without_plants": len(found_marks & known), "false": len(new),
             "precision": len(right) / max(1, len(right) + len(new)),
             "raw_precision": len(right) / max(1, len(found_marks))}
        )  # fmt: skip
    return rows


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--backbone", default="mobilenet")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp())
    try:
        catalog = read_dataset(options.photos)
        frame, truth = planted(catalog.frame, catalog.root, folder, options.seed)
        columns = [name for name in COLUMNS if name != "problem"]
        whole = catalog.frame[catalog.frame["problem"] == ""]
        whole = whole.assign(path=[str((catalog.root / path).resolve()) for path in whole["path"]])
        for name, table in (("plain", whole), ("planted", frame)):
            (folder / name).mkdir()
            table[columns].to_csv(folder / name / "table.csv", index=False)
        # The plain photographs are decoded once: the planted table completes the same store.
        before = findings_of(folder / "plain" / "table.csv", options.weights, options.backbone, folder / "s.zarr")
        after = findings_of(folder / "planted" / "table.csv", options.weights, options.backbone, folder / "s.zarr")
        rows = judged(after, before, truth)
        small = after[(after["kind"] == "small_class") & after["detail"].str.contains("rare")]
    finally:
        shutil.rmtree(folder)
    cells = [
        [str(row["planted"]), str(row["n"]), str(row["found"]), f"{row['recall']:.2f}"]
        for row in rows
        if "recall" in row
    ]
    print_table(
        "Planted",
        ["what", "number", "found", "recall"],
        [*cells, ["class of two plants", "1", str(len(small)), f"{len(small):.2f}"]],
    )
    print_table(
        "Found",
        ["kind", "number", "planted", "there without plants", "false", "precision", "counting the latter as false"],
        [[str(row["found"]), str(row["n"]), str(row["planted"]), str(row["known_without_plants"]), str(row["false"]),
          f"{row['precision']:.2f}", f"{row['raw_precision']:.2f}"] for row in rows if "precision" in row],
    )  # fmt: skip
    if options.json:
        write_text(options.json, json.dumps({"rows": list(rows), "provenance": provenance()}, indent=2) + "\n")


if __name__ == "__main__":
    main()
