"""Sections about mistakes: species by species, pairs that are confused, and the observations that went wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from evaluation.classes import score_classes
from evaluation.metrics import average_ranks, true_indices
from evaluation.report.album import Album
from evaluation.report.grid import NOTHING, Cell, Column, count_cell, figure_cell, table
from evaluation.report.markup import Markup, element, joined
from evaluation.report.material import Material
from evaluation.report.mistakes import Case, Confusion, mistakes
from featstore.errors import counted, listed

N_TOP = 5
N_EXAMPLES = 3


def species_table(material: Material) -> Markup:
    """Figures of every species that occurs, and what it is most often taken for."""
    scores = score_classes(material.best.ranked)
    wrong: dict[str, Counter[str]] = {}
    for case in mistakes(material.answers):
        wrong.setdefault(case.true_class, Counter())[case.answer] += 1
    taught = Counter(material.herbarium.teaching["class_id"]) if material.herbarium else None
    classes = material.answers.fused.classes.tolist()
    # A data set may know its classes by their names alone.
    named = [material.name_of(name) for name in classes] != classes
    columns = [
        Column("Species"),
        *([Column("Class")] if named else []),
        *([Column("Training photographs", numeric=True)] if taught is not None else []),
        Column("Observations", numeric=True),
        Column("Top-1", numeric=True),
        Column("Mean 1/rank", numeric=True),
        Column("Most often taken for"),
    ]
    rows = []
    for number, class_id in enumerate(scores.class_id.tolist()):
        rival = wrong[class_id].most_common(1)[0] if class_id in wrong else None
        rows.append(
            [
                Cell(material.name_of(class_id)),
                *([Cell(class_id)] if named else []),
                *([count_cell(taught[class_id])] if taught is not None else []),
                count_cell(int(scores.n_observations[number])),
                figure_cell(float(scores.top_1[number])),
                figure_cell(float(scores.mrr[number])),
                Cell(f"{material.name_of(rival[0])} ({rival[1]})" if rival else NOTHING),
            ]
        )
    rows.sort(key=lambda row: (row[-2].value or 0, str(row[0].content)))
    caption = f"{material.best.run}, by species, the hardest first"
    missing = [material.name_of(name) for name in classes if name not in scores.class_id]
    of_all = f"{len(missing)} of the {counted(len(classes), 'class', 'classes')}"
    told = f"Not judged, for no observation of them is scored: {of_all} ({listed(missing, 20)})."
    note = element("p", told, class_="note") if missing else None
    return joined([table(caption, columns, rows, filtered="species"), note])


def confusion_list(material: Material, album: Album) -> Markup:
    """Pairs of species that were taken for one another, with photographs of both."""
    if not material.confusions:
        return element("p", "Every observation whose species is known to the model was named rightly.")
    shown = confusion_photographs(material)
    return joined(_confusion(material, pair, shown, album) for pair in material.confusions)


def confusion_photographs(material: Material) -> dict[tuple[str, str], list[str]]:
    """(class taken, class it was taken for) -> image_ids: photographs that were confused, or training ones."""
    images = material.answers.images
    found: dict[tuple[str, str], list[str]] = {}
    for pair in material.confusions:
        confused = (*pair.first_for_second, *pair.second_for_first)
        views = np.unique(images.view[np.isin(images.observation_id, confused)]).tolist()
        sides = ((pair.first, pair.second, pair.first_for_second), (pair.second, pair.first, pair.second_for_first))
        for own, other, observations in sides:
            # One photograph of each plant shows more than many of one.
            some = [str(images.image_id[images.observation_id == name][0]) for name in observations[:N_EXAMPLES]]
            missing = N_EXAMPLES - len(some)
            if material.herbarium and missing:
                some += material.herbarium.examples(own, missing, views)
            found[own, other] = some
    return found


def _confusion(material: Material, pair: Confusion, shown: dict[tuple[str, str], list[str]], album: Album) -> Markup:
    first, second = material.name_of(pair.first), material.name_of(pair.second)
    told = [f"{first} taken for {second}: {len(pair.first_for_second)}"]
    if pair.second_for_first:
        told.append(f"{second} taken for {first}: {len(pair.second_for_first)}")
    sides = [
        _side(material, own, pair, shown.get((own, other), []), album)
        for own, other in ((pair.first, pair.second), (pair.second, pair.first))
    ]
    return element(
        "article",
        element("h3", first, element("span", " / ", class_="versus"), second),
        element("p", "; ".join(told), "."),
        element("div", *sides, class_="pair"),
        class_="confusion",
    )


def _side(material: Material, own: str, pair: Confusion, image_ids: Sequence[str], album: Album) -> Markup:
    confused = pair.first_for_second if own == pair.first else pair.second_for_first
    name = material.name_of(own)
    figures = []
    for place, image_id in enumerate(image_ids):
        kind = "confused" if place < len(confused[:N_EXAMPLES]) else "training"
        caption = element("figcaption", kind)
        figures.append(element("figure", album.show(image_id, f"{name}, photograph {image_id}, {kind}"), caption))
    return element("div", element("h4", name), element("div", *figures, class_="strip"))


def worst_list(material: Material, album: Album) -> Markup:
    """The lowest places of the truth, then the most confident mistakes; each observation once."""
    parts = []
    seen: set[int] = set()
    both = (("Lowest rank of the right species", material.worst), ("Most confident mistakes", material.confident))
    for title, cases in both:
        parts.append(element("h3", title))
        fresh = [case for case in cases if case.row not in seen]
        again = [case for case in cases if case.row in seen]
        parts += [_observation(material, case, album) for case in fresh]
        if again:
            links = [element("a", case.observation_id, href=f"#o{case.row}") for case in again]
            parts.append(element("p", "Also among these, shown above: ", *_listed(links), class_="note"))
        if not cases:
            asked = material.settings.n_worst
            parts.append(element("p", "There is none." if asked else "None was asked for (--worst 0).", class_="note"))
        seen |= {case.row for case in fresh}
    return joined(parts)


def _listed(links: Sequence[Markup]) -> Iterable[str]:
    for place, link in enumerate(links):
        yield from (", ", link) if place else (link,)


def _observation(material: Material, case: Case, album: Album) -> Markup:
    images = material.answers.images
    rows = np.flatnonzero(material.answers.plant == case.row).tolist()
    photographs = [
        element(
            "figure",
            album.show(
                str(images.image_id[row]), f"{images.view[row]} of observation {case.observation_id}", whole=True
            ),
            element("figcaption", f"{images.view[row]} ", element("span", str(images.image_id[row]), class_="id")),
        )
        for row in rows
    ]
    single = len(rows) == 1
    near = [_image(material, row, album, ranked=not single) for row in rows]
    return element(
        "article",
        _told(material, case),
        element("div", *photographs, class_="strip photographs"),
        element(
            "div",
            element("h5", "The answer" if single else f"{len(rows)} photographs together"),
            _ranking(material, material.answers.fused.probability[case.row], case.true_class),
        ),
        near[0] if single else element("details", element("summary", "Photograph by photograph"), *near),
        class_="observation single" if single else "observation",
        id=f"o{case.row}",
    )


def _told(material: Material, case: Case) -> Markup:
    author = str(material.answers.fused.author[case.row]) or "unknown"
    return element(
        "header",
        element("h4", material.name_of(case.true_class)),
        element(
            "p",
            f"The right species came {ordinal(case.rank)}; the answer was ",
            element("strong", material.name_of(case.answer)),
            f" with {case.confidence:.2f}.",
        ),
        element("p", f"Observation {case.observation_id}, author {author}", class_="note"),
    )


def _image(material: Material, row: int, album: Album, *, ranked: bool) -> Markup:
    images = material.answers.images
    image_id, truth = str(images.image_id[row]), str(images.true_class[row])
    near = material.neighbours.get(image_id, [])
    figures = []
    for one in near:
        same = one.class_id == truth
        name = material.name_of(one.class_id)
        sign = element("span", "✓ " if same else "✗ ", class_="right" if same else "wrong")
        told = "the right species" if same else "another species"
        figures.append(
            element(
                "figure",
                album.show(one.image_id, f"Training photograph {one.image_id}: {name}, {told}"),
                element("figcaption", sign, name, element("span", f" {one.cosine:.2f}", class_="id")),
            )
        )
    strip = element("div", *figures, class_="strip") if figures else element("p", "None known.", class_="note")
    return element(
        "section",
        element(
            "div",
            element("h5", f"{images.view[row]} {image_id} alone"),
            _ranking(material, images.probability[row].astype(np.float64), truth),
        )
        if ranked
        else None,
        element("div", element("h5", "Nearest training photographs"), strip),
        class_="image",
    )


def _ranking(material: Material, probability: np.ndarray, truth: str) -> Markup:
    """The likeliest species, and the right one at its place where it is not among them."""
    classes = material.answers.fused.classes
    best = np.argsort(-probability, kind="stable")[:N_TOP]
    lines = [_answer(material, str(classes[column]), float(probability[column]), truth) for column in best.tolist()]
    index = true_indices(np.array([truth]), classes)
    if truth in classes[best]:
        return element("ol", *lines, class_="ranking")
    rank = float(average_ranks(probability[np.newaxis], index)[0])
    own = _answer(material, truth, float(probability[index[0]]), truth, ordinal(rank))
    return joined([element("ol", *lines, class_="ranking"), element("ul", own, class_="ranking beyond")])


def _answer(material: Material, class_id: str, probability: float, truth: str, place: str | None = None) -> Markup:
    right = class_id == truth
    return element(
        "li",
        element("span", f"{place} " if place else None, "✓ " if right else None, material.name_of(class_id)),
        element("span", f"{probability:.2f}" if probability >= 0.005 else "<0.01", class_="probability"),
        element("span", class_="amount", style=f"width:{100 * probability:.1f}%", aria_hidden="true"),
        class_="right" if right else None,
    )


def ordinal(rank: float) -> str:
    """Write a place, also a shared one.

    >>> ordinal(2.0), ordinal(11.0), ordinal(21.0), ordinal(1.5)
    ('2nd', '11th', '21st', '1.5 (shared)')
    """
    if not rank.is_integer():
        return f"{rank:g} (shared)"
    number = int(rank)
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
