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

SHIPPED = "shipped"
"""The weights that come with this package."""


def meant(name: str, weights: str) -> str:
    """What `weights` mean for a backbone: none for a baseline; for one that ImageNet never saw, its shipped weights.

    >>> meant("colour", "random"), meant("seedling", "imagenet"), meant("seedling", "random")
    ('none', 'shipped', 'random')
    """
    if BACKBONES[name].baseline:
        return NO_WEIGHTS
    return SHIPPED if BACKBONES[name].shipped and weights == "imagenet" else weights


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
    backbone, weights = BACKBONES[name], meant(name, weights)
    if weights == NO_WEIGHTS:
        return NO_WEIGHTS
    seed = random_seed(weights)
    if seed is not None:
        return f"random:{seed}/{RANDOM_VERSION}"
    if weights == "imagenet":
        cached = cached_download(backbone, side_px)
        return None if cached is None else f"file:{sha256_of_file(cached)}"
    return f"file:{sha256_of_file(weight_file(backbone, weights))}"


def keras_home() -> Path:
    """Folder of Keras' settings and downloads."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))


def cached_download(backbone: Backbone, side_px: int | None = None) -> Path | None:
    """The ImageNet weights that Keras has downloaded before; None if it has not."""
    path = keras_home() / "models" / backbone.download_name(side_px)
    return path if path.is_file() else None


def weight_file(backbone: Backbone, weights: str) -> Path:
    """The file that `SHIPPED` or a path means: the path itself, or one of the known names in a folder.

    Raises
    ------
    WeightsError
        If there is none.
    """
    if weights == SHIPPED:
        return _shipped(backbone)
    path = Path(weights).expanduser()
    if path.is_file():
        return path
    downloads = backbone.download.format(side="*")
    patterns = [f"{backbone.name}.weights.h5", f"{backbone.name}.h5", *([downloads] if downloads else [])]
    if path.is_dir():
        found = [file for pattern in patterns for file in sorted(path.glob(pattern))]
        if found:
            return found[0]
        raise WeightsError(f"{' or '.join(patterns)} in {path}", "none of these", "Add the file or name it directly.")
    raise WeightsError(
        "imagenet, shipped, random[:SEED] or the path of weights",
        f"{path}, which does not exist",
        "Correct --weights.",
    )


def _shipped(backbone: Backbone) -> Path:
    if not backbone.shipped:
        with_weights = ", ".join(name for name, other in BACKBONES.items() if other.shipped)
        raise WeightsError(
            f"a backbone whose weights come with the package ({with_weights}) for --weights {SHIPPED}",
            backbone.name,
            f"Say --weights NAME={SHIPPED} for these alone.",
        )
    folder = Path(__file__).parent / backbone.module.removeprefix(f"{__package__}.")
    if not (path := folder / backbone.shipped).is_file():
        raise WeightsError(f"the weights of {backbone.name} in {folder}", "none", "Install phytobench again.")
    return path
