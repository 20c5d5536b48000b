"""In and out: a store's features as Parquet, NPZ or HDF5, and features that were computed elsewhere."""
