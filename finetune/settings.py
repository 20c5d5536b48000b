"""Settings: what a fine-tuning run can be told, checked before anything is computed."""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, get_args, get_origin, get_type_hints

from featstore.errors import SettingsError
from featstore.provenance import Json

Scalar: TypeAlias = bool | int | float | str
ClassWeight: TypeAlias = Literal["none", "balanced"]


@dataclass(frozen=True)
class AugmentSettings:
    """How often training photographs are varied.

    Parameters
    ----------
    probability
        Share of images that are varied at all; the rest stays untouched, bit for bit.
    geometry, light, colour, sharpness, noise
        Chance of each group for an image that is varied; if none of them fires, all are drawn again, so that
        group g fires in ``probability * g / (1 - product of (1 - h) over all groups h)`` of the images.

    Raises
    ------
    SettingsError
        If a chance lies outside [0, 1], or images are to be varied while no group can fire.
    """

    probability: float = 0.8
    geometry: float = 0.8
    light: float = 0.5
    colour: float = 0.3
    sharpness: float = 0.2
    noise: float = 0.2

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            _require(0.0 <= value <= 1.0, f"augment.{name}", "a probability between 0 and 1", value)
        able = any((self.geometry, self.light, self.colour, self.sharpness, self.noise))
        _require(
            able or self.probability == 0.0,
            "augment",
            "a group with a chance above 0 (or `probability = 0` for no augmentation)",
            "0 for every group",
        )


@dataclass(frozen=True)
class TrainSettings:
    """Everything that decides a run besides its data.

    Parameters
    ----------
    epochs
        Passes over the training images at most; 0 keeps the starting point.
    batch_size
        Images per step.
    rate, momentum
        Of stochastic gradient descent. The rate is very small on purpose: the network is already good, and larger
        steps destroy its features (docs/finetune.md).
    plateau_patience, plateau_factor, min_rate
        After so many epochs without a lower validation loss the rate is multiplied by the factor, down to `min_rate`.
    patience
        Training ends after so many epochs without a lower validation loss.
    min_vote
        Training images with a known vote below it are left out; images without a vote stay. None keeps all.
    class_weight
        ``"balanced"`` weighs a training image by n / (k * n_c): n images, k classes, n_c images of its class.
    tta
        Number of variants whose predictions are averaged with the image's own at test time; 0 for none.
    seed
        Of the order of images, the augmentation and the dropout.
    augment
        How often training images are varied.

    Raises
    ------
    SettingsError
        If a value is out of its range.
    """

    epochs: int = 20
    batch_size: int = 16
    rate: float = 3e-5
    momentum: float = 0.9
    plateau_patience: int = 2
    plateau_factor: float = 0.5
    min_rate: float = 1e-7
    patience: int = 6
    min_vote: float | None = None
    class_weight: ClassWeight = "none"
    tta: int = 5
    seed: int = 0
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    def __post_init__(self) -> None:
        _require(self.epochs >= 0, "epochs", "0 or more", self.epochs)
        _require(self.batch_size >= 1, "batch_size", "at least 1", self.batch_size)
        _require(0.0 < self.rate < 1.0, "rate", "between 0 and 1, both excluded (3e-5 is usual)", self.rate)
        _require(0.0 <= self.momentum < 1.0, "momentum", "0 or more and below 1", self.momentum)
        _require(self.plateau_patience >= 1, "plateau_patience", "at least 1 epoch", self.plateau_patience)
        _require(
            0.0 < self.plateau_factor < 1.0, "plateau_factor", "between 0 and 1, both excluded", self.plateau_factor
        )
        _require(0.0 <= self.min_rate <= self.rate, "min_rate", "0 or more and at most `rate`", self.min_rate)
        _require(self.patience >= 1, "patience", "at least 1 epoch", self.patience)
        _require(self.min_vote is None or math.isfinite(self.min_vote), "min_vote", "a finite number", self.min_vote)
        known = get_args(ClassWeight)
        _require(self.class_weight in known, "class_weight", f"one of {', '.join(known)}", self.class_weight)
        _require(self.tta >= 0, "tta", "0 or more variants", self.tta)
        _require(self.seed >= 0, "seed", "0 or more", self.seed)

    def as_json(self) -> dict[str, Json]:
        """Give every setting by name, as it is written into ``run.json``."""
        return dataclasses.asdict(self)


def load_settings(path: Path | None, options: Mapping[str, Scalar | None]) -> TrainSettings:
    """Read settings from a TOML file and let options override them.

    Parameters
    ----------
    path
        A file with the field names of `TrainSettings` as keys and a table ``[augment]``; None for the defaults.
    options
        Values given for this run by field name; None where the user said nothing.

    Raises
    ------
    SettingsError
        If the file is absent or no TOML, a key is unknown, or a value has the wrong type or is out of range.
    """
    content = {} if path is None else _read_toml(path)
    where = "the options" if path is None else str(path)
    values = _checked(TrainSettings, content, where, "")
    table = values.get("augment")
    if isinstance(table, Mapping):
        values["augment"] = AugmentSettings(**_checked(AugmentSettings, table, where, "augment."))  # type: ignore[arg-type]  # checked by name and type
    values |= {name: value for name, value in options.items() if value is not None}
    return TrainSettings(**values)  # type: ignore[arg-type]  # checked by name and type just above


def _read_toml(path: Path) -> dict[str, object]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError("a readable TOML file for --config", f"{path}: {error}", "Correct the file.") from error


def _checked(owner: type, content: Mapping[str, object], where: str, prefix: str) -> dict[str, object]:
    """Return `content` if its keys are fields of `owner` and its values have their types."""
    hints = get_type_hints(owner)
    for key, value in content.items():
        if key not in hints:
            near = difflib.get_close_matches(key, hints, n=1, cutoff=0.0)[0]
            raise SettingsError(
                f"only known settings in {where}", f"`{prefix}{key}`", f"Did you mean `{prefix}{near}`?"
            )
        accepted = _accepted(hints[key])
        if not isinstance(value, accepted) or (isinstance(value, bool) and bool not in accepted):
            names = " or ".join("a table" if kind is dict else kind.__name__ for kind in accepted)
            raise SettingsError(f"`{prefix}{key}` in {where} to be {names}", f"{value!r}", "Correct the value.")
    return dict(content)


def _accepted(hint: object) -> tuple[type, ...]:
    """Python types that TOML may give for a field's annotation; a whole number is a fine float."""
    plain: dict[object, tuple[type, ...]] = {int: (int,), float: (int, float), AugmentSettings: (dict,)}
    if hint in plain:
        return plain[hint]
    if get_origin(hint) is Literal:
        return (str,)
    return tuple(kind for part in get_args(hint) for kind in plain.get(part, ()))


def _require(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise SettingsError(f"`{name}` to be {expected}", f"{got!r}", "Correct the option or the --config file.")
