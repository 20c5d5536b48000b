"""`python -m finetune.study.child PROGRAM ARGUMENTS`: one command line in a process that ends with its parent."""

from __future__ import annotations

import os
import sys
import threading
from importlib import import_module

from featstore import shell

PROGRAMS = {
    "featstore": "featstore.cli",
    "heads": "heads.cli",
    "finetune": "finetune.cli",
    "evaluate": "evaluation.cli",
    "measure": "finetune.study.measure",
}
"""Program -> module with its `main`."""


def main() -> None:
    """Run the program that the first argument names, and leave the process as it does."""
    program, *arguments = sys.argv[1:]
    # Its results say how they were made: by the command that a user would type.
    sys.argv = [program, *arguments]
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import_module(PROGRAMS[program]).main(arguments)


def _end_with_parent() -> None:
    """Standard input is a pipe that nobody writes to: it ends when the parent does, however that happens."""
    os.read(0, 1)
    # An orphan would keep the store to itself; what it has completed is kept.
    os._exit(shell.EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
