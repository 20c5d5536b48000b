"""A small feature store with two networks, made without any photograph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from featstore.catalog import make_catalog
from featstore.roi import RECIPES
from featstore.store import Store
from featstore.store.column import Column
from featstore.store.identity import Identity
from featstore.store.place import open_place
from featstore.store.records import Fact, FeatureRows, Record
from featstore.store.rows import Grid, digest

CENTRES = {name: np.random.default_rng(seed).normal(size=(4, 12)) for seed, name in enumerate(("net_a", "net_b"))}
NOISE = {"net_a": 0.5, "net_b": 1.2}
SPECIES = {"10": "Acer campestre", "9": "Tussilago farfara", "100": "Iris sp.", "7": "Only in test"}

Change = Callable[[pd.DataFrame], object]


def papers() -> pd.DataFrame:
    """48 plants of three classes, two photographs each; the last 15 are test, one of a fourth class and one unknown."""
    return pd.DataFrame([paper(plant, shot) for plant in range(48) for shot in range(2)])


def paper(plant: int, shot: int) -> dict[str, str]:
    class_id = "7" if plant == 46 else ("10", "9", "100")[plant % 3]
    return {
        "image_id": f"i{plant:02}{shot}",
        "path": f"{plant}-{shot}.jpg",
        "view": "Flower" if shot else "Leaf",
        "observation_id": f"o{plant:02}",
        "author": f"author {plant % 5}",
        "class_id": "" if plant == 47 else class_id,
        "species": "" if plant == 47 else SPECIES[class_id],
        "split": "test" if plant >= 33 else "train",
        "sha256": f"{plant:02}{shot}" * 16,
        "status": "done",
    }


def features_of(frame: pd.DataFrame, network: str) -> NDArray[np.float32]:
    """Features that depend on the class a photograph was made with and on its place alone."""
    made_as = [("10", "9", "100").index(label) if label in {"10", "9", "100"} else 3 for label in frame["made_as"]]
    noise = np.random.default_rng(7).normal(0, NOISE[network], (len(frame), 12))
    return (CENTRES[network][made_as] + noise).astype(np.float32)


def build(
    path: Path,
    change: Change | None = None,
    *,
    weights: str = "imagenet",
    networks: tuple[str, ...] = ("net_a", "net_b"),
    lacking: tuple[str, ...] = (),
) -> Store:
    """Make a store.

    Parameters
    ----------
    path
        Where.
    change
        Alters the papers, after the features were made from them.
    weights
        Label of the networks' weights.
    networks
        Which networks it has.
    lacking
        Photographs without features of the last network.
    """
    frame = papers()
    frame["made_as"] = frame["class_id"]
    if change is not None:
        change(frame)
    catalog = make_catalog(frame.to_dict("records"), path.parent / "photos", "tiny")
    store = Store.create(open_place(path), catalog, Grid())
    store.write_catalog(catalog)
    views = {str(view): rows for view, rows in frame.groupby("view")}
    identities = [
        Identity(name, weights, "", "ab" * 32, 32, "avg", name, "keep", "float32", 16, "keras-x", {})
        for name in networks
    ]
    for number, network in enumerate(networks):
        column = Column(RECIPES["none"], 12, dict.fromkeys(views, number), dict.fromkeys(views, (number,)))
        store.set_column(network, column, identities)
    for view, rows in views.items():
        store.row_keys.write(view, rows["image_id"].to_list())
        facts = [
            Fact(row.image_id, row.sha256, row.status, "", 1, 1, {"keep": ((0, 0, 9, 9), "")})
            for row in rows.itertuples()
        ]
        features = {}
        for number, network in enumerate(networks):
            store.rows.prepare(view, network, 12)
            block = features_of(frame, network)[rows.index]
            block[rows["image_id"].isin(lacking) & (network == networks[-1])] = np.nan
            features[network] = write_rows(store, view, network, block, rows["sha256"].to_list(), number)
        store.records.write(view, 0, Record(facts, features))
    return store


def write_rows(
    store: Store, view: str, network: str, block: NDArray[np.float32], digests: list[str], number: int
) -> FeatureRows:
    """Write the only unit of a view (48 rows: one chunk), and give what vouches for it."""
    there = ~np.isnan(block).all(axis=1)
    identity = np.where(there, number, -1).astype(np.int32)
    store.rows.write_unit(view, network, 0, block, identity)
    known = [text if here else "" for text, here in zip(digests, there, strict=True)]
    return FeatureRows(identity.tolist(), known, digest(block))


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Store]:
    """A function that makes a store in the test's own folder, see `build`."""

    def make(change: Change | None = None, *, name: str = "features.zarr", **options: object) -> Store:
        return build(tmp_path / name, change, **options)

    return make


@pytest.fixture(scope="session")
def store_maker() -> Callable[[Path], Store]:
    """A function that makes a plain store at a path, for fixtures that outlive a test."""
    return build
