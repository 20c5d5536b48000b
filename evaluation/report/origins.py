"""The section on where everything comes from: runs, predictions, store, and this page itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import cast

from evaluation.intervals import LEVEL, N_DRAWS
from evaluation.members import Member
from evaluation.report.grid import NOTHING, Cell, Column, count_cell, table
from evaluation.report.herbarium import Herbarium
from evaluation.report.markup import Markup, breakable, element, joined
from evaluation.report.material import Material
from evaluation.runs import CARD
from featstore.provenance import Json, provenance, sha256_of_file
from featstore.store.identity import Identity


def origins(material: Material) -> Markup:
    """Everything that is needed to repeat the page, or to find out why another one differs."""
    own = provenance()
    facts = {
        "This page": f"phytobench {own['phytobench']}, {own['created']}",
        "Command": _command(own),
        "Split": material.answers.fused.split,
        "Fusion rule": material.settings.rule,
        "Aligned by": material.settings.align_by,
        "Intervals": f"{LEVEL:.0%}, {N_DRAWS:,} draws of authors, fixed seed",
        "Looked into": material.best.run,
    }
    parts = [_facts(facts), _files(material.members)]
    parts += [_card(member) for member in _one_per_folder(material.members)]
    if material.herbarium:
        parts.append(_store(material.herbarium))
    parts.append(_document("What made this page", own))
    return joined(parts)


def _files(members: Sequence[Member]) -> Markup:
    columns = [
        Column("Result"),
        Column("Predictions"),
        Column("SHA-256"),
        Column("Made"),
        Column("Images", numeric=True),
        Column("Classes", numeric=True),
    ]
    rows = [
        [
            Cell(breakable(member.run)),
            Cell(breakable(str(member.path))),
            Cell(element("code", sha256_of_file(member.path))),
            Cell(str(member.predictions.provenance.get("created", NOTHING))),
            count_cell(len(member.predictions.image_id)),
            count_cell(len(member.predictions.classes)),
        ]
        for member in members
    ]
    return table("Files of predictions", columns, rows)


def _one_per_folder(members: Sequence[Member]) -> list[Member]:
    return list({member.path.parent: member for member in members if member.card}.values())


def _card(member: Member) -> Markup:
    # The card has been read and proved before; its provenance is not among what `RunCard` keeps.
    content = cast("dict[str, Json]", json.loads((member.path.parent / CARD).read_text(encoding="utf-8")))
    made = content.get("provenance")
    told = _facts({"Made by": _command(made), "At": str(made.get("created", ""))}) if isinstance(made, dict) else None
    return _document(f"Run card of {member.predictions.model}", content, told)


def _store(herbarium: Herbarium) -> Markup:
    store = herbarium.store
    attributes = store.attrs
    facts = {
        "Data set": store.name,
        "Store": store.location,
        "Photographs below": str(store.root),
        "Schema": str(attributes.get("schema")),
        "Catalogue": str(attributes.get("catalog_digest")),
        "Boxes and neighbours": herbarium.backbone or NOTHING,
    }
    content: dict[str, Json] = {
        **attributes,
        "identities": [cast("Json", asdict(identity)) for identity in store.identities],
    }
    return joined(
        [
            element("h3", "Feature store"),
            _facts(facts),
            _identities(store.identities),
            _document("The store's description", content),
        ]
    )


def _identities(identities: Sequence[Identity]) -> Markup:
    columns = [
        Column("Network"), Column("Weights SHA-256"), Column("Side"), Column("Pooling"), Column("Region of interest"),
        Column("Engine"), Column("Precision"),
    ]  # fmt: skip
    rows = [
        [
            Cell(one.backbone),
            Cell(element("code", one.weights_sha256)),
            Cell(f"{one.side_px} px", one.side_px),
            Cell(one.pooling),
            Cell(one.roi),
            Cell(one.engine),
            Cell(one.precision),
        ]
        for one in identities
    ]
    return table("What made the features", columns, rows)


def _facts(facts: Mapping[str, str]) -> Markup:
    pairs = [joined([element("dt", name), element("dd", value)]) for name, value in facts.items()]
    return element("dl", *pairs)


def _document(title: str, content: Mapping[str, Json], told: Markup | None = None) -> Markup:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    return element(
        "details", element("summary", title), told, element("pre", element("code", text), tabindex=0), class_="document"
    )


def _command(made: Mapping[str, Json]) -> str:
    command = made.get("command")
    return " ".join(str(word) for word in command) if isinstance(command, list) else NOTHING
