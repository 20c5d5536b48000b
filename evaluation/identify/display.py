"""What `evaluate identify` shows."""

from __future__ import annotations

from evaluation.identify.answer import Candidate, Identification, Taxon
from evaluation.taxonomy.taxa import HIGHER
from featstore import shell

RANKING = ("place", "species", "class", "probability")
ALONE = ("photograph", "view", "likeliest by itself", "probability", "next")
ALIKE = ("photograph", "cosine", "similar to one of", "class", "file")


def show(found: Identification) -> None:
    """Print the ranking, then what it rests on."""
    models = " + ".join(found.models)
    n_used = len(found.build_up)
    title = f"{n_used} of {len(found.photographs)} photographs, {models}, fused by {found.rule}"
    # A column in which nothing is known tells nothing.
    taxa = [rank for rank in HIGHER if any(getattr(one, rank) for one in found.ranking)]
    rows = [
        [str(place), one.species or "-", one.class_id, f"{one.probability:.4f}"]
        + [getattr(one, rank) or "-" for rank in taxa]
        for place, one in enumerate(found.ranking, 1)
    ]
    shell.print_table(title, [*RANKING, *taxa], rows)
    if found.genus or found.family:
        shell.print_line(f"genus: {_taxon(found.genus)}; family: {_taxon(found.family)}")
    shell.print_line(doubt_in_words(found))
    shell.print_table("Each photograph alone", ALONE, [_vote(found, place) for place in range(len(found.photographs))])
    alike = [
        [image_id, f"{one.cosine:.3f}", found.species.get(one.class_id) or "-", one.class_id, one.path]
        for image_id, some in found.neighbours.items()
        for one in some
    ]
    if alike:
        shell.print_table("The most similar photographs to learn from", ALIKE, alike)


def doubt_in_words(found: Identification) -> str:
    """Say whether the plant is named."""
    doubt = found.doubt
    if doubt.accept_from is None:
        return "unknown species: not judged, no threshold is known (evaluate unknown writes one, or --threshold)"
    told = f"probability {doubt.value:.4f}, named from {doubt.accept_from:.4f} on ({doubt.source})"
    if doubt.unknown:
        return f"UNKNOWN: likely none of the {len(found.species)} species that the models know; {told}"
    return f"unknown species: no; {told}"


def _taxon(taxon: Taxon | None) -> str:
    return f"{taxon.name} {taxon.probability:.4f}" if taxon else "not known"


def _vote(found: Identification, place: int) -> list[str]:
    vote = found.photographs[place]
    if vote.failure is not None:
        return [vote.image_id, vote.view, "could not be used", "-", "-"]
    first, *others = vote.ranking
    rest = ", ".join(f"{_name(one)} {one.probability:.3f}" for one in others)
    return [vote.image_id, vote.view, _name(first), f"{first.probability:.4f}", rest or "-"]


def _name(one: Candidate) -> str:
    return one.species or one.class_id
