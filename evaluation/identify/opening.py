"""Opening: everything that identification takes is loaded once, and then answers for any number of plants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from evaluation.alignment import align
from evaluation.identify import N_NEIGHBOURS, TOP
from evaluation.identify.answer import Identification
from evaluation.identify.contract import Identifier, Photograph
from evaluation.identify.doubting import Threshold, named_threshold, threshold_of
from evaluation.identify.fusing import Fusing, silent
from evaluation.identify.identify import identify
from evaluation.identify.names import Names
from evaluation.identify.plugins import opener_of
from evaluation.recipes import Recipe, require_fixed
from evaluation.runs import RunCard, read_run_card, split_and_variant, where_it_is
from featstore.errors import PhytobenchError, PredictionsError, SettingsError, listed
from featstore.provenance import Json

BESIDE = "leaderboard.json"
"""File of `heads compare` that tells which store the runs beside it learnt from."""


@dataclass(frozen=True)
class Places:
    """Where things are now, each None for where they were.

    Attributes
    ----------
    store
        Feature store that the runs learnt from.
    photos
        Root of the photographs of that store.
    weights
        Weights of the backbones: a file, a folder or a name.
    """

    store: str | None = None
    photos: Path | None = None
    weights: str | None = None


@dataclass(frozen=True, eq=False)
class Panel:
    """Models and all that turns their answers into one; open it once, ask it often, also from several threads.

    Attributes
    ----------
    identifiers
        The models.
    fusing, threshold, names
        As `identify` takes them.
    remarks
        What is doubtful about them, added to every answer.
    """

    identifiers: tuple[Identifier, ...]
    fusing: Fusing
    threshold: Threshold | None
    names: Names
    remarks: tuple[str, ...] = ()

    def identify(
        self, photographs: Sequence[Photograph], *, top: int = TOP, n_neighbours: int = N_NEIGHBOURS
    ) -> Identification:
        """Identify one plant; see `evaluation.identify.identify.identify`."""
        found = identify(
            photographs,
            self.identifiers,
            fusing=self.fusing,
            threshold=self.threshold,
            names=self.names,
            top=top,
            n_neighbours=n_neighbours,
        )
        return replace(found, remarks=(*self.remarks, *found.remarks))


def open_panel(
    runs: Sequence[Path],
    *,
    rule: str | None = None,
    places: Places | None = None,
    threshold: str | None = None,
    papers: str | None = None,
) -> Panel:
    """Open runs to be asked together.

    Parameters
    ----------
    runs
        Run folders of `heads compare` and `finetune run`, or one folder of `evaluate fuse`, which names its members.
    rule
        A fixed rule by which photographs and models are fused; None for the mean, or what a fusion does.
    places
        Where store, photographs and weights are now.
    threshold
        A number, or a ``threshold.json`` of `evaluate unknown`; None for the one beside a single run.
    papers
        Store or data set that names genus and family; None for the store of the first run, if it is there.

    Raises
    ------
    PhytobenchError
        If a run cannot be opened, or the runs do not go together.
    """
    places = places or Places()
    members, fusing, plainly = _members(runs, rule)
    found, doubtful = _threshold(threshold, members, fusing)
    identifiers = open_identifiers(members, places=places)
    # Refused now, not at the first plant: a rule that was fitted for other members.
    fusing.fuse(silent(identifiers))
    names, unnamed = _names(identifiers, papers, places.store or store_beside(members[0]))
    return Panel(identifiers, fusing, found, names, (*plainly, *doubtful, *unnamed))


def open_identifiers(runs: Sequence[Path], *, places: Places | None = None) -> tuple[Identifier, ...]:
    """Open runs by the plug-ins for their kinds, each once.

    Raises
    ------
    PhytobenchError
        If one cannot be opened, or they know different species.
    """
    at = places or Places()
    if not runs:
        raise SettingsError("at least one run", "none", "Name one: --model RUN.")
    cards = {run.resolve(): read_run_card(run) for run in runs}
    identifiers = tuple(
        opener_of(card.kind)(run, store=at.store, photos=at.photos, weights=at.weights) for run, card in cards.items()
    )
    try:
        align(silent(identifiers))
    except PredictionsError as error:
        raise PredictionsError(error.expected, error.got, "Ask models of one comparison together.") from error
    return identifiers


def store_beside(run: Path) -> str | None:
    """The store that the comparison beside a run was made from, None where that cannot be read."""
    try:
        found = json.loads((run.parent / BESIDE).read_text(encoding="utf-8"))["store"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _threshold(text: str | None, members: Sequence[Path], fusing: Fusing) -> tuple[Threshold | None, list[str]]:
    """The threshold that is named, or the one that was chosen for a single run fused as it is here."""
    if text is not None:
        return named_threshold(text)
    if len(members) == 1 and fusing.recipe == Recipe():
        return threshold_of(members[0])
    found = [path.name for path in members if threshold_of(path)[0] is not None]
    if found:
        told = f"The thresholds of {listed(found)} are for each alone, its photographs averaged"
        return None, [f"{told}: nothing is said to be unknown. Name one by --threshold."]
    return None, []


def _names(identifiers: Sequence[Identifier], papers: str | None, store: str | None) -> tuple[Names, list[str]]:
    """What classes are called; a store that nobody has named may be gone."""
    if papers is not None:
        return Names.of(identifiers, papers), []
    try:
        return Names.of(identifiers, store), []
    except PhytobenchError as error:
        return Names.of(identifiers), [f"Genus and family are unknown: {error.in_short}."]


def _members(runs: Sequence[Path], rule: str | None) -> tuple[list[Path], Fusing, list[str]]:
    """The runs that answer, how they are fused, and what is doubtful about that."""
    if rule is not None:
        require_fixed(rule)
    cards = [read_run_card(run) for run in runs]
    fusions = [run for run, card in zip(runs, cards, strict=True) if card.kind == "fusion"]
    if not fusions:
        return list(runs), Fusing(Recipe(rule or "mean")), []
    if len(runs) > 1 or rule is not None:
        got = f"{fusions[0]} and another" if len(runs) > 1 else f"{fusions[0]} and --rule {rule}"
        raise SettingsError("a fusion alone, which has its members and its rule", got, "Leave the others out.")
    members, plainly = _runs_of(fusions[0], cards[0])
    return members, Fusing.of_fusion(fusions[0], cards[0]), plainly


def _runs_of(folder: Path, card: RunCard) -> tuple[list[Path], list[str]]:
    """Run folders of a fusion's members, in its order, and which of them were fused otherwise."""
    named = card.details.get("members")
    files = [Path(str(cast("dict[str, Json]", member)["file"])) for member in named] if isinstance(named, list) else []
    if not files:
        raise PredictionsError(f"members in the card of {folder}", "none", "Fuse again with `evaluate fuse`.")
    augmented = [file.parent.name for file in files if split_and_variant(file)[1]]
    told = f"{listed(augmented)} was fused augmented; here it looks at each photograph once"
    return [where_it_is(file, folder).parent for file in files], [f"{told}."] if augmented else []
