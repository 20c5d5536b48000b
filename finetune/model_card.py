"""The model card: what a fine-tuned network is, what it was made from and how good it is, for whoever finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation.runs import RunCard
from evaluation.table import COLUMNS
from featstore.backbones import random_seed
from featstore.provenance import Json, provenance, write_text
from finetune.report import LESS_START, Judged, beside_start
from finetune.train import CURVE

FILE = "README.md"
_SHOWN = 30


def write_model_card(folder: Path, card: RunCard, rows: Sequence[Judged]) -> None:
    """Write the card as Markdown.

    Parameters
    ----------
    folder
        The run folder.
    card
        What the run is and how it went.
    rows
        On every split the starting head, and the network, plain and with variants.
    """
    details = card.details
    recipe, photographs = _table(details, "recipe"), _table(details, "photographs")
    weights = str(details.get("weights"))
    # Where nothing else names a class, its key does.
    species = [f"{key} {name}" if name not in {"", key} else key for key, name in card.classes.items()]
    more = f", and {len(species) - _SHOWN} more (see `run.json`)" if len(species) > _SHOWN else ""
    warning = (
        ["**The backbone's weights were random: this network shows that everything runs and knows nothing of plants.**"]
        if random_seed(weights) is not None
        else []
    )
    lines = [
        f"# {card.model}",
        "",
        *warning,
        f"{recipe['backbone']} with a dense head, trained as a whole on photographs of {len(card.classes)} classes.",
        "",
        "## What it answers",
        f"A photograph, cut and brought to {recipe['side_px']} x {recipe['side_px']} px, gets a probability for each",
        f"of {len(species)} classes: {', '.join(species[:_SHOWN])}{more}. It cannot say that a plant is none of them.",
        "",
        "## How good it is",
        f"| split | {' | '.join((*COLUMNS, LESS_START))} |",
        "|---" * (len(COLUMNS) + 2) + "|",
        *(
            f"| {split} | {' | '.join(cells)} |"
            for split in dict.fromkeys(row.split for row in rows)
            for cells in beside_start(rows, split)
        ),
        "",
        "S, Top-1, Top-3 and Top-5 per observation; intervals by drawing authors anew. The epoch was chosen on valid,",
        "whose figures therefore flatter; those of test do not. *: better or worse than the start beyond its interval.",
        "",
        "## How it was made",
        f"- Photographs: {', '.join(f'{part} {count}' for part, count in photographs.items())}.",
        f"- Started from the head `{details.get('starting_head')}` on weights `{Path(weights).name}`.",
        f"- {details['epochs_run']} epochs; kept: {details['best_epoch'] or 'the start, no epoch was better'}.",
        *([f"- Stopped early: {details['trouble']}."] if details["trouble"] else []),
        f"- Settings: {', '.join(f'`{name}={value}`' for name, value in _told(_table(details, 'settings')))}.",
        f"- Versions: {', '.join(f'{name} {value}' for name, value in _table(provenance(), 'libraries').items())}.",
        "",
        f"![learning curve]({CURVE})",
        "",
        "## How to use it",
        "```",
        "finetune show FOLDER",
        "finetune predict FOLDER PHOTOGRAPHS --out answers",
        "```",
        "Nothing in this folder is executed: the program builds the network from `run.json` and `head/`, then gives it",
        "the weights.",
        "",
    ]
    write_text(folder / FILE, "\n".join(lines))


def _table(content: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    value = content.get(name)
    return value if isinstance(value, dict) else {}


def _told(settings: Mapping[str, Json]) -> list[tuple[str, Json]]:
    found: list[tuple[str, Json]] = []
    for name, value in settings.items():
        if isinstance(value, dict):
            found += [(f"{name}.{inner}", entry) for inner, entry in value.items()]
        elif value not in (None, ""):
            found.append((name, value))
    return found
