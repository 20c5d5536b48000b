"""Sources of weights: files, Keras' cache, or a seed; fingerprinted without importing Keras or loading a network."""

from __future__ import annotations

import os
from pathlib import Path

from featstore.backbones.random import RANDOM_VERSION, random_seed
from featstore.backbones.table import BACKBONES, Backbone
from featstore.errors import WeightsError
from featstore.provenance import sha256_of_file


def weights_source(name: str, weights: str) -> str | None:
    """Fingerprint of where the weights of a backbone come from.

    Returns
    -------
    ``"random:SEED/VERSION"``, ``"file:SHA256"`` of a weight file or of Keras' cached download, or None where that is
    not there yet.

    Raises
    ------
    WeightsError
        If there is no such file.
    """
    backbone = BACKBONES[name]
    seed = random_seed(weights)
    if seed is not None:
        return f"random:{seed}/{RANDOM_VERSION}"
    if weights == "imagenet":
        cached = cached_download(backbone)
        return None if cached is None else f"file:{sha256_of_file(cached)}"
    return f"file:{sha256_of_file(weight_file(backbone, Path(weights).expanduser()))}"


def keras_home() -> Path:
    """Folder of Keras' settings and downloads."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))


def cached_download(backbone: Backbone) -> Path | None:
    """The ImageNet weights that Keras has downloaded before; None if it has not, or several might be meant."""
    others = tuple(f"{name}_" for name in BACKBONES if name.startswith(f"{backbone.name}_"))
    files = (keras_home() / "models").glob(f"{backbone.name}_*no*top*.h5")
    found = [file for file in files if not file.name.startswith(others)]
    return found[0] if len(found) == 1 else None


def weight_file(backbone: Backbone, path: Path) -> Path:
    """The weight file that a path means: itself, or one of the known names in a folder.

    Raises
    ------
    WeightsError
        If there is none.
    """
    if path.is_file():
        return path
    patterns = (f"{backbone.name}.weights.h5", f"{backbone.name}.h5", f"{backbone.name}_*notop*.h5")
    if path.is_dir():
        # inception_v3's file has no underscore before its version elsewhere; MobileNet's names its width and side.
        found = [file for pattern in patterns for file in sorted(path.glob(pattern))]
        if found:
            return found[0]
        raise WeightsError(f"{' or '.join(patterns)} in {path}", "none of these", "Add the file or name it directly.")
    raise WeightsError(
        "imagenet, random[:SEED] or the path of weights", f"{path}, which does not exist", "Correct --weights."
    )
