"""`featstore info | verify | explain`: what a store holds, whether it is whole, and where a row comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from featstore import shell
from featstore.cli.building import StoreArgument
from featstore.errors import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featstore.care.explain import Story
    from featstore.care.faults import Fault, Verdict
    from featstore.care.survey import Survey
    from featstore.provenance import Json


def info(
    store: StoreArgument,
    pictures: Annotated[
        Path | None,
        typer.Option("--pictures", help="Draw how classes, views, votes and authors are distributed, into FOLDER."),
    ] = None,
    max_failures: Annotated[
        int | None, typer.Option("--max-failures", help="Exit with 3 when more photographs than this have failed.")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Exit with 0 even if photographs have no row.")
    ] = False,
    json: shell.JsonOption = False,
) -> None:
    """Show what a store holds: per view, split and backbone, sizes, and what failed and why.

    The exit code is 3 if photographs that can be used have no row of some features.

    For example:

    - `featstore info features.zarr`

    - `featstore info features.zarr --pictures pictures/`
    """
    from featstore.care.survey import survey_store
    from featstore.store import Store

    survey, papers = survey_store(Store.open(store))
    drawn: list[Path] = []
    if pictures is not None:
        from featstore.care.census import draw_census

        drawn = draw_census(papers, pictures)
    if json:
        shell.print_json(survey.to_json() | {"pictures": [str(path) for path in drawn]})
    else:
        _show_survey(survey)
        for path in drawn:
            shell.say(f"drawn: {path}")
    if survey.n_missing:
        told = counted(survey.n_missing, "photograph has", "photographs have")
        shell.warn(f"{told} no row; a build or import completes them")
    if (survey.n_missing and not allow_missing) or (max_failures is not None and survey.n_failed > max_failures):
        raise typer.Exit(shell.EXIT_INCOMPLETE)


def verify(store: StoreArgument, json: shell.JsonOption = False) -> None:
    """Read every byte of a store and compare it with its checksums.

    The exit code is 3 if any differs, or if rows are still to be made.

    For example `featstore verify features.zarr`
    """
    from featstore.care.verify import verify_store
    from featstore.store import Store

    verdict = verify_store(Store.open(store))
    if json:
        shell.print_json({"schema": "verified/1", **verdict_json(verdict)})
    else:
        show_verdict(verdict)
        tell_pending(verdict)
    if not verdict.sound and not json:
        shell.say(f"featstore repair {store} makes their rows anew.")
    if not verdict.sound or verdict.pending:
        raise typer.Exit(shell.EXIT_INCOMPLETE)


def explain(
    store: StoreArgument,
    image: Annotated[
        str,
        typer.Argument(metavar="IMAGE", help="A photograph's image_id, file name, or path.", show_default=False),
    ],
    json: shell.JsonOption = False,
) -> None:
    """Tell the story of one photograph: its papers, its file, its region, and what made each of its rows.

    A file name that several photographs have is refused with all of them.

    For example:

    - `featstore explain features.zarr 4711`

    - `featstore explain features.zarr photos/rosa/1.jpg`
    """
    from featstore.care.explain import explain as tell
    from featstore.store import Store

    story = tell(Store.open(store), image)
    if json:
        shell.print_json(story.to_json())
    else:
        _show_story(story)


def _show_survey(survey: Survey) -> None:
    from featstore.tiny import tiny_warning

    splits = list(next(iter(survey.photographs.values()), {}))
    rows = [_count_row(view, of_view) for view, of_view in survey.photographs.items()]
    totals = {split: sum(of_view[split] for of_view in survey.photographs.values()) for split in splits}
    title = f"{survey.dataset} in {survey.location}: {counted(survey.n_found, 'photograph')}"
    shell.print_table(title, ["view", *splits, "all"], [*rows, _count_row("all", totals)])
    shell.print_table(
        f"{survey.n_done:,} done, {survey.n_failed:,} failed, {survey.n_pending:,} pending",
        ["features", "backbone", "weights", "side", "pooling", "recipe", "engine", "d", "rows", "missing", "MB"],
        [
            [facts.name, facts.identity.backbone,
             f"{_short(facts.identity.weights)} {facts.identity.weights_sha256[:8]}",
             str(facts.identity.side_px or "-"), facts.identity.pooling or "-", facts.recipe, facts.identity.engine,
             f"{facts.dimension:,}", f"{facts.n_rows:,}", f"{facts.missing:,}", f"{facts.size_bytes / 1e6:.1f}"]
            for facts in survey.features
        ],
    )  # fmt: skip
    rows = [[facts.name, *_count_row(view, of_view)]
            for facts in survey.features for view, of_view in facts.rows.items()]  # fmt: skip
    shell.print_table("Rows", ["features", "view", *splits, "all"], rows)
    shell.print_table("On disk", ["MB", "files"], [[f"{survey.size_bytes / 1e6:.1f}", f"{survey.n_files:,}"]])
    if survey.whole:
        shell.print_table("Kept whole", ["photographs", "why"], [[f"{n:,}", why] for why, n in survey.whole.items()])
    if survey.failures:
        shell.print_table("Failed", ["image_id", "why"], [list(failure) for failure in survey.failures[:20]])
        if len(survey.failures) > 20:
            shell.say(f"... and {len(survey.failures) - 20} more; all of them with --json.")
    for warning in survey.warnings:
        shell.warn(warning)
    if survey.n_tiny:
        shell.warn(tiny_warning(survey.n_tiny, survey.n_done))


def _count_row(view: str, counts: Mapping[str, int]) -> list[str]:
    return [view, *(f"{n:,}" for n in (*counts.values(), sum(counts.values())))]


def _short(weights: str) -> str:
    return Path(weights).name if "/" in weights else weights


def verdict_json(verdict: Verdict) -> dict[str, Json]:
    """What a verification found, as one object."""
    from dataclasses import asdict

    return {
        "sound": verdict.sound,
        "units": verdict.n_units,
        "rows": verdict.n_rows,
        "bytes": verdict.n_bytes,
        "faults": [cast("dict[str, Json]", asdict(fault)) for fault in verdict.faults],
        "pending": [cast("dict[str, Json]", asdict(part)) for part in verdict.pending],
    }


def show_verdict(verdict: Verdict) -> None:
    """Show how much was read, and every fault."""
    columns = ["units read", "rows", "MB", "faults"]
    counts = [f"{verdict.n_units:,}", f"{verdict.n_rows:,}", f"{verdict.n_bytes / 1e6:.1f}", f"{len(verdict.faults):,}"]
    shell.print_table("Verified", columns, [counts])
    if verdict.faults:
        shell.print_table("Faults", ["what", "where", "photographs", "found"], [_fault_row(f) for f in verdict.faults])


def tell_pending(verdict: Verdict) -> None:
    """Tell what a build has still to do, if there is anything."""
    if verdict.pending:
        numbers: dict[tuple[str, str], int] = {}
        for part in verdict.pending:
            numbers[part.view, part.detail] = numbers.get((part.view, part.detail), 0) + len(part.image_ids)
        rows = [[view, str(number), detail] for (view, detail), number in numbers.items()]
        shell.print_table("Still to be made", ["view", "photographs", "found"], rows)
        told = counted(verdict.n_pending, "photograph has", "photographs have")
        shell.warn(f"{told} no row yet, which is no damage: featstore build with the data set completes them")


def _fault_row(fault: Fault) -> list[str]:
    from featstore.errors import listed

    return [fault.kind, fault.where, listed(list(fault.image_ids), 3), fault.detail]


def _show_story(story: Story) -> None:
    facts = [
        ["photograph", story.path], ["file", story.file], ["sha256", story.sha256 or "-"],
        ["status", f"{story.status}{': ' + story.reason if story.reason else ''}"],
        ["row", f"{story.place} of {story.view} (unit {story.unit})" if story.place >= 0 else "-"],
        *[[name, str(value)] for name, value in story.papers.items() if value not in {"", None} and name != "image_id"],
    ]  # fmt: skip
    shell.print_table(f"{story.image_id}, {story.view}", ["what", "value"], facts)
    for row in story.rows:
        box = " ".join(map(str, row.region)) if row.region else "-"
        region = f"{box}; {row.region_reason}" if row.region_reason else box
        counts = "yes" if row.counts else f"no: {row.why_not}"
        lines = [["counts", counts], ["region (top left bottom right)", region]]
        if row.identity is not None:
            identity = row.identity
            versions = " ".join(f"{name} {version}" for name, version in identity.versions.items())
            shape = f"{identity.side_px} px, {identity.pooling} pooling, {identity.precision}"
            lines += [
                ["network", f"{identity.backbone}, {shape}, batches of {identity.batch_size}"],
                ["weights", f"{identity.weights}, sha256 {identity.weights_sha256}"],
                ["cut by", identity.roi],
                ["computed by", f"{identity.engine}; {versions}"],
            ]
        shell.print_table(f"Features {row.name}", ["what", "value"], lines)
