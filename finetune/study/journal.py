"""The journal of a study: which steps were begun and done, with which settings."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeAlias

from featstore import shell
from featstore.provenance import Json, write_json

SCHEMA = "study/1"
FILE = "journal.json"

Leave: TypeAlias = Literal["", "given", "kept back"]
"""Whether a command got the arguments that let it replace what other settings made; "" where nothing is to be."""


@dataclass(frozen=True)
class Note:
    """What is known of a step.

    Attributes
    ----------
    digest
        Of the step as it was when it was begun last.
    code
        Its exit code, None while it has none: it runs, or was killed.
    seconds
        What it took the last time.
    begun, command
        When, and the command line.
    leave
        Of the last call; "" once the step has ended well.
    """

    digest: str
    code: int | None = None
    seconds: float | None = None
    begun: str = ""
    command: str = ""
    leave: Leave = ""

    def next_leave(self, digest: str) -> Leave:
        """Leave of the next call: where the settings have changed, and where a call that lacked it has failed since.

        A call that was killed goes on without: it may have begun anew already, and to restart it would lose that.
        """
        if self.digest != digest or (self.leave == "kept back" and self.code is not None):
            return "given"
        return "kept back" if self.leave else ""


class Journal:
    """Notes by name of step, in a file that is whole at any moment."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self.notes = _read(self._path)

    def begin(self, name: str, digest: str, command: str, leave: Leave) -> None:
        """Note that a step begins."""
        begun = datetime.now(UTC).isoformat(timespec="seconds")
        self._note(name, Note(digest, begun=begun, command=command, leave=leave))

    def end(self, name: str, code: int, seconds: float) -> None:
        """Note how a step ended."""
        note = self.notes[name]
        leave: Leave = "" if code in {shell.EXIT_DONE, shell.EXIT_INCOMPLETE} else note.leave
        self._note(name, replace(note, code=code, seconds=round(seconds, 1), leave=leave))

    def _note(self, name: str, note: Note) -> None:
        self.notes[name] = note
        steps: dict[str, Json] = {key: asdict(value) for key, value in self.notes.items()}
        write_json(self._path, {"schema": SCHEMA, "steps": steps})


def _read(path: Path) -> dict[str, Note]:
    """Notes of an earlier call; without a sound journal, steps are called again and find what they have done."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        steps = content["steps"] if content["schema"] == SCHEMA else {}
        return {name: Note(**note) for name, note in steps.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        shell.warn(f"{path} cannot be read ({error}): every step is called again; what is done is not done twice")
        return {}
