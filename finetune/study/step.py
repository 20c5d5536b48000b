"""Steps: the commands of a study, as a user would type them, and what they rest on."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from featstore.errors import PhytobenchError
from featstore.provenance import phytobench_version


class StepError(PhytobenchError):
    """A step did not reach its end; the command that it belongs to ends with the step's own exit code."""

    def __init__(self, expected: str, got: str, remedy: str, code: int = 1) -> None:
        super().__init__(expected, got, remedy)
        self.code = code


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes
    ----------
    name
        In tables and in the name of its log.
    command
        Program and arguments.
    needs
        Names of steps without which it cannot run.
    outputs
        What is there when it is done.
    when_changed
        Further arguments where it was begun before with other settings: its command would refuse them otherwise.
    where_there
        Those of its arguments that are paths it can do without, and that are left out where nothing is there.
    made_from
        Digest of what it reads beside the results of other steps.
    """

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    outputs: tuple[Path, ...] = ()
    when_changed: tuple[str, ...] = ()
    where_there: tuple[str, ...] = ()
    made_from: str = ""

    @property
    def line(self) -> str:
        """The command line."""
        return shlex.join(self.command)

    @property
    def is_whole(self) -> bool:
        """Whether all that it makes is there."""
        return all(path.exists() for path in self.outputs)

    def arguments(self) -> list[str]:
        """Program and arguments as they are now, without those it can do without that are not there."""
        return [word for word in self.command if word not in self.where_there or Path(word).exists()]


def digests(steps: Sequence[Step]) -> Mapping[str, str]:
    """Digest of each step: its command, what it reads, this version, and the steps that it needs.

    Parameters
    ----------
    steps
        Each behind those that it needs.
    """
    found: dict[str, str] = {}
    for step in steps:
        before = [found[name] for name in step.needs]
        content = json.dumps([phytobench_version(), step.command, step.made_from, before])
        found[step.name] = hashlib.sha256(content.encode()).hexdigest()
    return found
