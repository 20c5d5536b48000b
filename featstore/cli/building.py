"""`featstore build`: photographs become a feature store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featstore import shell

if TYPE_CHECKING:
    from collections.abc import Sequence

    from featstore.build.forecast import BuildForecast
    from featstore.build.settings import BuildSettings
    from featstore.build.summary import BuildSummary
    from featstore.provenance import Json

StoreArgument = Annotated[
    str, typer.Argument(metavar="STORE", help="Folder or address of a feature store.", show_default=False)
]


def build(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET", help="PlantCLEF folder, CSV/Parquet table, or class folders.", show_default=False
        ),
    ],
    store: Annotated[
        str, typer.Option("--store", help="The store to create or complete: a folder, or s3://bucket/path.")
    ] = "features.zarr",
    backbone: Annotated[
        list[str] | None,
        typer.Option("--backbone", help="Network; repeat for several. [default: vgg16 vgg19 resnet50 inception_v3]"),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(
            "--weights",
            help="imagenet, random[:SEED], shipped, or a file or folder of weights; NAME=... for one backbone alone. "
            "[default: imagenet; seedling: shipped]",
        ),
    ] = None,
    pooling: Annotated[str, typer.Option("--pooling", help="Global pooling: avg or max.")] = "avg",
    side: Annotated[
        int | None, typer.Option("--side", help="Input side in px. [default: each network's own, 224 or 299]")
    ] = None,
    roi: Annotated[
        str, typer.Option("--roi", help="Region of interest: article, ibm, lab, none, or a TOML file.")
    ] = "article",
    name: Annotated[
        str,
        typer.Option("--as", help="Call the features NAME instead of their backbone; {backbone} stands for it."),
    ] = "",
    reader: Annotated[
        str | None, typer.Option("--reader", help="plantclef, table or folders. [default: chosen by looking]")
    ] = None,
    engine: Annotated[
        str, typer.Option("--engine", help="What computes the networks: keras, or openvino (an extra).")
    ] = "keras",
    batch_size: Annotated[
        int, typer.Option("--batch-size", help="Images per network call; a row's last bits depend on it.")
    ] = 16,
    workers: Annotated[int, typer.Option("--workers", help="Processes that decode; 0 decodes in this one.")] = 2,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace features that were made differently instead of refusing.")
    ] = False,
    any_version: Annotated[
        bool,
        typer.Option(
            "--any-version", help="Keep rows of other library versions or batch sizes instead of making them again."
        ),
    ] = False,
    content: Annotated[
        bool, typer.Option("--content", help="Look for changed photographs by their bytes, not by size and time.")
    ] = False,
    part: Annotated[
        str, typer.Option("--part", help="Work off share I of N, as in 2/8; start the others side by side.")
    ] = "1/1",
    scheduler: Annotated[
        str, typer.Option("--scheduler", help="Work on a Dask cluster: the address of its scheduler.")
    ] = "",
    shard_rows: Annotated[
        int,
        typer.Option(
            "--shard-rows", help="Rows per file in a new, very large store. [default: 128]", show_default=False
        ),
    ] = 0,
    max_failures: Annotated[
        int, typer.Option("--max-failures", help="Unusable photographs to accept before the exit code is 3.")
    ] = 0,
    dry_run: shell.DryRunOption = False,
    json: shell.JsonOption = False,
) -> None:
    """Extract the features of a data set; a second run does only what is missing.

    Each photograph is decoded once, cut to its view's region of interest and shown to every network. Photographs
    that cannot be used are listed with the reason and do not stop the run. A run that was killed is continued by
    the same command.

    For example:

    - `featstore build PlantCLEF2014/ --store features.zarr`

    - `featstore build photos.csv --store features.zarr --backbone mobilenet --roi none`

    - `featstore build photos/ --store features.zarr --backbone resnet50 --roi ibm --as resnet50-ibm`

    - `featstore build photos/ --backbone vgg16 --backbone seedling --weights random --weights seedling=shipped`

    - `featstore build photos/ --store s3://bucket/features.zarr --part 2/8`
    """
    from typing import cast

    from featstore.backbones import ARTICLE_BACKBONES, Pooling
    from featstore.build.build import build_store
    from featstore.build.settings import BuildSettings

    number, n_parts = _part(part)
    general, by_name = _weights(weights or ())
    settings = BuildSettings(
        backbones=tuple(backbone or ARTICLE_BACKBONES),
        weights=general,
        weights_by_name=by_name,
        pooling=cast("Pooling", pooling),
        side_px=side,
        engine=engine,
        batch_size=batch_size,
        roi=roi,
        name=name,
        n_workers=workers,
        replace=replace,
        any_version=any_version,
        content=content,
        part=number,
        n_parts=n_parts,
        scheduler=scheduler,
        shard_rows=shard_rows,
        reader=reader,
    )
    if dry_run:
        _foresee(dataset, store, settings, as_json=json)
        return
    summary = build_store(dataset, store, settings)
    if json:
        shell.print_json(_as_json(summary))
    else:
        _show(summary)
    left = summary.n_pending if n_parts == 1 else 0
    if summary.n_failed > max_failures or left:
        raise typer.Exit(shell.EXIT_INCOMPLETE)


def _foresee(dataset: Path, store: str, settings: BuildSettings, *, as_json: bool) -> None:
    from featstore.build.forecast import foresee_build

    ahead = foresee_build(dataset, store, settings)
    if as_json:
        shell.print_json(ahead.to_json())
        return
    show_forecast(ahead, f"{ahead.dataset} -> {ahead.location}: to be done")
    if ahead.n_images:
        shell.print_line("Speeds were measured just now, the networks with random weights. Nothing was written.")
    else:
        shell.print_line("Nothing to do: no photograph that can be used lacks a row.")


def show_forecast(ahead: BuildForecast, title: str) -> None:
    """Show what is to be computed, how fast, how long and into how much room."""
    rows = [
        [name, f"{n_rows:,}", f"{1 / ahead.networks_s[name]:.1f}" if n_rows else "-"]
        for name, n_rows in ahead.rows.items()
    ]
    rows.append(
        ["decoding, one process", f"{ahead.n_images:,}", f"{1 / ahead.decoding_s:.1f}" if ahead.n_images else "-"]
    )
    shell.print_table(title, ["what", "photographs", "images/s"], rows)
    if not ahead.n_images:
        return
    room = "" if ahead.free_bytes is None else f" of {ahead.free_bytes / 1e6:,.0f} MB free"
    time, start = shell.in_words(ahead.seconds), shell.in_words(ahead.start_s)
    shell.print_line(f"About {time} on this machine when nothing else runs, {start} of it to load the networks.")
    shell.print_line(f"Room: {ahead.n_bytes / 1e6:,.1f} MB{room}.")


def _weights(given: Sequence[str]) -> tuple[str, dict[str, str]]:
    """What all backbones get, and what single ones get instead."""
    from featstore.backbones import BACKBONES
    from featstore.errors import SettingsError

    pairs = [text.partition("=") for text in given]
    by_name = {name: weights for name, equals, weights in pairs if equals and name in BACKBONES}
    general = [text for text, (name, equals, _) in zip(given, pairs, strict=True) if not (equals and name in BACKBONES)]
    if len(general) > 1:
        raise SettingsError(
            "--weights once, and --weights NAME=... for single backbones", " and ".join(general), "Leave one out."
        )
    return next(iter(general), "imagenet"), by_name


def _part(text: str) -> tuple[int, int]:
    from featstore.errors import SettingsError

    number, _, n_parts = text.partition("/")
    if not (number.isdigit() and n_parts.isdigit()):
        raise SettingsError("--part I/N", repr(text), "Write for example 2/8 for the second of eight shares.")
    return int(number), int(n_parts)


def _as_json(summary: BuildSummary) -> dict[str, Json]:
    return {
        "schema": "build/1",
        "store": summary.location,
        "dataset": summary.dataset,
        "features": list(summary.names),
        "found": summary.n_found,
        "done": summary.n_done,
        "failed": summary.n_failed,
        "pending": summary.n_pending,
        "decoded": summary.n_decoded,
        "feature_rows": summary.n_rows,
        "new": len(summary.moves.new),
        "changed": summary.n_changed,
        "gone": list(summary.moves.gone),
        "renamed": [{"from": old, "to": new} for old, new in summary.moves.renamed],
        "seconds": round(summary.seconds, 3),
        "images_per_second": round(summary.images_per_second, 3),
        "seconds_by_stage": {stage: round(seconds, 3) for stage, seconds in summary.stages.items()},
        "whole_image_kept": summary.fallbacks,
        "tiny": summary.n_tiny,
        "failures": [{"image_id": image_id, "reason": reason} for image_id, reason in summary.failures],
        "warnings": list(summary.warnings),
        "random_weights": bool(summary.random_weights),
    }


def _show(summary: BuildSummary) -> None:
    from featstore.errors import counted, listed
    from featstore.tiny import tiny_warning

    for warning in summary.warnings:
        shell.warn_in_short(warning)
    row = [
        *(f"{n:,}" for n in (summary.n_found, summary.n_done, summary.n_failed, summary.n_pending)),
        f"{summary.n_decoded:,}", f"{summary.n_rows:,}", f"{summary.seconds:.1f}", f"{summary.images_per_second:.2f}",
    ]  # fmt: skip
    columns = ["found", "done", "failed", "pending", "decoded now", "rows now", "seconds", "images/s"]
    shell.print_table(f"{summary.dataset} -> {summary.location}", columns, [row])
    if summary.n_failed:
        told = f"{counted(summary.n_failed, 'photograph')} cannot be used"
        everything = f"`featstore info {summary.location} --json` lists all"
        shell.warn_of_each(told, summary.failures, everything)
    if summary.n_changed:
        told = counted(summary.n_changed, "photograph had changed and was", "photographs had changed and were")
        shell.say(f"{told} looked at again.")
    if summary.moves.renamed:
        pairs = [f"{old} -> {new}" for old, new in summary.moves.renamed]
        told = counted(
            len(pairs),
            "photograph has another name now and keeps its",
            "photographs have other names now and keep their",
        )
        shell.say(f"{told} features: {listed(pairs)}")
    if summary.moves.gone:
        told = counted(len(summary.moves.gone), "photograph is", "photographs are")
        shell.say(f"{told} gone: {listed(list(summary.moves.gone))}")
    if summary.fallbacks:
        told = counted(summary.fallbacks, "photograph was", "photographs were")
        shell.say(f"{told} kept whole, because no region was found in {'it' if summary.fallbacks == 1 else 'them'}.")
    if summary.n_tiny:
        shell.warn(tiny_warning(summary.n_tiny, summary.n_done))
    if summary.random_weights:
        names = listed(list(summary.random_weights))
        shell.warn(f"random weights in {names}: these features show that everything runs and say nothing about plants.")
