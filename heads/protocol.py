"""The protocol of a comparison: what all heads have in common, so that their differences are their own."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, get_args

from featstore.errors import SettingsError
from featstore.provenance import Json
from heads.head import require_setting

ClassWeight = Literal["none", "balanced"]
Calibrate = Literal["none", "all", "view"]
CALIBRATION_SHARE = 0.3
"""Share of valid plants that choose temperatures, unless another is asked for."""
FEWEST_FOLDS = 3
"""One part is predicted, one chooses, and the others are learnt from."""


@dataclass(frozen=True)
class Protocol:
    """How every head is fitted, judged and asked.

    Attributes
    ----------
    seed
        Seed of the split, if it has to be drawn, and of the heads.
    refit
        Whether heads fitted again on train and valid answer for test.
    min_vote
        Photographs with a lower vote of the contributors are not learnt from; unknown votes are.
    vote_weight
        Whether a photograph counts as much in a fit as its vote says, unknown votes as much as the mean.
    class_weight
        ``balanced``: every class counts alike, however many photographs show it.
    calibrate
        Whether predictions are brought to a chosen temperature: ``none``, ``all`` (one temperature), or ``view`` (one
        per view). With a cross-validation it is chosen on what that predicts, otherwise on valid.
    calibration_share
        Share of the observations of valid that choose temperatures and nothing else, so that no early stopping has
        seen them; 0 chooses on all of valid. None takes `CALIBRATION_SHARE` where valid calibrates.
    n_seeds
        Fits of a random head with seeds that follow on `seed`, to tell how much luck there is in its figures.
    n_folds, n_repeats
        Parts of the cross-validation, 0 for none, and how often it is repeated with another division.

    Raises
    ------
    SettingsError
        If a value is outside of its range.
    """

    seed: int = 0
    refit: bool = True
    min_vote: float | None = None
    vote_weight: bool = False
    class_weight: ClassWeight = "none"
    calibrate: Calibrate = "none"
    calibration_share: float | None = None
    n_seeds: int = 1
    n_folds: int = 0
    n_repeats: int = 1

    def __post_init__(self) -> None:
        require_setting("--seed", self.seed, low=0)
        if self.min_vote is not None:
            require_setting("--min-vote", self.min_vote, low=0)
        for name, value, kinds in (
            ("--class-weight", self.class_weight, ClassWeight),
            ("--calibrate", self.calibrate, Calibrate),
        ):
            if value not in get_args(kinds):
                raise SettingsError(f"`{name}` among {', '.join(get_args(kinds))}", repr(value), "Correct it.")
        if self.calibration_share is None:
            object.__setattr__(self, "calibration_share", CALIBRATION_SHARE if self.calibrates_on_valid else 0.0)
        require_setting("--calibration-share", self.share_set_aside, low=0, high=0.9)
        require_setting("--seeds", self.n_seeds, low=1)
        require_setting("--repeats", self.n_repeats, low=1)
        if self.n_folds:
            require_setting("--folds", self.n_folds, low=FEWEST_FOLDS)
        elif self.n_repeats > 1:
            raise SettingsError("a cross-validation to repeat", "--repeats without --folds", "Add --folds 4.")

    @property
    def share_set_aside(self) -> float:
        """`calibration_share` as a number."""
        return self.calibration_share or 0.0

    @property
    def calibrates_out_of_fold(self) -> bool:
        """Whether temperatures are chosen on predictions out of fold."""
        return self.calibrate != "none" and self.n_folds > 0

    @property
    def calibrates_on_valid(self) -> bool:
        """Whether temperatures are chosen on valid."""
        return self.calibrate != "none" and not self.n_folds

    def to_json(self) -> dict[str, Json]:
        """Every setting by name."""
        return dict(asdict(self))
