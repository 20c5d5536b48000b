"""The way to fail: one form for every error - expected, got, what to do - and an exit code that tells its kind."""

from __future__ import annotations

import errno
import os
import re
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

from typer import TyperException

from featstore.errors import PhytobenchError
from featstore.provenance import PARTIAL
from featstore.shell.speech import Printed, complain, in_json, is_set

EXIT_DONE = 0
EXIT_REFUSED = 1
"""Refused or failed, with a message that says what to do."""

EXIT_USAGE = 2
EXIT_INCOMPLETE = 3
"""Finished, but some inputs failed, or what was examined is not sound."""

EXIT_BUG = 70
"""A fault of the program itself (`EX_SOFTWARE` of sysexits.h)."""

EXIT_INTERRUPTED = 130
DEBUG = "PHYTOBENCH_DEBUG"
"""Environment variable that shows tracebacks."""

ERROR_SCHEMA = "error/1"


@dataclass(frozen=True)
class Fault:
    """Why a command ended without its result; the parts of a `PhytobenchError`, and the exit code."""

    expected: str
    got: str
    remedy: str
    exit_code: int

    def __str__(self) -> str:
        end = "" if self.got.endswith((".", "?", "!")) else "."
        return f"Expected {self.expected}, got {self.got}{end} {self.remedy}"


def leave(fault: Fault, *, as_json: bool) -> SystemExit:
    """Tell a fault and return what ends the process.

    With `--json` standard output gets one document in any case: this one, unless the result is there already.
    """
    if is_set(DEBUG):
        traceback.print_exc()
    complain(str(fault))
    if as_json and not Printed.json:
        told = {name: value for name, value in asdict(fault).items() if name != "exit_code"}
        document = {"schema": ERROR_SCHEMA, "error": told, "exit_code": fault.exit_code}
        # Whoever read standard output may have left by now.
        with suppress(BrokenPipeError):
            print(in_json(document), flush=True)
    return SystemExit(fault.exit_code)


def fail(message: str, code: int) -> NoReturn:
    """Tell why a command ends without its result, and end it."""
    complain(message)
    raise SystemExit(code)


def fault_of(error: BaseException) -> Fault:
    """The fault that an exception stands for; one that nobody foresaw is a fault of the program."""
    if isinstance(error, PhytobenchError):
        return Fault(error.expected, error.got, error.remedy, error.exit_code)
    if isinstance(error, TyperException):
        return _wrong_usage(error)
    if isinstance(error, OSError) and error.errno in _OS_FAULTS:
        # A file is written under another name first, which is none of the user's.
        where, code = re.sub(PARTIAL, "", str(error.filename or "the output folder")), error.errno or 0
        remedy = "What was completed is kept; mend this and run again."
        # Not the error's own text: that of HDF5 is ten lines of addresses.
        return Fault(f"{_OS_FAULTS[code]} at {where}", os.strerror(code), remedy, EXIT_REFUSED)
    if isinstance(error, MemoryError):
        remedy = "What was completed is kept; close other programs or ask for less at once, and run again."
        return Fault("enough memory", "none left", remedy, EXIT_REFUSED)
    if isinstance(error, ModuleNotFoundError) and error.name:
        remedy = "Install phytobench with its dependencies; `featstore system` shows what is there."
        return Fault(f"the package {error.name.partition('.')[0]}", "none installed", remedy, EXIT_REFUSED)
    return _bug(error)


INTERRUPTED = Fault(
    "the command to end by itself",
    "an interrupt",
    "What was completed is kept; the same command continues.",
    EXIT_INTERRUPTED,
)

_OS_FAULTS = {
    errno.ENOSPC: "room on the disk",
    errno.EDQUOT: "room within the quota",
    errno.EFBIG: "files of this size to be allowed (ulimit -f)",
    errno.EACCES: "permission to read and write",
    errno.EPERM: "permission to read and write",
    errno.EROFS: "a disk that can be written",
    errno.ENOENT: "a file or folder",
    errno.ENOTDIR: "a folder",
    errno.EISDIR: "a file",
}
"""What the operating system may lack through no fault of the program."""


def _wrong_usage(error: TyperException) -> Fault:
    context = getattr(error, "ctx", None)
    # Typer's own word for it stands in ours already.
    got = error.format_message().strip().removeprefix("Got ")
    if context is None:
        return Fault("a command line that can be read", got, "`--help` explains every option.", error.exit_code)
    usage = " ".join(context.get_usage().removeprefix("Usage: ").split())
    remedy = f"`{context.command_path} --help` explains every option."
    if "is not readable" in got:
        remedy = "Give permission to read it, or name another."
    return Fault(f"`{usage}`", got[:1].lower() + got[1:], remedy, error.exit_code)


def _bug(error: BaseException) -> Fault:
    frames = traceback.extract_tb(error.__traceback__)
    # The last line of ours says more than the one deep in a library.
    ours = [frame for frame in frames if Path(__file__).parents[2] in Path(frame.filename).parents]
    frame = next((f for f in reversed(ours) if "site-packages" not in f.filename), frames[-1] if frames else None)
    place = f" in {Path(frame.filename).name}, line {frame.lineno}" if frame else ""
    text = " ".join(str(error).split())
    got = f"{type(error).__name__}{': ' if text else ''}{text[:300]}{place}"
    remedy = f"This is a fault of the program; {DEBUG}=1 before the same command shows where. Please report both."
    return Fault("no such fault", got, remedy, EXIT_BUG)
