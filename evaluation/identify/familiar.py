"""Familiar: a model looks at a photograph as it was shown photographs when it learnt, and what differs is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from evaluation.identify.contract import OPEN_VIEW, Identifier, Photograph
from featstore.errors import listed


def as_learnt(photographs: Sequence[Photograph], learnt: Mapping[str, bool]) -> list[Photograph]:
    """Photographs for a model: a view that it never learnt is open to it, if it has learnt open ones.

    Cut to an organ, they would look like nothing that it has seen.

    Parameters
    ----------
    photographs
        As they were named.
    learnt
        `views_of` the model.
    """
    if OPEN_VIEW not in learnt:
        return list(photographs)
    return [one if one.view in learnt else replace(one, view=OPEN_VIEW) for one in photographs]


def as_fused(photographs: Sequence[Photograph], identifiers: Sequence[Identifier]) -> list[Photograph]:
    """Photographs for the rule that fuses: with the view that all models see, else the one that is named."""
    seen = zip(*(as_learnt(photographs, views_of(one)) for one in identifiers), strict=True)
    return [
        looks[0] if len({look.view for look in looks}) == 1 else named
        for named, looks in zip(photographs, seen, strict=True)
    ]


def view_remarks(photographs: Sequence[Photograph], identifiers: Sequence[Identifier]) -> list[str]:
    """Which views are strange to which models, once for all models that have learnt the same ones."""
    alike: dict[tuple[tuple[str, bool], ...], list[str]] = {}
    for one in identifiers:
        alike.setdefault(tuple(views_of(one).items()), []).append(one.model)
    return [
        remark
        for learnt, models in alike.items()
        for remark in remarks_on(photographs, dict(learnt), " and ".join(models))
    ]


def remarks_on(photographs: Sequence[Photograph], learnt: Mapping[str, bool], models: str) -> list[str]:
    """Which views are strange to models that have learnt the same ones."""
    strange = [one for one in photographs if one.view not in learnt and one.view != OPEN_VIEW]
    unnamed = [one for one in photographs if one.view == OPEN_VIEW]
    named = ", ".join(view for view in learnt if view != OPEN_VIEW)
    remarks = []
    if strange and OPEN_VIEW in learnt:
        known = f"photographs of {named}, and some without a view" if named else "photographs without a view only"
        views = ", ".join(sorted({one.view for one in strange}))
        remarks.append(
            f"{models} learnt {known}: {_ids(strange)} {_are(strange)} treated as without a view, not as {views}."
        )
    elif strange and learnt:
        remarks.append(f"{models} learnt photographs of {named} only: the answer is less sure for {_ids(strange)}.")
    if unnamed and OPEN_VIEW not in learnt and any(learnt.values()):
        told = f"{models} learnt photographs cut by what they show ({named})"
        remarks.append(f"{told}: name the view of {_ids(unnamed)} for a surer answer.")
    return remarks


def _ids(photographs: Sequence[Photograph]) -> str:
    return listed([one.image_id for one in photographs])


def _are(photographs: Sequence[Photograph]) -> str:
    return "is" if len(photographs) == 1 else "are"


def views_of(identifier: Identifier) -> Mapping[str, bool]:
    """The views that a model has learnt; none of a model that does not tell."""
    return getattr(identifier, "views", {})
