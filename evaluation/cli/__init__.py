"""The command line `evaluate`: what predictions are worth, observation by observation."""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.cli.fusing import fuse
from evaluation.cli.gain import article, gain
from evaluation.cli.identifying import identify
from evaluation.cli.official import check_run, score, write_run
from evaluation.cli.prior import prior
from evaluation.cli.reporting import report
from evaluation.cli.serving import serve
from evaluation.cli.slicing import slices
from evaluation.cli.taxonomy import taxonomy
from evaluation.cli.unknown import unknown
from featstore import shell


def _rules() -> list[str]:
    from evaluation.recipes import SETS

    return [*SETS, *SETS["all"]]


NAMES: dict[str, shell.Names] = {
    "--align": lambda: ("image", "observation"),
    "--by": shell.listed_in("evaluation.slices", "SLICES"),
    "--calibrate": lambda: ("none", "all", "view"),
    "--choose-on": lambda: ("valid", "oof"),
    "--image-rule": shell.listed_in("evaluation.rules", "RULES"),
    "--layout": lambda: ("auto", "2014", "2014-image", "2020", "2022"),
    "--learn-on": lambda: ("oof", "valid", "train"),
    "--model-rule": shell.listed_in("evaluation.rules", "RULES"),
    "--rank": lambda: ("species", "genus", "family"),
    "--rule": _rules,
    "--score": shell.listed_in("evaluation.unknown.evidence", "REJECTIONS"),
    "--split": lambda: ("train", "valid", "test"),
    "--ties": lambda: ("rank", "average"),
}
app = shell.new_app(
    "Fuse the predictions of several images and models, and score them per observation.", "evaluate", NAMES
)
for command in (
    *(fuse, article, gain, slices, score, check_run, write_run, unknown, prior, taxonomy, report),
    *(identify, serve),
):
    app.command()(command)


def main(argv: Sequence[str] | None = None) -> None:
    """Run `evaluate` and leave the process."""
    shell.run(app, argv)
