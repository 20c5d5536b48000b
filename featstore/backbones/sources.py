"""Sources of weights: files, Keras' cache, or a seed; fingerprinted without importing Keras or loading a network."""

from __future__ import annotations

import os
from pathlib import Path

from featstore.backbones.random import RANDOM_VERSION, random_seed
from featstore.backbones.table import BACKBONES, Backbone
from featstore.errors import WeightsError
from featstore.provenance import sha256_of_file

NO_WEIGHTS = "none"
"""What a backbone that has none is built with."""


def weights_source(name: str, weights: str, side_px: int | None = None) -> str | None:
    """Fingerprint of where the weights of a backbone come from; reads a file at most.

    Parameters
    ----------
    side_px
        Side of the input, by which Keras chooses the download of some networks; None for the network's own.

    Returns
    -------
    `NO_WEIGHTS`, ``"random:SEED/VERSION"``, ``"file:SHA256"`` of a weight file or of Keras' cached download, or None
    where that is not there yet.

    Raises
    ------
    WeightsError
        If there is no such file.
    """
    backbone = BACKBONES[name]
    if backbone.baseline:
        return NO_WEIGHTS
    seed = random_seed(weights)
    if seed is not None:
        return f"random:{seed}/{RANDOM_VERSION}"
    if weights == "imagenet":
        cached = cached_download(backbone, side_px)
        return None if cached is None else f"file:{sha256_of_file(cached)}"
    return f"file:{sha256_of_file(weight_file(backbone, Path(weights).expanduser()))}"


def keras_home() -> Path:
    """Folder of Keras' settings and downloads."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))


def cached_download(backbone: Backbone, side_px: int | None = None) -> Path | None:
    """The ImageNet weights that Keras has downloaded before; None if it has not."""
    path = keras_home() / "models" / backbone.download_name(side_px)
    return path if path.is_file() else None


def weight_file(backbone: Backbone, path: Path) -> Path:
    """The weight file that a path means: itself, or one of the known names in a folder.

    Raises
    ------
    WeightsError
        If there is none.
    """
    if path.is_file():
        return path
    downloads = backbone.download.format(side="*")
    patterns = (f"{backbone.name}.weights.h5", f"{backbone.name}.h5", downloads)
    if path.is_dir():
        found = [file for pattern in patterns for file in sorted(path.glob(pattern))]
        if found:
            return found[0]
        raise WeightsError(f"{' or '.join(patterns)} in {path}", "none of these", "Add the file or name it directly.")
    raise WeightsError(
        "imagenet, random[:SEED] or the path of weights", f"{path}, which does not exist", "Correct --weights."
    )
