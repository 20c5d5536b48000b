"""The work of `finetune article` and `finetune demo`: look, measure, work the steps off, read what they found."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from featstore import shell
from featstore.backbones import random_seed
from featstore.backbones.sources import weights_source
from featstore.errors import WeightsError
from featstore.provenance import free_bytes, write_json
from featstore.store.lease import only_writer
from finetune.study.forecast import Forecast, foresee, sides
from finetune.study.journal import Journal
from finetune.study.measure import REFUSED, Request, Speeds
from finetune.study.photographs import Photographs, look_at
from finetune.study.plan import ArticleSettings, article_steps
from finetune.study.reading import study_table
from finetune.study.runner import LOGS, Outcome, call, is_done, run_steps
from finetune.study.step import Step, StepError, digests
from finetune.study.table import StudyTable
from finetune.study.variations import HEADS

SPEEDS = "speeds.json"


@dataclass(frozen=True)
class Plan:
    """A study before it begins.

    Attributes
    ----------
    settings, steps, photographs, forecast
        What is asked for, what is to be done, about what, and what it will take.
    to_download
        Networks whose weights are not on this machine.
    free_bytes
        Room on the disk.
    """

    settings: ArticleSettings
    steps: tuple[Step, ...]
    photographs: Photographs
    forecast: Forecast
    to_download: tuple[str, ...]
    free_bytes: int


def plan_article(settings: ArticleSettings, *, dry: bool) -> Plan:
    """Read the papers, find the weights, measure this machine; nothing is computed yet.

    Parameters
    ----------
    dry
        Download nothing and write nothing: weights that are not there are stood in for by random ones.

    Raises
    ------
    PhytobenchError
        If data set, settings or weights cannot be used.
    """
    # Weights that are named and not there are refused before a hundred thousand papers are read.
    to_download = _absent(settings)
    photographs = look_at(settings.data)
    steps = article_steps(settings, photographs.digest)
    done = what_is_done(steps, settings.out)
    request = _request(settings, photographs, to_download if dry else ())
    with _speeds_folder(settings.out, dry=dry) as folder:
        speeds = _speeds(request, folder)
    forecast = foresee(settings, steps, done, photographs, speeds)
    return Plan(settings, tuple(steps), photographs, forecast, to_download, free_bytes(settings.out))


def what_is_done(steps: Sequence[Step], out: Path) -> dict[str, bool]:
    """By name of step, whether it need not run."""
    wanted, journal = digests(steps), Journal(out)
    return {step.name: is_done(step, wanted[step.name], journal) for step in steps}


def run_article(plan: Plan) -> tuple[list[Outcome], StudyTable]:
    """Do what is to be done, and read what it found; also what there is when a step has failed.

    Raises
    ------
    LockedError
        If another process works in the same folder.
    """
    settings = plan.settings
    with only_writer(settings.out):
        outcomes = run_steps(plan.steps, settings.out)
        table = study_table(settings)
        remarks = list(table.remarks)
        if random_seed(settings.weights) is not None:
            remarks.append("RANDOM weights: these figures show that everything runs and say nothing about plants.")
        table = replace(table, remarks=tuple(remarks))
        table.write(settings.out)
    return outcomes, table


def run_demo(steps: Sequence[Step], out: Path) -> list[Outcome]:
    """Work the steps of the demo off.

    Raises
    ------
    LockedError
        If another process works in the same folder.
    """
    with only_writer(out):
        return run_steps(steps, out)


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """The code of the first step that failed, else 3 where one was done with losses, else 0."""
    failed = [outcome.code or 1 for outcome in outcomes if outcome.state == "failed"]
    losses = [shell.EXIT_INCOMPLETE for outcome in outcomes if outcome.state == "incomplete"]
    return next(iter([*failed, *losses]), 0)


def _absent(settings: ArticleSettings) -> tuple[str, ...]:
    """Networks whose weights have to be downloaded.

    Raises
    ------
    WeightsError
        If a file is named that is not there.
    """
    return tuple(
        name for name in settings.backbones if weights_source(name, settings.weights, sides(settings)[name]) is None
    )


def _request(settings: ArticleSettings, photographs: Photographs, stood_in_for: Sequence[str]) -> Request:
    return Request(
        root=str(photographs.root),
        photographs=photographs.sample,
        recipes=tuple(dict.fromkeys(way.roi for way in settings.variations)),
        weights={name: "random" if name in stood_in_for else settings.weights for name in settings.backbones},
        side_px=sides(settings),
        heads=HEADS,
        size=(photographs.n_train - photographs.n_valid, photographs.n_classes, photographs.n_valid),
    )


def _speeds(request: Request, folder: Path) -> Speeds:
    """Measure, unless that has been done for the same request.

    Raises
    ------
    WeightsError
        If the weights of a network are missing or cannot be downloaded.
    """
    asked, answer, log = folder / "asked.json", folder / SPEEDS, folder / LOGS / "00-measure.log"
    text = json.loads(json.dumps(asdict(request)))
    try:
        if json.loads(asked.read_text(encoding="utf-8")) == text:
            return Speeds.read(answer)
    except (OSError, ValueError, TypeError):
        pass  # absent, or of another version: measured anew
    answer.unlink(missing_ok=True)
    shell.say("Measuring this machine with a few photographs, to tell how long everything takes.")
    write_json(asked, text)
    code, last = call(["measure", str(asked), str(answer)], log)
    refused = folder / f"{SPEEDS}{REFUSED}"
    if refused.is_file():
        expected, got, remedy = json.loads(refused.read_text(encoding="utf-8"))["error"]
        refused.unlink()
        raise WeightsError(expected, got, remedy)
    if code:
        got = f"exit code {code} ({last})"
        raise StepError("every network to take a batch of photographs", got, f"What it said is in {log}.", code)
    return Speeds.read(answer)


@contextmanager
def _speeds_folder(out: Path, *, dry: bool) -> Iterator[Path]:
    """Where speeds are kept; a dry run looks at what is there and writes elsewhere."""
    if not dry:
        yield out
        return
    with tempfile.TemporaryDirectory() as folder:
        for name in ("asked.json", SPEEDS):
            if (out / name).is_file():
                shutil.copy(out / name, folder)
        yield Path(folder)
