"""Options that several commands share."""

from __future__ import annotations

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
SplitOption = Annotated[
    str | None, typer.Option("--split", help="train, valid or test. [default: test where there is one, else valid]")
]
ReportedOption = Annotated[
    str | None, typer.Option("--split", help="Split to report. [default: test where there is one, else valid]")
]
AlignOption = Annotated[
    str,
    typer.Option("--align", help="image: members saw the same images; observation: other images of the same plants."),
]
TtaOption = Annotated[bool, typer.Option("--tta", help="Fuse test-time augmented predictions where a run has them.")]
RuleOption = Annotated[
    str,
    typer.Option("--rule", help="How images and models are fused, a fixed rule: mean, product, median, ..."),
]
PapersOption = Annotated[
    str | None,
    typer.Option("--papers", metavar="STORE|DATASET", help="Feature store or data set that tells species and taxa."),
]
