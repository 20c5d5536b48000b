"""The runner: works off the steps of a study that are not done, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TextIO, TypeAlias

import finetune
from featstore import shell
from featstore.errors import listed
from featstore.provenance import Json
from finetune.study.journal import Journal, Leave
from finetune.study.step import Step, StepError, digests

LOGS = "logs"
_LAST_LINES = 12
_POSIX = os.name == "posix"

State: TypeAlias = Literal["was done", "done", "incomplete", "failed", "not run"]


@dataclass(frozen=True)
class Outcome:
    """What became of a step.

    Attributes
    ----------
    step, state
        Which one, and what; ``incomplete`` is done with losses (exit code 3).
    code
        Its exit code, None where it was not run.
    seconds
        What it took, now or when it was done.
    log
        What it said.
    reason
        Why it failed or was not run, "" otherwise.
    """

    step: Step
    state: State
    code: int | None
    seconds: float
    log: Path
    reason: str = ""

    @property
    def is_there(self) -> bool:
        """Whether what it makes can be used."""
        return self.state in {"was done", "done", "incomplete"}

    def to_json(self) -> dict[str, Json]:
        """As one flat object."""
        return {
            "step": self.step.name,
            "command": self.step.line,
            "state": self.state,
            "code": self.code,
            "seconds": self.seconds,
            "log": str(self.log),
            "reason": self.reason,
        }

    def error(self) -> StepError:
        """What to tell of a step that failed."""
        return StepError(
            f"step {self.step.name} to reach its end",
            f"exit code {self.code} of `{self.step.line}` ({self.reason})",
            f"Everything that it said is in {self.log}; mend it and give the same command again: it goes on here.",
            self.code or 1,
        )


def is_done(step: Step, digest: str, journal: Journal) -> bool:
    """Whether a step was done without losses, with the same settings, and all that it made is still there."""
    note = journal.notes.get(step.name)
    return note is not None and note.code == 0 and note.digest == digest and step.is_whole


def run_steps(steps: Sequence[Step], folder: Path) -> list[Outcome]:
    """Work steps off in their order; those that were done are left, as is whatever needs one that failed.

    One that was done with losses is called again, in case they have been mended; it does not do anything twice.

    Parameters
    ----------
    steps
        Each behind those that it needs.
    folder
        Where journal and logs are kept.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupts; the step under way is interrupted first.
    """
    journal, wanted = Journal(folder), digests(steps)
    found: dict[str, Outcome] = {}
    for number, step in enumerate(steps, start=1):
        log = folder / LOGS / f"{number:02d}-{step.name}.log"
        missing = [name for name in step.needs if not found[name].is_there]
        note = journal.notes.get(step.name)
        if missing:
            reason = f"it needs {listed(missing)}"
            found[step.name] = Outcome(step, "not run", None, 0.0, log, reason)
            shell.warn(f"step {step.name} is not run: {reason}")
        elif note is not None and is_done(step, wanted[step.name], journal):
            found[step.name] = Outcome(step, "was done", 0, note.seconds or 0.0, log)
        else:
            shell.say(f"\n[{number}/{len(steps)}] {step.name}\n$ {step.line}")
            found[step.name] = _run(step, log, journal, wanted[step.name])
    return list(found.values())


def _run(step: Step, log: Path, journal: Journal, digest: str) -> Outcome:
    note = journal.notes.get(step.name)
    leave: Leave = note.next_leave(digest) if note else ""
    arguments = [*step.arguments(), *(step.when_changed if leave == "given" else ())]
    journal.begin(step.name, digest, step.line, leave)
    started = time.perf_counter()
    code, last = call(arguments, log)
    seconds = time.perf_counter() - started
    if code == shell.EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if code == 0 and not step.is_whole:
        code, last = 1, f"{listed([str(path) for path in step.outputs if not path.exists()])} was not written"
    journal.end(step.name, code, seconds)
    states: dict[int, State] = {0: "done", shell.EXIT_INCOMPLETE: "incomplete"}
    outcome = Outcome(step, states.get(code, "failed"), code, seconds, log)
    if outcome.is_there:
        return outcome
    outcome = replace(outcome, reason=last)
    shell.warn(f"step {step.name} ended with exit code {code}; steps that do not need it go on.")
    return outcome


def call(arguments: Sequence[str], log: Path) -> tuple[int, str]:
    """Run a command line of this package in a process of its own; what it says is shown and added to a log.

    Returns
    -------
    code : int
        Its exit code; 128 and more for a process that a signal has ended, as shells count.
    last : str
        Its error, or else its last line.

    Raises
    ------
    KeyboardInterrupt
        If the user interrupts, once the process has ended.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    home = str(Path(finetune.__file__).parent.parent)
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", "PYTHONPATH": os.pathsep.join(paths)}
    # -P: a folder of the user's that is called like a module is not it.
    words = [sys.executable, "-P", "-m", "finetune.study.child", *arguments]
    lines: deque[str] = deque(maxlen=_LAST_LINES)
    with (
        log.open("a", encoding="utf-8") as file,
        # A group of its own: Ctrl-C comes to this process alone, which hands it on once.
        subprocess.Popen(  # noqa: S603  # our own programs, without a shell
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
            encoding="utf-8", errors="replace", process_group=0 if _POSIX else None,
        ) as child,
    ):  # fmt: skip
        file.write(f"$ {' '.join(arguments)}\n")
        try:
            _pass_on(child, file, lines)
        except KeyboardInterrupt:
            _interrupt(child, file, lines)
            raise
        finally:
            # The child ends when this pipe does, if it has not already.
            with suppress(OSError):
                if child.stdin:
                    child.stdin.close()
    code = child.returncode
    told = [line for line in lines if line.startswith("error: ")] or list(lines)
    last = told[-1].strip().removeprefix("error: ") if told else "it said nothing"
    return (code if code >= 0 else 128 - code), last


def _pass_on(child: subprocess.Popen[str], file: TextIO, lines: deque[str]) -> None:
    """Show, log and remember what a process says, until it ends."""
    for line in child.stdout or ():
        file.write(line)
        sys.stderr.write(line)
        if line.strip():
            lines.append(line)
    child.wait()


def _interrupt(child: subprocess.Popen[str], file: TextIO, lines: deque[str]) -> None:
    """Let the step stop in order; a second interrupt ends one that does not."""
    if not _POSIX:
        return
    with suppress(OSError, KeyboardInterrupt):
        child.send_signal(signal.SIGINT)
        _pass_on(child, file, lines)
