"""`featstore export | import`: features leave as one file, and features that were computed elsewhere come in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featstore import shell
from featstore.cli.building import StoreArgument

if TYPE_CHECKING:
    from featstore.exchange.importing import ImportSummary


def export(
    store: StoreArgument,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Ends in .parquet, .npz or .h5.", show_default=False)],
    backbone: Annotated[
        list[str] | None, typer.Option("--backbone", help="Name of features; repeat for several. [default: all]")
    ] = None,
    view: Annotated[
        list[str] | None, typer.Option("--view", help="Only photographs of this view; repeat for several.")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option("--split", help="Only photographs of this split of the data set; repeatable.")
    ] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Exit with 0 even if photographs have no row.")
    ] = False,
    json: shell.JsonOption = False,
) -> None:
    """Write papers and features into one file for other programs.

    Rows are photographs with features of every name asked for; if others can be used and have none, the exit code is
    3. A file says what made its features.

    For example:

    - `featstore export features.zarr features.parquet`

    - `featstore export features.zarr leaves.npz --view Leaf --view LeafScan --backbone resnet50`
    """
    from featstore.exchange.export import export_table
    from featstore.store import Store
    from featstore.table import open_table

    opened = Store.open(store)
    table = open_table(opened, backbone or opened.backbones, views=view, splits=split)
    n_rows = export_table(table, out)
    if json:
        shell.print_json(
            {
                "schema": "exported/1",
                "file": str(out),
                "rows": n_rows,
                "without_row": table.n_missing,
                "features": list(table.backbones),
            }
        )
    else:
        size = f"{out.stat().st_size / 1e6:.1f}"
        shell.print_table("Exported", ["file", "rows", "features", "MB"],
                          [[str(out), f"{n_rows:,}", " ".join(table.backbones), size]])  # fmt: skip
    if table.n_missing:
        n_asked = n_rows + table.n_missing
        shell.warn(f"{table.n_missing} of {n_asked} photographs have no row; a build or import completes them")
    if table.n_missing and not allow_missing:
        raise typer.Exit(shell.EXIT_INCOMPLETE)


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Features in .h5, .npz or .parquet.", show_default=False)
    ],
    name: Annotated[str, typer.Option("--as", help="What the features are called in the store.", show_default=False)],
    store: Annotated[str, typer.Option("--store", help="The store that they join, or a new one.")] = "features.zarr",
    dataset: Annotated[
        Path | None, typer.Option("--dataset", help="The photographs' data set, where the store is new or has grown.")
    ] = None,
    ids: Annotated[str, typer.Option("--ids", help="Array or column of ids. [default: chosen by looking]")] = "",
    features: Annotated[
        str,
        typer.Option(
            "--features",
            help="Array or column of features, or what columns of one feature each begin with. [default: found]",
        ),
    ] = "",
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace other features of this name instead of refusing.")
    ] = False,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Exit with 0 even if photographs or ids have no partner.")
    ] = False,
    json: shell.JsonOption = False,
) -> None:
    """Bring in features that were computed elsewhere (DINOv2, BioCLIP, ...), to be compared like any other.

    Ids are matched with image_id, else with the path, else with the file's name. The rows are marked as foreign: they
    can be compared and fused, not fine-tuned.

    For example:

    - `featstore import dino.npz --as dinov2 --store features.zarr`

    - `featstore import bioclip.parquet --as bioclip --store new.zarr --dataset photos/`
    """
    from featstore.build.settings import check_feature_name
    from featstore.exchange.foreign import read_foreign
    from featstore.exchange.importing import import_features
    from featstore.readers import read_dataset
    from featstore.store.place import open_place

    check_feature_name(name)
    foreign = read_foreign(file, ids, features)
    catalog = read_dataset(dataset) if dataset is not None else None
    summary = import_features(open_place(store), name, foreign, catalog=catalog, replacing=replace)
    if json:
        shell.print_json(
            {
                "schema": "imported/1",
                "store": summary.location,
                "features": summary.name,
                "dimension": summary.dimension,
                "photographs": summary.n_photographs,
                "rows": summary.n_rows,
                "without_row": summary.n_without,
                "failed": summary.n_failed,
                "unknown_ids": list(summary.unknown),
            }
        )
    else:
        _show(summary)
    if (summary.n_without or summary.n_failed or summary.unknown) and not allow_missing:
        raise typer.Exit(shell.EXIT_INCOMPLETE)


def _show(summary: ImportSummary) -> None:
    from featstore.errors import listed

    shell.print_table(
        f"{summary.name} -> {summary.location}",
        ["photographs", "rows", "without a row", "failed", "d"],
        [[f"{n:,}" for n in (summary.n_photographs, summary.n_rows, summary.n_without, summary.n_failed,
                             summary.dimension)]],
    )  # fmt: skip
    if summary.unknown:
        shell.warn(
            f"{len(summary.unknown)} ids of the file are no photograph of the store: {listed(list(summary.unknown))}"
        )
