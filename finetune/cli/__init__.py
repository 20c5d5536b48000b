"""The command line `finetune`: a backbone and its head become one network, trained in small steps."""

from __future__ import annotations

from collections.abc import Sequence

from featstore import shell
from finetune.cli.asking import predict, show, variants
from finetune.cli.previewing import preview
from finetune.cli.studying import article, demo
from finetune.cli.training import run

NAMES: dict[str, shell.Names] = {
    "--backbone": shell.listed_in("featstore.backbones.table", "BACKBONES"),
    "--batch-norm": lambda: ("frozen", "train", "recalibrate"),
    "--class-weight": lambda: ("none", "balanced"),
    "--finetune": shell.listed_in("featstore.backbones.table", "BACKBONES"),
    "--precision": lambda: ("float32", "mixed_bfloat16", "mixed_float16"),
    "--weights": lambda: ("imagenet", "random", "shipped"),
}
app = shell.new_app("Train whole networks: the best backbone together with its fitted head.", "finetune", NAMES)
for command in (run, show, predict, variants, preview, article, demo):
    app.command()(command)


def main(argv: Sequence[str] | None = None) -> None:
    """Run `finetune` and leave the process."""
    shell.run(app, argv)
