"""Papers: what is known of photographs besides their predictions - taxa, place and date, boxes and files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from featstore.readers import read_dataset
from featstore.store import Store
from featstore.store.place import open_place

if TYPE_CHECKING:
    import pandas as pd


def read_papers(source: str | Path) -> pd.DataFrame:
    """Read the papers of a data set, from a feature store or from the data set itself.

    Parameters
    ----------
    source
        A feature store (a folder, or an address like ``s3://bucket/features.zarr``), or what `featstore build` takes:
        a PlantCLEF package, a CSV or Parquet table, a folder of class folders.

    Returns
    -------
    pandas.DataFrame
        One row per photograph with `featstore.catalog.COLUMNS`; text is "" and numbers are NaN where unknown.

    Raises
    ------
    DatasetError
        If nothing is there, or no reader recognises it.
    StoreError
        If it is a store of another schema, or a damaged one.
    """
    if "://" in str(source) or Store.exists(open_place(source)):
        return Store.open(source).catalog
    return read_dataset(Path(source)).frame
