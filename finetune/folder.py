"""The folder of a run: worked on in hiding, replaced only by a whole one."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

from evaluation.runs import read_run_card
from featstore import shell
from featstore.errors import PhytobenchError, PredictionsError, TrainingError
from featstore.provenance import Json, write_text
from featstore.store.lease import only_writer
from finetune.checkpoint import read_log
from finetune.train import CHECKPOINT, CURVE, LOG, WEIGHTS

CONTENT, IMAGES = "content.json", "photographs.txt"
"""What an unfinished run is made from, and a digest of the photographs that could be read, in the hidden folder."""

_STATE = frozenset({CONTENT, IMAGES, CHECKPOINT, WEIGHTS, LOG, CURVE})
"""What an interrupted run goes on from; all else is made after training, and made anew."""


class InterruptedTrainingError(TrainingError):
    """The user stopped a run."""

    exit_code: ClassVar[int] = 130


@contextmanager
def in_place_of(folder: Path, content: Mapping[str, Json], *, restart: bool = False) -> Iterator[Path]:
    """Give a hidden folder beside `folder` to work in; once all is well it takes its place.

    If the body fails or the process is killed, `folder` stays as it was, and the hidden one keeps what has been
    done: the next call with the same content finds it there.

    Parameters
    ----------
    folder
        The run folder.
    content
        All that decides the run's result.
    restart
        Begin anew, whatever has been done.

    Raises
    ------
    InterruptedTrainingError
        If the user interrupts.
    TrainingError
        If an interrupted run of other content lies there, and `restart` was not asked for.
    """
    work = _work_of(folder)
    _begin(folder, content, restart=restart)
    try:
        yield work
    except BaseException as error:
        has_state = (work / CHECKPOINT).is_file()
        if not has_state:
            shutil.rmtree(work, ignore_errors=True)
        kept = f"What has been done is in {work}" if has_state else "No epoch had ended"
        if isinstance(error, KeyboardInterrupt):
            raise InterruptedTrainingError(
                "a run to its end", "an interrupt", f"{kept}; the same command goes on."
            ) from error
        if has_state:
            shell.warn(f"{kept}: the best weights so far are {WEIGHTS}; the same command goes on.")
        raise
    # From here on the hidden folder is whole: `mend` tells it by this file from one that an interrupted run left.
    (work / CONTENT).unlink()
    _take_place(work, folder)


@contextmanager
def copy_in_place_of(folder: Path) -> Iterator[Path]:
    """Give a hidden copy of a finished run to change; once all is well it takes its place, else it is removed."""
    work = _renewed_of(folder)
    shutil.rmtree(work, ignore_errors=True)
    try:
        shutil.copytree(folder, work)
        yield work
        _take_place(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def mend(folder: Path) -> None:
    """Finish what a kill in the last moments of a run left half done, between two renames.

    A whole run that has not taken its place takes it; where there is none, the earlier run is put back. A copy that
    was to be predicted anew is removed.
    """
    work, old, renewed = _work_of(folder), _old_of(folder), _renewed_of(folder)
    if not (old.exists() or renewed.exists() or _is_whole(work)):
        return
    # No run is at work on it, or this is refused.
    with only_writer(folder.parent, folder.name):
        shutil.rmtree(renewed, ignore_errors=True)
        if folder.exists() and not _is_run(folder):
            return
        if _is_whole(work):
            _take_place(work, folder)
        elif folder.exists():
            shutil.rmtree(old, ignore_errors=True)
        elif _is_run(old):
            shell.warn(f"{folder} is put back: a run that was to replace it was killed at its end.")
            old.rename(folder)


def _take_place(work: Path, folder: Path) -> None:
    """Put a whole run where an earlier one may be; a kill at any moment leaves one of the two for `mend`."""
    for name in (CHECKPOINT, IMAGES):
        (work / name).unlink(missing_ok=True)
    old = _old_of(folder)
    if folder.exists():
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
    work.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _work_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial")


def _old_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _renewed_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.renewed")


def _is_run(folder: Path) -> bool:
    """Whether a folder holds a run, whose card is written last."""
    try:
        read_run_card(folder)
    except PredictionsError:
        return False
    return True


def _is_whole(work: Path) -> bool:
    """Whether a hidden folder holds all of a run and only its place is lacking."""
    return not (work / CONTENT).exists() and _is_run(work)


def keep_from(trouble: str, folder: Path, work: Path, remedy: str) -> None:
    """Refuse that a run whose loss became no number takes the place of an earlier one that ended well.

    Raises
    ------
    TrainingError
        If there is such an earlier run. Weights and log of the new one are kept beside it, its state is thrown away,
        so that other settings may begin.
    """
    if not (trouble and folder.exists()) or read_run_card(folder).details.get("trouble"):
        return
    (work / CHECKPOINT).unlink(missing_ok=True)
    kept = [(work / name).replace(folder.parent / f"{folder.name}.stopped.{name}") for name in (WEIGHTS, LOG)]
    raise TrainingError(
        f"training to end by itself before it replaces the earlier run in {folder}",
        trouble,
        f"The earlier run stays; the best weights so far are in {kept[0]}. {remedy} Pass --out to keep both runs.",
    )


def has_begun(folder: Path, content: Mapping[str, Json]) -> bool:
    """Whether an interrupted run of the same content lies beside `folder`."""
    try:
        return (_work_of(folder) / CONTENT).read_text(encoding="utf-8") == _text_of(content)
    except OSError:
        return False


def _text_of(content: Mapping[str, Json]) -> str:
    return json.dumps(content, sort_keys=True)


def is_given_up(folder: Path, content: Mapping[str, Json]) -> bool:
    """Whether an interrupted run that was to replace `folder` can go on, or has epochs that `in_place_of` keeps."""
    return has_begun(folder, content) or (_work_of(folder) / CHECKPOINT).is_file()


def require_the_same(folder: Path, content: Mapping[str, Json]) -> None:
    """Refuse to throw the epochs of an interrupted run of other content away.

    Raises
    ------
    TrainingError
        If such a run lies beside `folder`.
    """
    work = _work_of(folder)
    if (work / CHECKPOINT).is_file() and not has_begun(folder, content):
        raise TrainingError(
            f"the settings, photographs and backend of the interrupted run in {work}",
            "others",
            "Give the same ones to go on; --restart to throw its epochs away; or another --out.",
        )


def n_epochs_done(folder: Path, content: Mapping[str, Json]) -> int:
    """Epochs after which an interrupted run of the same content goes on, 0 if there is none."""
    log = read_log(_work_of(folder) / CHECKPOINT) if has_begun(folder, content) else None
    return max(len(log or ()) - 1, 0)


def _begin(folder: Path, content: Mapping[str, Json], *, restart: bool) -> None:
    """Leave a hidden folder that an interrupted run of the same content left; empty any other."""
    work, same = _work_of(folder), has_begun(folder, content)
    if same and not restart:
        for path in work.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in _STATE:
                path.unlink()
        return
    if not restart:
        require_the_same(folder, content)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    write_text(work / CONTENT, _text_of(content))


def begin_with_the_same(work: Path, image_ids: Sequence[str]) -> None:
    """Note which photographs can be used; a state that was reached with others is thrown away, and the user told.

    Photographs may be lost or come back between the parts of an interrupted run, and no undisturbed run would have
    learnt from one set first and from another then.
    """
    digest = hashlib.sha256("\n".join(image_ids).encode()).hexdigest()
    path = work / IMAGES
    if (work / CHECKPOINT).is_file() and (not path.is_file() or path.read_text(encoding="utf-8") != digest):
        shell.warn("other photographs can be read than when this run was interrupted: it begins anew.")
        (work / CHECKPOINT).unlink()
    write_text(path, digest)


def cache_of(folder: Path) -> Path:
    """Where the cut photographs of a run lie while it lasts."""
    return folder.with_name(f".{folder.name}.photographs")


@contextmanager
def removed_in_the_end(cache: Path, folder: Path, *, keep: bool = False) -> Iterator[None]:
    """Remove the cut photographs once the run in `folder` needs them no more: it is done, or failed for good.

    They stay for a run that can go on, from its state or from an interrupt while they were cut, and for another one
    where `keep` says so.
    """
    stays = keep
    try:
        yield
    except BaseException as error:
        interrupted = isinstance(error, InterruptedTrainingError) or not isinstance(error, Exception)
        goes_on = interrupted or (_work_of(folder) / CHECKPOINT).is_file()
        # After an error of another kind no other run has its turn.
        stays = goes_on or (keep and isinstance(error, PhytobenchError))
        raise
    finally:
        if not stays:
            shutil.rmtree(cache, ignore_errors=True)
