"""`featstore doctor`: copies, doubtful labels, strangers and small classes of a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featstore import shell
from featstore.cli.building import StoreArgument

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


def doctor(
    store: StoreArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for findings, exclusion list and pictures.")] = Path(
        "doctor"
    ),
    backbone: Annotated[
        str, typer.Option("--backbone", help="Features to compare by. [default: the first of the store]")
    ] = "",
    k: Annotated[int, typer.Option("--neighbours", help="Neighbours that are looked at.")] = 20,
    per_kind: Annotated[int, typer.Option("--per-kind", help="Findings of each kind to draw; 0 draws nothing.")] = 24,
    json: shell.JsonOption = False,
) -> None:
    """Examine a data set by its features: copies, leaks between splits, doubtful labels, strangers, small classes.

    Findings are suggestions: look at the pictures, then pass exclusions.csv (as it is, or as you changed it) to
    `heads compare --exclude`.

    For example `featstore doctor features.zarr --backbone resnet50 --out doctor/`
    """
    from featstore.care.doctor import DoctorSettings, counts, examine, exclusions_of
    from featstore.care.gallery import draw_findings
    from featstore.errors import ImageError, counted
    from featstore.exclusions import write_exclusions
    from featstore.images import load_photograph
    from featstore.provenance import write_text
    from featstore.store import Store
    from featstore.table import load_table

    opened = Store.open(store)
    table = load_table(opened, [backbone or opened.backbones[0]])
    papers = table.papers
    paths = {str(key): opened.root / str(path) for key, path in zip(papers["image_id"], papers["path"], strict=True)}

    def load(image_id: str) -> NDArray[np.uint8] | None:
        try:
            return load_photograph(paths[image_id]).pixels
        except ImageError:
            return None

    random = opened.identity(table.backbones[0]).weights.startswith("random")
    findings = examine(table, DoctorSettings(k=k), load)
    exclusions = exclusions_of(findings)
    write_text(out / "findings.csv", findings.to_csv(index=False, lineterminator="\n"))
    write_exclusions(exclusions, out / "exclusions.csv")
    drawn: list[Path] = []
    if per_kind:
        names = papers["species"].where(papers["species"] != "", papers["class_id"])
        drawn = draw_findings(findings, paths, dict(zip(papers["image_id"], names, strict=True)), out, per_kind)
    if random:
        shell.warn("random weights: what these features have in common says nothing about plants, nor do the findings.")
    if json:
        shell.print_json(
            {
                "schema": "doctor/1",
                "photographs": len(table),
                "backbone": table.backbones[0],
                "random_weights": random,
                "findings": dict(counts(findings)),
                "suggested_exclusions": len(exclusions),
                "files": [str(path) for path in (out / "findings.csv", out / "exclusions.csv", *drawn)],
            }
        )
        return
    _show(findings, f"{counted(len(table), 'photograph')} by {table.backbones[0]}")
    shell.say(f"written: {out / 'findings.csv'}, {out / 'exclusions.csv'} ({len(exclusions)} suggested)")
    for path in drawn:
        shell.say(f"drawn: {path}")


def _show(findings: pd.DataFrame, title: str) -> None:
    from featstore.care.doctor import counts

    rows = []
    for kind, number in counts(findings).items():
        of_kind = findings[findings["kind"] == kind]
        n_exclude = int((of_kind["suggestion"] == "exclude").sum())
        first = f"{of_kind['image_id'].iloc[0]}: {of_kind['detail'].iloc[0]}" if number else "-"
        rows.append([kind.replace("_", " "), f"{number:,}", f"{n_exclude:,}", first])
    shell.print_table(title, ["found", "number", "exclude", "for example"], rows)
