"""`featstore preview`: contact sheets of what each view's recipe makes of the photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featstore import shell


def preview(
    dataset: Annotated[
        Path,
        typer.Argument(
            metavar="DATASET", help="PlantCLEF folder, CSV/Parquet table, or class folders.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the sheets.")] = Path("preview"),
    roi: Annotated[
        str, typer.Option("--roi", help="Region of interest: article, ibm, lab, none, or a TOML file.")
    ] = "article",
    per_view: Annotated[int, typer.Option("--per-view", help="Photographs on the sheet of each view.")] = 12,
    reader: Annotated[
        str | None, typer.Option("--reader", help="plantclef, table or folders. [default: chosen by looking]")
    ] = None,
    seed: shell.SeedOption = 0,
    json: shell.JsonOption = False,
) -> None:
    """Draw one contact sheet per view: photograph and box, mask, result, and why a whole image was kept.

    Regions go by view. Class folders tell no views, so nothing is cut from their photographs.

    For example:

    - `featstore preview photos/ --out preview/`

    - `featstore preview photos/ --roi mine.toml --per-view 24`
    """
    from featstore.care.preview import draw_sheets, uncut_told, views_told
    from featstore.errors import counted
    from featstore.readers import read_dataset
    from featstore.roi import load_recipe

    catalog, recipe = read_dataset(dataset, reader), load_recipe(roi)
    sheets = draw_sheets(catalog, recipe, out, n_per_view=per_view, seed=seed)
    if json:
        shell.print_json(
            {"schema": "sheets/1", "recipe": recipe.identity, "sheets": [str(path) for path in sheets],
             "warnings": list(catalog.warnings)}
        )  # fmt: skip
        return
    told = views_told(catalog, recipe)
    rows = [[view, f"{n:,}", what, str(path)] for (view, n, what), path in zip(told, sheets, strict=True)]
    title = f"{catalog.name}: regions of interest by the recipe {recipe.name}"
    shell.print_table(title, ["view", "photographs", "region", "sheet"], rows)
    for warning in catalog.warnings:
        shell.warn_in_short(warning)
    if lost := catalog.lost:
        told_lost = counted(len(lost), "photograph") + " cannot be used"
        shell.warn_of_each(told_lost, lost, "the store that `featstore build` makes lists all")
    if uncut := uncut_told(catalog, recipe):
        shell.say(uncut)
