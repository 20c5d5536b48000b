"""A terminal in the small world: what each program that a page tells to call does there."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from . import documented, installing, machines, serving
from .pages import ROOT, Documented
from .small_world import run

SHELL = ("echo", "if", "mkdir", "rm", "touch")
"""What recipes of make call besides; a shell runs it in the world."""


@dataclass(eq=False)
class Shared:
    """What all pages have in common: a checkout, other processes, and what was wrong with lines that run only once."""

    checkout: Path
    cluster: machines.Cluster
    copy: machines.Copy
    known: dict[tuple[str, ...], str] = field(default_factory=dict)

    def once(self, words: Sequence[str], work: Callable[[], str]) -> str:
        if tuple(words) not in self.known:
            self.known[tuple(words)] = work()
        return self.known[tuple(words)]


@dataclass(eq=False)
class Terminal:
    """Where the lines of one page are typed, one after the other, in the current folder.

    A line is typed by the method that is called as its program is, or `_ours`. It tells what went wrong, "" if nothing.

    Attributes
    ----------
    run
        What runs a command of ours.
    shows_json
        Whether whatever can print JSON shall do so.
    lacking
        What lines need that is not on this machine.
    """

    shared: Shared
    patch: pytest.MonkeyPatch
    capfd: pytest.CaptureFixture[str]
    run: Callable[[list[str]], int] = run
    shows_json: bool = False
    lacking: set[str] = field(default_factory=set)
    _later: Sequence[Documented] = ()
    _answers: dict[Documented, str] = field(default_factory=dict)

    def type_all(self, commands: Sequence[Documented]) -> list[str]:
        """Type the lines of a page, and tell what went wrong with which."""
        faults = []
        for number, command in enumerate(commands, 1):
            self._later = commands[number:]
            if fault := self._type(command):
                faults.append(f"{command.where} {fault}")
        return faults

    def _type(self, command: Documented) -> str:
        program = command.words[0]
        if program != "make" and documented.is_left(command):
            return ""
        for name, value in command.variables:
            if name not in documented.UNSET:
                self.patch.setenv(name, value)
        type_it = self._ours if command.is_ours else getattr(self, f"_{program}", None)
        if not type_it:
            return "needs a method in terminal.py, or an entry in LEFT of documented.py"
        try:
            return str(type_it(command))
        except (documented.NotUnderstood, KeyError) as error:
            is_mention = command.in_prose and type(error).__name__ in documented.INCOMPLETE
            return "" if is_mention else f"is not understood: {error}"

    def _ours(self, command: Documented) -> str:
        words = command.words
        if machines.HOST in words:
            if self._lacks("distributed", find_spec("distributed")):
                return ""
            words = [self.shared.cluster.address() if word == machines.HOST else word for word in words]
        words, target = documented.redirected(words)
        documented.parse(documented.named_here(words))
        words = documented.words_here(words)
        if " ".join(words[:2]) not in documented.ONCE:
            return self._run(command, words, target)
        return self.shared.once([*words[:2], documented.parse(words)], lambda: self._run(command, words, target))

    def _run(self, command: Documented, words: list[str], target: str) -> str:
        if self.shows_json and "--json" in documented.option_names(words):
            words = [*words, "--json"]
        self.capfd.readouterr()
        code = self._serve(words) if words[1] == "serve" else self.run(words)
        told = self.capfd.readouterr()
        if target:
            Path(target).write_text(told.out, encoding="utf-8")
        if code != documented.ENDS.get(command.text, 0):
            typed = " ".join(words)
            return f"needs an entry in documented.py: it ended with {code} as `{typed}`: {told.err.strip()[-600:]}"
        if "--json" in words and not re.fullmatch(r"[a-z0-9-]+/\d+", str(json.loads(told.out).get("schema"))):
            return f"--json has no schema: {told.out[:300]}"
        return ""

    def _serve(self, words: list[str]) -> int:
        """Serve, and let the lines that follow ask this server."""
        opened: list[str] = []
        self.patch.setattr("typer.launch", opened.append)
        lines = list(itertools.takewhile(lambda one: one.words[1] != "serve", self._later))

        def visit(address: str) -> None:
            assert opened == ([f"http://{address}/"] if "--open" in words else [])
            for line in lines:
                if line.words[0] == "curl" and not self._lacks("curl", shutil.which("curl")):
                    self._answers[line] = serving.ask(documented.named_here(line.words), address)

        return serving.serve(words, visit)

    def _curl(self, command: Documented) -> str:
        if self._lacks("curl", shutil.which("curl")):
            return ""
        return self._answers.get(command, "asks a server that no line before it starts")

    def _make(self, command: Documented) -> str:
        """What the recipe consists of, typed line by line; nothing else tells whether its options are right."""
        known = ["--always-make"] if command.words[1:] == ["install"] else ["--old-file", ".venv/.ready"]
        words = ["make", "--dry-run", "--no-print-directory", *known, *command.words[1:]]
        asked = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        if asked.returncode:
            return f"ended with {asked.returncode}: {asked.stderr}"
        recipe = [] if documented.is_left(command) else asked.stdout.replace("\\\n", " ").splitlines()
        return "; ".join(fault for line in recipe if (fault := self._type_of_recipe(command, line)))

    def _type_of_recipe(self, command: Documented, line: str) -> str:
        if line.startswith(tuple(documented.LEFT)):
            return ""
        if line.startswith(SHELL):
            done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
            return done.stderr if done.returncode else ""
        found = Documented.read(command.page, command.line, line)
        fault = self._type(found) if found else "is of a program that terminal.py does not know"
        return f"calls `{line}`, which {fault}" if fault else ""

    def _sbatch(self, command: Documented) -> str:
        """Run the first and the last job of an array, which Slurm would hand to several machines."""
        words = command.words
        for number in words[1].removeprefix("--array=").split("-"):
            wrapped = words[words.index("--wrap") + 1].replace("$SLURM_ARRAY_TASK_ID", number)
            job = Documented.read(command.page, command.line, wrapped)
            if fault := self._type(job) if job else "wraps a program that terminal.py does not know":
                return f"job {number}: {fault}"
        return ""

    def _dask(self, command: Documented) -> str:
        if not self._lacks("distributed", find_spec("distributed")):
            self.shared.cluster.start(command.words)
        return ""

    def _pip(self, command: Documented) -> str:
        if unknown := installing.unknown_extras(command.words):
            return f"names what is no extra in pyproject.toml: {', '.join(unknown)}"
        words = installing.without_extras(command.words)
        return self.shared.once(words, lambda: installing.pip(words[1:], self.shared.checkout))

    def _python(self, command: Documented) -> str:
        match command.words[1:]:
            case ["-c", code]:
                self.capfd.readouterr()
                ended = self.run(["python", "-c", code])
                return f"ended with {ended}: {self.capfd.readouterr().err[-600:]}" if ended else ""
            case ["-m", "pip", *arguments]:
                return self._pip(replace(command, text=" ".join(["pip", *arguments])))
            case ["-m", "venv", folder]:
                return installing.make_environment(folder)
            case [script, *options] if script.startswith("tests/benchmarks/"):
                return self.shared.once(command.words, lambda: installing.begin_benchmark(script, options))
        return "is no call of Python that terminal.py knows"

    def _export(self, command: Documented) -> str:
        for assignment in command.words[1:]:
            name, _, value = assignment.partition("=")
            self.patch.setenv(name, value)
        return ""

    def _lacks(self, what: str, found: object) -> bool:
        """Whether something is not on this machine; the page is then skipped in part, visibly."""
        if not found:
            self.lacking.add(what)
        return not found
