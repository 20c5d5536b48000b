"""The folder of a run: a kill at any moment of the last step leaves one whole run, the new or the earlier one."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.runs import RunCard, read_run_card, write_run_card
from featstore.errors import TrainingError
from finetune.folder import IMAGES, cache_of, copy_in_place_of, in_place_of, mend, removed_in_the_end
from finetune.train import CHECKPOINT


class Killed(BaseException):
    """What ends a run in the tests below."""


def write_run(folder: Path, name: str) -> None:
    folder.mkdir(exist_ok=True)
    for hidden in (CHECKPOINT, IMAGES):
        (folder / hidden).write_text("state")
    write_run_card(folder, RunCard(name, "finetuned", ("small",), "mlp", {"1": "Acer", "2": "Tilia"}, {}))


def renames_until(patch: pytest.MonkeyPatch, limit: int) -> None:
    """Let the process end at its rename number `limit`, counted from 0."""
    rename, n_calls = Path.rename, 0

    def fragile(self: Path, target: Path) -> Path:
        nonlocal n_calls
        n_calls += 1
        if n_calls > limit:
            raise Killed
        return rename(self, target)

    patch.setattr(Path, "rename", fragile)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "small-finetuned"


def hidden_folders(folder: Path) -> list[Path]:
    return [path for path in folder.parent.iterdir() if path.name.startswith(".") and path.is_dir()]


@pytest.mark.parametrize(("has_earlier", "limit"), [(True, 0), (True, 1), (False, 0)])
def test_a_whole_run_takes_its_place_in_the_end(
    folder: Path, monkeypatch: pytest.MonkeyPatch, has_earlier: bool, limit: int
) -> None:
    if has_earlier:
        write_run(folder, "earlier")
    with monkeypatch.context() as patch:
        renames_until(patch, limit)
        with pytest.raises(Killed), in_place_of(folder, {"rate": 1}) as work:
            write_run(work, "new")
    assert folder.exists() == (has_earlier and limit == 0)
    mend(folder)
    assert read_run_card(folder).model == "new"
    assert [path.name for path in folder.iterdir()] == ["run.json"]
    assert hidden_folders(folder) == []


def test_a_run_that_was_to_be_renewed_is_put_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(folder, "earlier")
    with monkeypatch.context() as patch:
        renames_until(patch, 1)
        with pytest.raises(Killed), copy_in_place_of(folder):
            pass
    assert not folder.exists()
    mend(folder)
    assert read_run_card(folder).model == "earlier"
    assert hidden_folders(folder) == []


def test_what_an_interrupted_run_has_done_stays_hidden(folder: Path) -> None:
    write_run(folder, "earlier")
    work = folder.with_name(f".{folder.name}.partial")

    def killed() -> None:
        with in_place_of(folder, {"rate": 1}):
            write_run(work, "half")
            raise Killed

    with pytest.raises(Killed):
        killed()
    mend(folder)
    assert read_run_card(folder).model == "earlier"
    assert (work / CHECKPOINT).is_file()


def test_a_folder_of_another_kind_is_never_replaced(folder: Path) -> None:
    write_run(folder.with_name(f".{folder.name}.partial"), "new")
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    mend(folder)
    assert (folder / "thesis.txt").is_file()


def test_a_copy_that_was_to_be_renewed_goes(folder: Path) -> None:
    write_run(folder, "earlier")
    write_run(folder.with_name(f".{folder.name}.renewed"), "half")
    mend(folder)
    assert read_run_card(folder).model == "earlier"
    assert hidden_folders(folder) == []


@pytest.mark.parametrize(
    ("error", "has_state", "keep", "stays"),
    [
        (None, False, False, False),
        (None, False, True, True),
        (KeyboardInterrupt, False, False, True),
        (Killed, False, False, True),
        (OSError, False, False, False),
        (OSError, True, False, True),
        (ValueError, False, True, False),
        (TrainingError, False, False, False),
        (TrainingError, False, True, True),
        (TrainingError, True, False, True),
    ],
)
def test_cut_photographs_stay_only_for_a_run_that_can_go_on_or_another(
    folder: Path, error: type[BaseException] | None, has_state: bool, keep: bool, stays: bool
) -> None:
    cache = cache_of(folder)
    cache.mkdir()

    def run() -> None:
        with removed_in_the_end(cache, folder, keep=keep), in_place_of(folder, {"rate": 1}) as work:
            if has_state or error is None:
                write_run(work, "new")
            if error is not None:
                raise TrainingError("a", "b", "c") if error is TrainingError else error

    if error is None:
        run()
    else:
        with pytest.raises((error, TrainingError)):
            run()
    assert cache.exists() is stays
