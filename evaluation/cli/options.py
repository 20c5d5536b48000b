"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

TopOption = Annotated[
    list[int] | None,
    typer.Option("--top", metavar="K", help="Also score Top-K, as top_K in the files; repeatable. 1, 3 and 5 always."),
]
UnknownAuthorOption = Annotated[
    Literal["own", "one"],
    typer.Option(
        "--unknown-author",
        help="Observations without author, in S and in intervals: own: each a user of its own; one: all one user's.",
    ),
]
PapersOption = Annotated[
    Path | None,
    typer.Option("--papers", metavar="STORE|DATASET", help="Feature store or data set that tells species and taxa."),
]
