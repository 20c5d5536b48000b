"""Settings of a build, checked before anything is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from featstore.backbones import ARTICLE_BACKBONES, BACKBONES, Pooling, check_engine, check_options
from featstore.backbones.sources import meant
from featstore.build.specs import NetworkSpec
from featstore.catalog import VIEWS
from featstore.errors import SettingsError
from featstore.roi import Recipe, load_recipe
from featstore.store.rows import CHUNK_ROWS, Grid

# Arrays and files that lie beside the features of a view, also where a disk takes C and c for one name.
_RESERVED = frozenset({"image_id", "image_id_utf8", "identity", "zarr.json", "c"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PLACEHOLDER = "{backbone}"


def can_be_features(name: str) -> bool:
    """Whether features can stand under a name in a store."""
    return bool(_NAME.fullmatch(name)) and name.casefold() not in _RESERVED and name not in VIEWS


def check_feature_name(name: str) -> None:
    """Refuse a name that features cannot have, or that is a backbone's, with a `SettingsError`."""
    if name in BACKBONES or not can_be_features(name):
        expected = "--as NAME of letters, digits, '.', '_' and '-', and not a backbone's or one that a store needs"
        raise SettingsError(expected, repr(name), "Choose another name.")


@dataclass(frozen=True)
class BuildSettings:
    """How features are made; see `featstore build --help`.

    Parameters
    ----------
    backbones, weights, pooling, side_px, engine, batch_size
        The networks; None takes each network's own side.
    weights_by_name
        Weights of single backbones, instead of `weights`.
    roi
        Name of a recipe, or path of a TOML file.
    name
        What the features are called instead of the backbone's name; with several backbones it holds ``{backbone}``.
    n_workers
        Processes that decode; 0 decodes in this one.
    replace, any_version, content
        Replace features that were made differently; keep rows of other library versions and batch sizes; compare
        photographs by their bytes instead of size and time.
    part, n_parts
        Which share of the units to work off.
    scheduler
        Address of a Dask scheduler; "" works here.
    shard_rows
        Rows per file in a new store; 0 for one chunk per file, or for what an existing store has.

    Raises
    ------
    SettingsError
        If an option is unknown or out of range, or two do not go together.
    """

    backbones: tuple[str, ...] = ARTICLE_BACKBONES
    weights: str = "imagenet"
    pooling: Pooling = "avg"
    side_px: int | None = None
    engine: str = "keras"
    batch_size: int = 16
    roi: str = "article"
    name: str = ""
    n_workers: int = 2
    replace: bool = False
    any_version: bool = False
    content: bool = False
    part: int = 1
    n_parts: int = 1
    scheduler: str = ""
    shard_rows: int = 0
    reader: str | None = None
    weights_by_name: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.backbones:
            raise SettingsError("at least one --backbone", "none", "Name one, for example --backbone resnet50.")
        for name in self.backbones:
            check_options(name, self.pooling, self.side_px)
        check_engine(self.engine)
        if astray := [name for name in self.weights_by_name if name not in self.backbones]:
            raise SettingsError(
                f"--weights NAME=... of {', '.join(self.backbones)}", ", ".join(astray), "Name it by --backbone, too."
            )
        for option, value, least in (("--batch-size", self.batch_size, 1), ("--workers", self.n_workers, 0)):
            if value < least:
                raise SettingsError(f"{option} of at least {least}", str(value), "Choose a larger number.")
        if not 1 <= self.part <= self.n_parts:
            raise SettingsError("--part I/N with 1 <= I <= N", f"{self.part}/{self.n_parts}", "Write for example 2/8.")
        if self.scheduler and self.n_parts > 1:
            raise SettingsError("--scheduler or --part", "both", "A cluster divides the work itself.")
        self._check_name()
        _ = self.recipe, self.grid

    def _check_name(self) -> None:
        if not self.name:
            return
        if len(set(self.backbones)) > 1 and PLACEHOLDER not in self.name:
            raise SettingsError(
                "--as with one --backbone, or a NAME with {backbone} in it",
                f"{self.name!r} for {len(self.backbones)} backbones",
                f"Write for example --as '{PLACEHOLDER}-{self.name}'.",
            )
        for backbone in self.backbones:
            name = self.name.replace(PLACEHOLDER, backbone)
            if name != backbone:
                check_feature_name(name)

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that `roi` names."""
        return load_recipe(self.roi)

    @property
    def grid(self) -> Grid:
        """How rows are divided in a new store."""
        return Grid(CHUNK_ROWS, self.shard_rows or CHUNK_ROWS)

    def specs(self) -> Iterator[NetworkSpec]:
        """The networks, in their order, each once."""
        for backbone in dict.fromkeys(self.backbones):
            yield NetworkSpec(
                name=self.name.replace(PLACEHOLDER, backbone) or backbone,
                backbone=backbone,
                weights=meant(backbone, self.weights_by_name.get(backbone, self.weights)),
                side_px=self.side_px or BACKBONES[backbone].side_px,
                pooling=self.pooling,
                engine=self.engine,
                batch_size=self.batch_size,
            )
