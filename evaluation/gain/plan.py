"""Plan: how a gain is measured."""

from __future__ import annotations

from dataclasses import dataclass

from evaluation.recipes import require_fixed
from featstore.errors import SettingsError


@dataclass(frozen=True)
class GainPlan:
    """How a gain is measured.

    Parameters
    ----------
    rule
        Name in `FIXED`, over all images and models at once.
    max_images
        Longest curve, at least 2.
    n_draws
        Sets of k images per plant, or of m models, that are averaged; all of them where there are no more.
    seed
        Of the draws; they are the same for every run.

    Raises
    ------
    SettingsError
        If there is no such rule, or a number is too low.
    """

    rule: str = "mean"
    max_images: int = 8
    n_draws: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        require_fixed(self.rule)
        for option, number, least in (("--max-images", self.max_images, 2), ("--draws", self.n_draws, 1)):
            if number < least:
                raise SettingsError(f"{option} of at least {least}", f"{number}", f"Raise {option}.")
