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

app = shell.new_app("Fuse the predictions of several images and models, and score them per observation.")
for command in (
    fuse,
    article,
    gain,
    slices,
    score,
    check_run,
    write_run,
    unknown,
    prior,
    taxonomy,
    report,
    identify,
    serve,
):
    app.command()(command)


def main(argv: Sequence[str] | None = None) -> None:
    """Run `evaluate` and leave the process."""
    shell.run(app, argv)
