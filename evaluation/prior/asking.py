"""What the command line asks and is told about priors."""

from __future__ import annotations

import math
from collections.abc import Mapping

from evaluation.prior.judge import CHOSEN_ON, PriorReport
from evaluation.prior.learning import Learnt
from evaluation.taxonomy.taxa import RANKS
from featstore.errors import SettingsError

COLUMNS = ("split", "prior", "strength", "plants told of", "metric", "without", "with", "difference", "95 %")
RECORD_COLUMNS = ("aspect", "observations", "width", "smoothing", "gain, nats", "error")


def require_rank(rank: str) -> str:
    """Refuse what is no rank."""
    if rank not in RANKS:
        raise SettingsError(f"a rank out of {', '.join(RANKS)}", f"{rank!r}", "Pass one of these.")
    return rank


def cells(report: PriorReport) -> list[list[str]]:
    """One line per split, prior and metric under `COLUMNS`."""
    used = {"+".join(names): chosen for names, chosen in report.strengths.items()}
    rows = []
    for effect in report.effects:
        chosen = used[effect.prior]
        strength = chosen.held_out.mean(axis=0) if effect.split == CHOSEN_ON else chosen.value
        interval = "-" if math.isnan(effect.low) else f"{effect.low:+.4f} to {effect.high:+.4f}"
        rows.append([
            effect.split, effect.prior, ", ".join(f"{one:.2f}" for one in strength),
            f"{effect.n_touched} of {effect.n_observations}", effect.metric, f"{effect.plain:.4f}",
            f"{effect.with_prior:.4f}", f"{effect.difference:+.4f}", interval,
        ])  # fmt: skip
    return rows


def record_cells(learnt: Mapping[str, Learnt]) -> list[list[str]]:
    """One line per aspect under `RECORD_COLUMNS`."""
    return [
        [
            name, f"{len(one.density.vectors):,}", f"{one.width:g} {one.density.aspect.unit}", f"{one.smoothing:g}",
            f"{one.gain:+.3f}", f"{one.error:.3f}",
        ]
        for name, one in learnt.items()
    ]  # fmt: skip
