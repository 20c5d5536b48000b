"""Candidates: settings that were tried, and which of them to take."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.cells import write_csv
from featstore.provenance import Json

TUNING = "tuning.csv"


@dataclass(frozen=True)
class Candidate:
    """Settings that were tried.

    Attributes
    ----------
    settings
        Other than the choice's own.
    score
        S over all photographs of train, each predicted by a fit that has not seen its plant; NaN if a fit failed.
    deviation
        Standard error of `score` over authors; NaN with one author.
    loss
        Cross-entropy per image.
    seconds
        Time that it took.
    error
        Why it failed, "" if it did not.
    by_author
        What each author adds to S, whose mean is `score`; in the same order for all candidates of a search.
    """

    settings: Mapping[str, Json]
    score: float
    deviation: float
    loss: float
    seconds: float
    error: str = ""
    by_author: Sequence[float] = ()

    def close_to(self, best: Candidate) -> bool:
        """Whether S is within a standard error of the best one's: that of their difference, on the same authors."""
        short = np.subtract(best.by_author, self.by_author)
        if len(short) < 2:
            return self.score >= best.score
        return bool(short.mean() <= short.std(ddof=1) / math.sqrt(len(short)))


@dataclass(frozen=True)
class Tuned:
    """Outcome of a search.

    Attributes
    ----------
    candidates
        Everything that was tried, in this order.
    remarks
        What is doubtful about it.
    """

    candidates: tuple[Candidate, ...]
    remarks: tuple[str, ...] = ()

    @property
    def settings(self) -> Mapping[str, Json]:
        """The best: of those whose S is within a standard error of the highest, the lowest loss; none if all failed.

        The standard error is that of the difference, author by author: what is hard for one setting is hard for the
        others. S alone would choose by luck among settings that it does not tell apart; the loss sees every image [1]_.

        References
        ----------
        .. [1] L. Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3: the 1-SE rule.
        """
        sound = [candidate for candidate in self.candidates if not candidate.error]
        if not sound:
            return {}
        highest = max(sound, key=lambda tried: tried.score)
        return min((tried for tried in sound if tried.close_to(highest)), key=lambda tried: tried.loss).settings

    def write(self, folder: Path) -> None:
        """Write ``tuning.csv``."""
        rows = [
            [json.dumps(dict(c.settings)), *("" if math.isnan(v) else str(v) for v in (c.score, c.deviation, c.loss)),
             f"{c.seconds:.2f}", c.error]
            for c in self.candidates
        ]  # fmt: skip
        write_csv(folder / TUNING, ("settings", "S", "standard_error", "loss", "seconds", "error"), rows)
