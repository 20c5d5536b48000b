"""Plan: how a gain is measured."""

from __future__ import annotations

from dataclasses import dataclass

from evaluation.fusion import Recipe
from featstore.errors import SettingsError


@dataclass(frozen=True)
class GainPlan:
    """How a gain is measured.

    Parameters
    ----------
    rule
        Name in `RULES`, over all images and models at once.
    max_images
        Longest curve, at least 1.
    n_draws
        Sets of k images per plant, or of m models, that are averaged; all of them where there are no more.
    seed
        Of the draws; they are the same for every run.

    Raises
    ------
    SettingsError
        If there is no such rule, or a number is below 1.
    """

    rule: str = "mean"
    max_images: int = 8
    n_draws: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        Recipe(self.rule)
        for name in ("max_images", "n_draws"):
            if getattr(self, name) < 1:
                option = f"--{name.replace('n_', '').replace('_', '-')}"
                raise SettingsError(f"{option} of at least 1", f"{getattr(self, name)}", f"Raise {option}.")
