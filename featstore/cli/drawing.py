"""`featstore synth`: a small package of drawn photographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featstore import shell

if TYPE_CHECKING:
    from featstore.provenance import Json


def synth(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder to write the package to.", show_default=False)
    ],
    species: Annotated[int, typer.Option("--species", help="Number of invented species.")] = 6,
    observations: Annotated[int, typer.Option("--observations", help="Plants per species.")] = 8,
    authors: Annotated[int, typer.Option("--authors", help="Number of photographers.")] = 5,
    side: Annotated[int, typer.Option("--side", help="Side of the photographs in px.")] = 240,
    corrupt: Annotated[int, typer.Option("--corrupt", help="Number of truncated photographs.")] = 1,
    variation: Annotated[
        float, typer.Option("--variation", help="How much plants of a species differ: 0 to 0.5, 0.1 is a lot.")
    ] = 0.0,
    seed: shell.SeedOption = 0,
    json: shell.JsonOption = False,
) -> None:
    """Draw a small package in the PlantCLEF 2014 layout: every view, several authors, votes, corrupt files.

    The pictures are drawn, not photographed: they show that everything runs, not how well plants are known.

    For example `featstore synth demo-photos/ --species 8 --seed 1`
    """
    from dataclasses import asdict
    from typing import cast

    from featstore.synth import SynthSettings, synthesise

    settings = SynthSettings(
        n_species=species,
        n_observations=observations,
        n_authors=authors,
        side_px=side,
        n_corrupt=corrupt,
        seed=seed,
        variation=variation,
    )
    summary = synthesise(folder, settings)
    facts = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(summary).items()}
    if json:
        shell.print_json({"schema": "drawn/1", **cast("dict[str, Json]", facts)})
    else:
        shell.print_table(
            "Drawn", ["what", "value"], [[name.removeprefix("n_"), str(value)] for name, value in facts.items()]
        )
