"""The work of `evaluate identify`: the photographs of one plant go to every model, and their answers become one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from evaluation.identify import N_NEIGHBOURS, TOP
from evaluation.identify.answer import Candidate, Identification, Step, Taxon, Vote
from evaluation.identify.contract import Identifier, Neighbour, Photograph
from evaluation.identify.doubting import Threshold, doubt_of
from evaluation.identify.familiar import as_fused, as_learnt, view_remarks, views_of
from evaluation.identify.fusing import Fusing, as_predictions
from evaluation.identify.names import Names
from evaluation.taxonomy.taxa import HIGHER, roll_up
from featstore.errors import ImageError, SettingsError, listed
from featstore.images import load_photograph
from featstore.readers.table import SUFFIXES

N_ALONE = 3
"""Species that are told of each photograph alone."""

NONE_ALIKE = "No similar photographs: store, split or weights of what the models learnt from are not at hand."


class UnreadableError(ImageError):
    """None of the photographs of a plant can be used."""


def identify(
    photographs: Sequence[Photograph],
    identifiers: Sequence[Identifier],
    *,
    fusing: Fusing | None = None,
    threshold: Threshold | None = None,
    names: Names | None = None,
    top: int = TOP,
    n_neighbours: int = N_NEIGHBOURS,
) -> Identification:
    """Identify one plant by all its photographs and all models.

    Parameters
    ----------
    photographs
        Of one plant, at least one, each image_id once.
    identifiers
        Models that know the same classes, at least one.
    fusing
        How they are fused; None for the mean over all photographs and models.
    threshold
        From which probability on a plant is named; None where none is known.
    names
        Species, genus and family of the classes; None for what the species names tell.
    top
        How many species are ranked.
    n_neighbours
        How many similar photographs are looked for; 0 for none.

    Raises
    ------
    UnreadableError
        If no photograph can be used.
    SettingsError
        If there is no photograph or no model, or an image_id twice.
    PredictionsError
        If the models know different classes.
    """
    _require(photographs, identifiers)
    started = time.perf_counter()
    fusing, names = fusing or Fusing(), names or Names.of(identifiers)
    usable, rows, failures = _ask(photographs, identifiers)
    classes = identifiers[0].classes
    told = _Told(as_fused(usable, identifiers), rows, identifiers, fusing)
    ranked = partial(_ranking, classes=classes, names=names)
    fused = told.of(range(len(usable)))
    position = {one.image_id: place for place, one in enumerate(usable)}
    votes = [
        Vote(one.image_id, one.view, failure=failures[one.image_id])
        if one.image_id in failures
        else Vote(one.image_id, one.view, ranked(told.of([position[one.image_id]]), n_best=min(top, N_ALONE)))
        for one in photographs
    ]
    steps = [Step(one.image_id, ranked(told.of(range(end)), n_best=top)) for end, one in enumerate(usable, 1)]
    neighbours = _neighbours(usable, identifiers, n_neighbours)
    none_alike = () if neighbours or n_neighbours < 1 else (NONE_ALIKE,)
    genus, family = (_taxon(fused, classes, names, rank) for rank in HIGHER)
    return Identification(
        ranking=ranked(fused, n_best=top),
        doubt=doubt_of(float(fused.max()), threshold),
        genus=genus,
        family=family,
        photographs=tuple(votes),
        build_up=tuple(steps),
        neighbours=neighbours,
        models=tuple(one.model for one in identifiers),
        rule=fusing.name,
        remarks=(*view_remarks(photographs, identifiers), *none_alike),
        seconds=round(time.perf_counter() - started, 3),
        species=names.species,
    )


@dataclass(frozen=True, eq=False)
class _Told:
    """What every model says of every photograph that can be used."""

    photographs: Sequence[Photograph]
    rows: Sequence[NDArray[np.float32]]
    identifiers: Sequence[Identifier]
    fusing: Fusing

    def of(self, places: Sequence[int]) -> NDArray[np.float64]:
        """(k,) fused over some of the photographs."""
        some = [self.photographs[place] for place in places]
        pairs = zip(self.identifiers, self.rows, strict=True)
        return self.fusing.fuse([as_predictions(one, some, rows[list(places)]) for one, rows in pairs])


def require_photographs(photographs: Sequence[Photograph]) -> None:
    """Refuse what cannot be answered before any model is loaded.

    That is no photograph, one named twice, a folder or a table, and none that can be read.

    Raises
    ------
    SettingsError, UnreadableError
        As `identify` does.
    """
    _require_once(photographs)
    _require_files(photographs)
    errors: dict[str, ImageError] = {}
    for one in photographs:
        try:
            load_photograph(one.path)
        except ImageError as error:
            errors[one.image_id] = error
        else:
            return
    remedies = {error.remedy for error in errors.values()}
    told = [f"{image_id}: {error.problem}" for image_id, error in errors.items()]
    raise _unreadable(told, remedies.pop() if len(remedies) == 1 else "Name others.")


def _require_files(photographs: Sequence[Photograph]) -> None:
    """Refuse folders and tables, which name photographs of many plants."""
    for one in photographs:
        is_folder = one.path.is_dir()
        if is_folder or one.path.suffix.casefold() in SUFFIXES:
            raise SettingsError(
                "photographs of one plant, file by file",
                f"a {'folder' if is_folder else 'table'}: {one.path}",
                f"For many plants, let `finetune predict RUN {one.path}` answer, or `featstore build` and "
                "`heads predict` (docs/how-to/own-photographs.md).",
            )


def _require(photographs: Sequence[Photograph], identifiers: Sequence[Identifier]) -> None:
    if not identifiers:
        raise SettingsError("at least one model", "none", "Name some.")
    _require_once(photographs)


def _require_once(photographs: Sequence[Photograph]) -> None:
    if not photographs:
        raise SettingsError("at least one photograph", "none", "Name some.")
    ids = [one.image_id for one in photographs]
    twice = sorted({one for one in ids if ids.count(one) > 1})
    if twice:
        raise SettingsError("every photograph once", f"{listed(twice)} several times", "Name each once.")


def _ask(
    photographs: Sequence[Photograph], identifiers: Sequence[Identifier]
) -> tuple[list[Photograph], list[NDArray[np.float32]], dict[str, str]]:
    """The photographs that every model could use, what each says of them, and why the others could not be used."""
    rows: list[NDArray[np.float32]] = []
    failures: dict[str, str] = {}
    for one in identifiers:
        probability, failed = one.probabilities(as_learnt(photographs, views_of(one)))
        rows.append(probability)
        failures |= failed
    usable = [place for place, one in enumerate(photographs) if one.image_id not in failures]
    if not usable:
        raise _unreadable([f"{image_id}: {reason}" for image_id, reason in failures.items()])
    return [photographs[place] for place in usable], [probability[usable] for probability in rows], failures


def _unreadable(reasons: list[str], remedy: str = "Name others.") -> UnreadableError:
    got = f"none of {len(reasons)} ({listed(reasons, 3)})"
    return UnreadableError("at least one photograph that can be read", got, remedy)


def _ranking(
    probability: NDArray[np.float64], *, classes: NDArray[np.str_], names: Names, n_best: int
) -> tuple[Candidate, ...]:
    genus, family = (names.taxonomy.taxon[rank] for rank in HIGHER)
    best = np.argsort(-probability, kind="stable")[:n_best]
    return tuple(
        Candidate(key, names.species.get(key, ""), value, genus.get(key, ""), family.get(key, ""))
        for key, value in zip(classes[best].tolist(), probability[best].tolist(), strict=True)
    )


def _taxon(probability: NDArray[np.float64], classes: NDArray[np.str_], names: Names, rank: str) -> Taxon | None:
    taxa = roll_up(probability[np.newaxis], classes, names.taxonomy, rank)
    best = int(taxa.best[0])
    return Taxon(str(taxa.name[best]), float(taxa.probability[0, best])) if taxa.name[best] else None


def _neighbours(
    photographs: Sequence[Photograph], identifiers: Sequence[Identifier], n_neighbours: int
) -> dict[str, list[Neighbour]]:
    """Those that the first model with any tells."""
    if n_neighbours > 0:
        for one in identifiers:
            found = one.nearest(as_learnt(photographs, views_of(one)), n_neighbours)
            if found:
                return found
    return {}
