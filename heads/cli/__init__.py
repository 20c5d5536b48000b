"""The command line `heads`: classifiers on stored features, compared fairly."""

from __future__ import annotations

from collections.abc import Sequence

from featstore import shell
from heads.cli.asking import list_heads, predict, show
from heads.cli.comparing import compare

NAMES: dict[str, shell.Names] = {
    "--backbone": shell.listed_in("featstore.backbones.table", "BACKBONES"),
    "--calibrate": lambda: ("none", "all", "view"),
    "--class-weight": lambda: ("none", "balanced"),
    "--head": shell.listed_in("heads.registry", "HEADS"),
    "--search": lambda: ("grid", "optuna"),
}
app = shell.new_app("Fit classifiers on stored features and compare them under one protocol.", "heads", NAMES)
for command in (compare, predict, show):
    app.command()(command)
# `list` is a word of the language.
app.command("list")(list_heads)


def main(argv: Sequence[str] | None = None) -> None:
    """Run `heads` and leave the process."""
    shell.run(app, argv)
