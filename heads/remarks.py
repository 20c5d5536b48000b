"""What a comparison tells about itself: what was compared, and what is doubtful about it or had no effect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evaluation.identify.contract import OPEN_VIEW
from evaluation.intervals import few_remarks
from evaluation.runs import SPLIT_FILE
from featstore.errors import counted, listed
from featstore.provenance import Json, provenance
from featstore.splits import SPARE
from featstore.store import Store
from heads.choice import parse_choices
from heads.entry import Entry
from heads.leaderboard import FINE_TUNED_HEAD
from heads.material import Material, class_names
from heads.protocol import Protocol
from heads.weights import well_voted

if TYPE_CHECKING:
    from heads.compare import CompareSettings


def facts_of(store: Store, material: Material, settings: CompareSettings) -> dict[str, Json]:
    """What was compared, for the leaderboard's JSON document."""
    return {
        "store": store.location,
        "dataset": store.name,
        "roi": {backbone: store.recipe(backbone).identity for backbone in material.identities},
        "foreign": [backbone for backbone, identity in material.identities.items() if identity.foreign],
        "baselines": list(material.baselines),
        "weights": {backbone: identity.weights for backbone, identity in material.identities.items()},
        "protocol": settings.protocol.to_json(),
        "n_held_out": settings.n_held_out,
        "tuning": settings.tuning.to_json() if settings.tuning else None,
        "classes": len(material.classes("train")),
        "splits": {
            name: {"images": images, "observations": observations}
            for name, (images, observations) in material.sizes().items()
        },
        "provenance": provenance(),
    }


def warnings_about(material: Material, settings: CompareSettings, entries: Sequence[Entry]) -> tuple[str, ...]:
    """What a reader of the table has to know."""
    warnings = [*material.warnings, *_without_effect(material, settings, entries), *_votes(material, settings.protocol)]
    warnings += [f"{entry.trial.name}: {remark}" for entry in entries for remark in entry.remarks]
    warnings += [f"{entry.trial.name} failed: {entry.error}" for entry in entries if entry.error]
    tried = any(entry.trial.head == FINE_TUNED_HEAD and not entry.error for entry in entries)
    if not tried:
        warnings.append(
            f"no {FINE_TUNED_HEAD} on a single network was compared: best.json names a start for finetune run only if "
            "an earlier comparison chose one"
        )
    best = next((entry for entry in entries if entry.scores), None)
    if best is not None:
        n_authors = {split: best.per_author[split].n_authors for split in best.n_observations}
        warnings += few_remarks(best.n_observations, n_authors)
    random = [name for name, identity in material.identities.items() if identity.weights.startswith("random")]
    if random:
        warnings.append(f"random weights in {', '.join(random)}: these figures say nothing about plants")
    return tuple(warnings)


def _without_effect(material: Material, settings: CompareSettings, entries: Sequence[Entry]) -> list[str]:
    found = []
    if settings.like_test and not (material.split == SPARE).any():
        why = f"{SPLIT_FILE} was there already, or no valid plant has a spare one"
        found.append(f"--valid-like-test changed nothing: {why}")
    compared = {entry.trial.choice.label for entry in entries}
    idle = [choice.label for choice in parse_choices(settings.heads) if choice.label not in compared]
    if idle:
        which = "no photograph tells its view" if material.views == (OPEN_VIEW,) else f"all are {material.views[0]}"
        found.append(f"{listed(idle)} left out: with one view ({which}) it is what its common head is")
    tried = [entry for entry in entries if not entry.error]
    if tried and settings.protocol.n_seeds > 1 and not any(entry.spread for entry in entries):
        found.append("--seeds changed nothing: none of these heads is random")
    return found


def _votes(material: Material, protocol: Protocol) -> list[str]:
    if protocol.min_vote is None and not protocol.vote_weight:
        return []
    papers = material.table.papers
    learnt = papers[(material.split == "train") & np.asarray(papers["class_id"] != "")]
    if not learnt["vote"].notna().any():
        return ["votes changed nothing: no photograph that is learnt from has one"]
    if protocol.min_vote is None:
        return []
    kept = learnt[well_voted(learnt, protocol.min_vote)]
    lost = class_names(learnt[~learnt["class_id"].isin(kept["class_id"])])
    told = f"--min-vote {protocol.min_vote:g} leaves {len(kept):,} of {len(learnt):,} photographs of train"
    without = f"{counted(len(lost), 'class', 'classes')} without any, which count as missed: {listed(lost, 10)}"
    return [f"{told}, and {without}" if lost else told]
