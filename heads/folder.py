"""The folder of a run: written in hiding, and put where an earlier run may be once it is whole."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evaluation.runs import CARD


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder`; on success it takes the place of `folder`, otherwise it goes.

    The card of a run has to be written into it last.
    """
    tidy(folder)
    # One name for all processes: what a killed one left behind is found by the next.
    work, old = _work_of(folder), _old_of(folder)
    work.mkdir(parents=True)
    try:
        yield work
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    if folder.exists():
        folder.rename(old)
    work.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def tidy(folder: Path) -> None:
    """Clear away what a process that was killed left of a run folder that it was writing.

    If it was killed at the very end, before or between the two renames, and no run is in place, the new one takes it,
    or else the earlier one is put back.
    """
    hidden = _work_of(folder), _old_of(folder)
    if not folder.exists():
        whole = [path for path in hidden if (path / CARD).is_file()]
        if whole:
            whole[0].rename(folder)
    for path in hidden:
        shutil.rmtree(path, ignore_errors=True)


def _work_of(folder: Path) -> Path:
    return folder.with_name(f".partial.{folder.name}")


def _old_of(folder: Path) -> Path:
    return folder.with_name(f".old.{folder.name}")
