"""Photographs in, a feature store out: catalogue, regions of interest, backbones and the zarr store."""
