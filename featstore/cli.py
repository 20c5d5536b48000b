"""The command line `featstore`: photographs become a feature store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featstore import shell

if TYPE_CHECKING:
    from featstore.build import BuildSummary
    from featstore.provenance import Json

app = shell.new_app("Turn photographs into a feature store that every later step reads.")


@app.command()
def build(
    dataset: Annotated[
        Path, typer.Argument(help="PlantCLEF folder, CSV/Parquet table, or class folders.", show_default=False)
    ],
    store: Annotated[Path, typer.Option("--store", help="The store to create or complete.")] = Path("features.zarr"),
    backbone: Annotated[
        list[str] | None,
        typer.Option("--backbone", help="Network; repeat for several. \\[default: vgg16 vgg19 resnet50 inception_v3]"),
    ] = None,
    weights: Annotated[
        str, typer.Option("--weights", help="imagenet, random\\[:SEED], or a file or folder of weights.")
    ] = "imagenet",
    pooling: Annotated[str, typer.Option("--pooling", help="Global pooling: avg or max.")] = "avg",
    side: Annotated[
        int | None, typer.Option("--side", help="Input side in px. \\[default: each network's own, 224 or 299]")
    ] = None,
    roi: Annotated[str, typer.Option("--roi", help="Region of interest per view: article or none.")] = "article",
    reader: Annotated[
        str | None, typer.Option("--reader", help="plantclef, table or folders. \\[default: chosen by looking]")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Images per network call.")] = 16,
    workers: Annotated[int, typer.Option("--workers", help="Processes that decode; 0 decodes in this one.")] = 2,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace features that were made differently instead of refusing.")
    ] = False,
    max_failures: Annotated[
        int, typer.Option("--max-failures", help="Unusable photographs to accept before the exit code is 3.")
    ] = 0,
    json: shell.JsonOption = False,
) -> None:
    """Extract the features of a data set; a second run does only what is missing.

    Each photograph is decoded once, cut to its view's region of interest and shown to every network. Photographs
    that cannot be used are listed with the reason and do not stop the run.

    For example:

    - `featstore build PlantCLEF2014/ --store features.zarr`

    - `featstore build photos.csv --store features.zarr --backbone mobilenet --roi none`

    - `featstore build class-folders/ --store test.zarr --weights random --side 96`
    """
    from typing import cast

    from featstore.backbones import ARTICLE_BACKBONES, Pooling
    from featstore.build import BuildSettings, build_store

    settings = BuildSettings(
        backbones=tuple(backbone or ARTICLE_BACKBONES),
        weights=weights,
        pooling=cast("Pooling", pooling),
        side_px=side,
        roi=roi,
        batch_size=batch_size,
        n_workers=workers,
        replace=replace,
        reader=reader,
    )
    summary = build_store(dataset, store, settings)
    if json:
        shell.print_json(_as_json(summary))
    else:
        _show(summary)
    if summary.n_failed > max_failures:
        raise typer.Exit(shell.EXIT_INCOMPLETE)


@app.command()
def synth(
    folder: Annotated[Path, typer.Argument(help="Folder to write the package to.", show_default=False)],
    species: Annotated[int, typer.Option("--species", help="Number of invented species.")] = 6,
    observations: Annotated[int, typer.Option("--observations", help="Plants per species.")] = 8,
    authors: Annotated[int, typer.Option("--authors", help="Number of photographers.")] = 5,
    side: Annotated[int, typer.Option("--side", help="Side of the photographs in px.")] = 240,
    corrupt: Annotated[int, typer.Option("--corrupt", help="Number of truncated photographs.")] = 1,
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
    )
    summary = synthesise(folder, settings)
    facts = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(summary).items()}
    if json:
        shell.print_json(cast("dict[str, Json]", facts))
    else:
        shell.print_table(
            "Drawn", ["what", "value"], [[name.removeprefix("n_"), str(value)] for name, value in facts.items()]
        )


def main(argv: Sequence[str] | None = None) -> None:
    """Run `featstore`."""
    shell.run(app, argv)


def _as_json(summary: BuildSummary) -> dict[str, Json]:
    return {
        "store": str(summary.store),
        "dataset": summary.dataset,
        "backbones": list(summary.backbones),
        "found": summary.n_found,
        "done": summary.n_done,
        "failed": summary.n_failed,
        "decoded": summary.n_decoded,
        "feature_rows": summary.n_rows,
        "seconds": round(summary.seconds, 3),
        "images_per_second": round(summary.images_per_second, 3),
        "whole_image_kept": summary.fallbacks,
        "failures": [{"image_id": image_id, "reason": reason} for image_id, reason in summary.failures],
        "warnings": list(summary.warnings),
        "random_weights": summary.random_weights,
    }


def _show(summary: BuildSummary) -> None:
    from textwrap import shorten

    from featstore.build import failures_told

    for warning in summary.warnings:
        shell.warn(shorten(warning, 300, placeholder=f" ... ({len(warning)} characters; all of them with --json)"))
    row = [
        str(summary.n_found), str(summary.n_done), str(summary.n_failed), str(summary.n_decoded), str(summary.n_rows),
        f"{summary.seconds:.1f}", f"{summary.images_per_second:.2f}",
    ]  # fmt: skip
    columns = ["found", "done", "failed", "decoded now", "rows now", "seconds", "images/s"]
    shell.print_table(f"{summary.dataset} -> {summary.store}", columns, [row])
    if summary.failures:
        shell.warn(f"{summary.n_failed} photographs cannot be used: {failures_told(summary)}")
    if summary.fallbacks:
        shell.say(f"{summary.fallbacks} photographs were kept whole, because no region was found in them.")
    if summary.random_weights:
        shell.warn("random weights: these features show that everything runs and say nothing about plants.")


if __name__ == "__main__":
    main()
