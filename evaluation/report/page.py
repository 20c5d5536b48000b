"""The page: sections in the order in which a reader wants them, in one file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from evaluation.report.album import Album
from evaluation.report.curves import learning_section, reliability_section
from evaluation.report.failures import (
    confusion_list,
    confusion_photographs,
    species_table,
    worst_list,
)
from evaluation.report.growth import article_section, growth_section
from evaluation.report.markup import Markup, element, embedded_json
from evaluation.report.material import Material
from evaluation.report.mistakes import image_rows
from evaluation.report.neighbours import image_ids_of
from evaluation.report.origins import origins
from evaluation.report.standings import footing, headline, leaderboard, view_tables, views_of
from evaluation.scores import scores_to_json
from featstore.errors import counted
from featstore.provenance import Json

SCHEMA = "report/1"


@dataclass(frozen=True)
class Section:
    """A part of the page that the list at its top leads to."""

    name: str
    short: str
    title: str
    write: Callable[[Material, Album], Markup]
    has_something: Callable[[Material], bool] = lambda _: True


SECTIONS = (
    Section("leaderboard", "Leaderboard", "Leaderboard", lambda material, _: leaderboard(material)),
    Section("merged", "Merged", "Single, augmented, merged", lambda material, _: article_section(material.growth)),
    Section(
        "views", "Views", "Views", lambda material, _: view_tables(material), lambda it: len(views_of(it.best)) > 1
    ),
    Section("species", "Species", "Species", lambda material, _: species_table(material)),
    Section("confusions", "Confusions", "Confused species", confusion_list),
    Section("worst", "Worst", "Worst observations", worst_list),
    Section("reliability", "Reliability", "Reliability", lambda material, _: reliability_section(material)),
    Section(
        "gain", "Gain", "Gain from more photographs and models", lambda material, _: growth_section(material.growth)
    ),
    Section("learning", "Learning", "Learning curves", lambda material, _: learning_section(material)),
    Section("origins", "Origins", "Where everything comes from", lambda material, _: origins(material)),
)


def photographs_of(material: Material) -> list[str]:
    """image_ids of every photograph that the page shows, in the order in which they are first seen."""
    confused = [name for names in confusion_photographs(material).values() for name in names]
    rows = image_rows(material.answers, material.cases())
    return list(
        dict.fromkeys([*confused, *material.answers.images.image_id[rows].tolist(), *image_ids_of(material.neighbours)])
    )


def write_page(material: Material, album: Album) -> str:
    """Write the whole page."""
    others = f" and {len(material.results) - 1} more" if len(material.results) > 1 else ""
    title = f"{material.best.run}{others} on {material.answers.fused.split}"
    style, script = _resource("page.css"), _resource("page.js")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        # The browser itself refuses the network, and every script but ours.
        element("meta", http_equiv="Content-Security-Policy", content=_policy(script)),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", f"phytobench report: {title}"),
        element("style", Markup(style)),
    )
    shown = [part for part in SECTIONS if part.has_something(material)]
    sections = [
        element("section", element("h2", part.title), part.write(material, album), id=part.name) for part in shown
    ]
    body = element(
        "body",
        element("a", "Skip to the results", href="#main", class_="skip"),
        _header(material, album),
        element("nav", element("ul", *_links(shown)), aria_label="Sections"),
        element("main", *sections, id="main"),
        element("script", embedded_json(_figures(material)), type="application/json", id="figures"),
        element("script", Markup(script)),
        album.sheets(),
    )
    return f'<!DOCTYPE html>\n<html lang="en">{head}{body}</html>\n'


def _header(material: Material, album: Album) -> Markup:
    notes = [*material.warnings]
    if material.herbarium is None:
        notes.insert(0, "Without photographs: no feature store was named. Pass --store to see them.")
    if album.missing:
        reasons = "; ".join(dict.fromkeys(album.missing.values()))
        notes.insert(0, f"{counted(len(album.missing), 'photograph')} could not be shown ({reasons}).")
    herbarium = material.herbarium
    subject = f"{herbarium.store.name}, {material.answers.fused.split}" if herbarium else material.answers.fused.split
    return element(
        "header",
        element("p", "phytobench report", element("span", f" {subject}"), class_="kicker"),
        element("h1", headline(material)),
        element("p", footing(material), class_="footing"),
        element("ul", *(element("li", note) for note in notes), class_="notes") if notes else None,
    )


def _links(shown: Sequence[Section]) -> list[Markup]:
    return [element("li", element("a", part.short, href=f"#{part.name}")) for part in shown]


def _figures(material: Material) -> dict[str, Json]:
    scores = [score for result in material.results for score in result.scores]
    return {"schema": SCHEMA, "split": material.answers.fused.split, "scores": scores_to_json(scores)}


def _policy(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _resource(name: str) -> str:
    return (files("evaluation.report") / name).read_text(encoding="utf-8")
