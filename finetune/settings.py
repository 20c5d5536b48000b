"""Settings: what a fine-tuning run can be told, checked before anything is computed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from featstore.errors import SettingsError, flat, unlike
from featstore.provenance import Json

ClassWeight: TypeAlias = Literal["none", "balanced"]
Sampling: TypeAlias = Literal["natural", "balanced"]
Schedule: TypeAlias = Literal["plateau", "cosine", "constant"]
BatchNorm: TypeAlias = Literal["frozen", "train", "recalibrate"]
Precision: TypeAlias = Literal["float32", "mixed_float16", "mixed_bfloat16"]


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
        _make_floats(self)
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
        Passes over the training images at most, the head's warm-up among them; 0 keeps the starting point.
    batch_size, accumulate
        Images per step, and steps whose gradients are averaged before the weights move: memory is that of
        `batch_size` images, the update that of ``batch_size * accumulate``.
    rate, momentum
        Of stochastic gradient descent. The rate is very small on purpose: the network is already good, and larger
        steps destroy its features (docs/finetune.md).
    schedule
        ``"plateau"``: after `plateau_patience` epochs without a lower validation loss the rate is multiplied by
        `plateau_factor`, down to `min_rate`. ``"cosine"``: half a cosine from `rate` in the first epoch to
        `min_rate` in the last. ``"constant"``.
    patience
        Training ends after so many epochs without a lower validation loss.
    head_warmup, head_warmup_rate
        Epochs at first in which the head alone is trained, and their rate. With as many as `epochs` the backbone
        never learns.
    layer_decay
        In (0, 1]. Every stage of the backbone - its layers between two halvings of the image - learns at this
        multiple of the rate of the stage above it, the head at the full rate; 1 for one rate throughout.
    train_from
        Name, or beginning of the name, of a layer of the backbone: all layers before the first such one stay as
        they are. "" trains all.
    batch_norm
        ``"frozen"``: BatchNormalization normalises by its stored statistics and is not trained. ``"train"``: by the
        statistics of each batch, which also move the stored ones; scale and shift are trained. ``"recalibrate"``:
        the stored statistics are estimated anew on training photographs before the first step, then frozen.
    label_smoothing
        In [0, 1): share of a training photograph's probability that is spread over all classes.
    weight_decay
        Share of each weight matrix, times the rate of its layer, that a step takes away; biases and the parameters
        of normalisation are spared.
    clip_norm
        Largest norm of all gradients together; None for no limit.
    precision
        Number format of training; weights, probabilities and finished predictions are float32.
    side_px
        Side of the input images; None for that of the stored features.
    min_vote
        Training images with a known vote below it are left out; images without a vote stay. None keeps all.
    class_weight
        ``"balanced"`` weighs a training image by n / (k * n_c): n images, k classes, n_c images of its class.
    sampling
        ``"natural"``: every epoch shows each photograph once. ``"balanced"``: as many, drawn with replacement so that
        all classes are equally frequent.
    tta
        Number of variants whose predictions are averaged with the image's own at test time; 0 for none.
    seed
        Of the order of images, the augmentation and the dropout.
    augment
        How often training images are varied.

    Raises
    ------
    SettingsError
        If a value is out of its range, or two contradict each other.
    """

    epochs: int = 20
    batch_size: int = 16
    accumulate: int = 1
    rate: float = 3e-5
    momentum: float = 0.9
    schedule: Schedule = "plateau"
    plateau_patience: int = 2
    plateau_factor: float = 0.5
    min_rate: float = 1e-7
    patience: int = 6
    head_warmup: int = 0
    head_warmup_rate: float = 1e-3
    layer_decay: float = 1.0
    train_from: str = ""
    batch_norm: BatchNorm = "frozen"
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    clip_norm: float | None = None
    precision: Precision = "float32"
    side_px: int | None = None
    min_vote: float | None = None
    class_weight: ClassWeight = "none"
    sampling: Sampling = "natural"
    tta: int = 5
    seed: int = 0
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    def __post_init__(self) -> None:
        _make_floats(self)
        for name in ("epochs", "tta", "seed", "head_warmup"):
            _require(getattr(self, name) >= 0, name, "0 or more", getattr(self, name))
        _require(self.seed < 2**63, "seed", "below 2**63", self.seed)
        for name in ("batch_size", "accumulate", "plateau_patience", "patience"):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in ("rate", "head_warmup_rate"):
            _require(0.0 < getattr(self, name) <= 1.0, name, "above 0 and at most 1", getattr(self, name))
        for name in ("momentum", "label_smoothing", "weight_decay"):
            _require(0.0 <= getattr(self, name) < 1.0, name, "0 or more and below 1", getattr(self, name))
        _require(
            0.0 < self.plateau_factor < 1.0, "plateau_factor", "between 0 and 1, both excluded", self.plateau_factor
        )
        _require(0.0 <= self.min_rate <= self.rate, "min_rate", "0 or more and at most `rate`", self.min_rate)
        _require(0.0 < self.layer_decay <= 1.0, "layer_decay", "above 0 and at most 1", self.layer_decay)
        clips = self.clip_norm is None or 0 < self.clip_norm < math.inf
        _require(clips, "clip_norm", "a finite number above 0, or left out", self.clip_norm)
        _require(self.side_px is None or self.side_px >= 32, "side_px", "at least 32 px", self.side_px)
        _require(self.min_vote is None or math.isfinite(self.min_vote), "min_vote", "a finite number", self.min_vote)
        for name, kind in _CHOICES.items():
            known = get_args(kind)
            _require(getattr(self, name) in known, name, f"one of {', '.join(known)}", getattr(self, name))
        both = self.sampling == "balanced" and self.class_weight == "balanced"
        _require(not both, "class_weight", "none where `sampling` is balanced, which does the same", self.class_weight)

    @property
    def variants(self) -> dict[str, int]:
        """Number of variants at test time by the name that their file bears: ``""`` plain, ``"tta5"``."""
        return {"": 0, f"tta{self.tta}": self.tta} if self.tta else {"": 0}

    @property
    def against_nan(self) -> str:
        """What to do if the loss became no number."""
        if self.precision == "mixed_float16":
            return "Numbers above 65,504 overflow in mixed_float16: train in mixed_bfloat16 or float32."
        return "Train with a lower --rate."

    def as_json(self) -> dict[str, Json]:
        """Give every setting by name, as it is written into ``run.json``."""
        return dataclasses.asdict(self)

    def learning(self) -> dict[str, Json]:
        """Give by name the settings that decide the weights: all but those of `PREDICTING`."""
        return {name: value for name, value in self.as_json().items() if name not in PREDICTING}

    def unlike(self, written: Json) -> list[str]:
        """Name the settings that lead to other weights than those that `as_json` gave; what these lack has its default.

        >>> TrainSettings(rate=0.01).unlike(TrainSettings().as_json())
        ['rate 0.01 instead of 3e-05']
        """
        return _unlike(self.learning(), written)

    def predicts_as(self, written: Json) -> bool:
        """Whether settings that `as_json` gave predict the same with the same weights."""
        every = self.as_json()
        return not _unlike({name: every[name] for name in PREDICTING}, written)


PREDICTING = ("tta",)
"""Settings that act on trained weights alone: a finished run keeps its weights when they change."""

_CHOICES: dict[str, object] = {
    "schedule": Schedule,
    "batch_norm": BatchNorm,
    "precision": Precision,
    "class_weight": ClassWeight,
    "sampling": Sampling,
}


def _unlike(wanted: Mapping[str, Json], written: Json) -> list[str]:
    if not isinstance(written, dict):
        return ["settings of another version"]
    return unlike(wanted, {**flat(TrainSettings().as_json()), **flat(written)})


def _make_floats(settings: AugmentSettings | TrainSettings) -> None:
    """Make every float of the settings one: 1 and 1.0 are the same run, also as text, and Keras wants the latter."""
    for entry in dataclasses.fields(settings):
        value = getattr(settings, entry.name)
        if isinstance(value, int) and str(entry.type).startswith("float"):
            object.__setattr__(settings, entry.name, float(value))


def _require(holds: bool, name: str, expected: str, got: object) -> None:
    if not holds:
        raise SettingsError(f"`{name}` to be {expected}", f"{got!r}", "Correct the option or the --config file.")
