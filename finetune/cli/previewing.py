"""`finetune preview`: what augmentation does to photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featstore import shell
from finetune.cli.options import SetOption


def preview(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Feature store of the photographs.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", help="The picture, a PNG.")] = Path("augmentation.png"),
    per_row: Annotated[int, typer.Option("--per-row", help="Varied pictures in each row, 1 to 20.")] = 8,
    side: Annotated[
        int | None, typer.Option("--side", help="Side of the pictures in px. [default: that of the stored features]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Another seed shows other photographs and draws. [default: 0]")
    ] = None,
    config: shell.SettingsFileOption = None,
    assignment: SetOption = None,
    photos: Annotated[
        Path | None, typer.Option("--photos", help="Where the photographs are now, if they have moved.")
    ] = None,
    as_json: shell.JsonOption = False,
) -> None:
    """Draw a sheet of augmented photographs: one row per group, the last as in training.

    For example:

    - `finetune preview features.zarr`

    - `finetune preview features.zarr --config recipe.toml --set augment.noise=0 --seed 3 --out augmentation.png`
    """
    from featstore.errors import counted
    from finetune.config import load_settings
    from finetune.preview import draw_preview

    settings = load_settings(config, {"seed": seed, "side_px": side}, assignment or (), "preview")
    drawn = draw_preview(store, settings, out, n=per_row, photos=photos)
    if as_json:
        shell.print_json(
            {
                "schema": "preview/1",
                "sheet": str(drawn.path),
                "photographs": list(drawn.photographs),
                "failures": dict(drawn.failures),
            }
        )
    else:
        shell.print_line(
            f"{drawn.path} shows {counted(len(set(drawn.photographs)), 'photograph')}, one group in each row."
        )
    if drawn.failures:
        told = counted(len(drawn.failures), "photograph") + " could not be used"
        shell.warn_of_each(told, drawn.failures.items(), "--json lists all")
