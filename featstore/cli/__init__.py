"""The command line `featstore`: photographs become a feature store that can be looked into and trusted."""

from __future__ import annotations

from collections.abc import Sequence

from featstore import shell
from featstore.cli.building import build
from featstore.cli.doctoring import doctor
from featstore.cli.drawing import synth
from featstore.cli.exchanging import export, import_
from featstore.cli.inspecting import explain, info, verify
from featstore.cli.pictures import preview
from featstore.cli.system import system
from featstore.cli.upkeep import forget, repair

NAMES: dict[str, shell.Names] = {
    "--backbone": shell.listed_in("featstore.backbones.table", "BACKBONES"),
    "--engine": shell.listed_in("featstore.backbones.engines", "ENGINES"),
    "--pooling": lambda: ("avg", "max"),
    "--reader": shell.listed_in("featstore.readers", "READERS"),
    "--roi": shell.listed_in("featstore.roi", "RECIPES"),
    "--split": lambda: ("train", "valid", "test"),
    "--view": shell.listed_in("featstore.catalog", "VIEWS"),
    "--weights": lambda: ("imagenet", "random", "shipped"),
}
app = shell.new_app("Turn photographs into a feature store that every later step reads.", "featstore", NAMES)
for command in (build, preview, info, verify, repair, explain, doctor, export, forget, synth, system):
    app.command()(command)
# `import` is a word of the language.
app.command("import")(import_)


def main(argv: Sequence[str] | None = None) -> None:
    """Run `featstore`."""
    shell.run(app, argv)
