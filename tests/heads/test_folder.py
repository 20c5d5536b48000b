"""The folder of a run: a kill at any moment of the last step leaves one whole run, the new or the earlier one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.runs import RunCard, read_run_card, write_run_card
from featstore.store import Store
from heads.compare import CompareSettings, compare_heads
from heads.folder import replacing_folder, tidy


class Killed(BaseException):
    """What ends a run in the tests below."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "net_a-ridge"


def write_run(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_run_card(folder, RunCard(name, "head", ("net_a",), "ridge", {"1": "Acer", "2": "Tilia"}, {}))


def dies_at(patch: pytest.MonkeyPatch, number: int) -> None:
    """Let the process end at its rename of this number, counted from 0."""
    rename, calls = Path.rename, iter(range(100))

    def fragile(self: Path, target: Path) -> Path:
        if next(calls) == number:
            raise Killed
        return rename(self, target)

    patch.setattr(Path, "rename", fragile)


@pytest.mark.parametrize(("has_earlier", "number", "left"), [(True, 0, "earlier"), (True, 1, "new"), (False, 0, "new")])
def test_a_kill_at_the_end_leaves_one_of_the_two(
    folder: Path, monkeypatch: pytest.MonkeyPatch, has_earlier: bool, number: int, left: str
) -> None:
    if has_earlier:
        write_run(folder, "earlier")
    with monkeypatch.context() as patch:
        dies_at(patch, number)
        with pytest.raises(Killed), replacing_folder(folder) as work:
            write_run(work, "new")
    tidy(folder)
    assert read_run_card(folder).model == left
    assert list(folder.parent.iterdir()) == [folder]


def test_what_is_half_done_goes_and_the_earlier_run_is_put_back(folder: Path) -> None:
    (folder.parent / f".partial.{folder.name}" / "fitted").mkdir(parents=True)
    tidy(folder)
    assert list(folder.parent.iterdir()) == []
    write_run(folder.parent / f".old.{folder.name}", "earlier")
    tidy(folder)
    assert read_run_card(folder).model == "earlier"
    # Killed while the earlier one was being removed.
    write_run(folder.parent / f".old.{folder.name}", "half of an older one")
    tidy(folder)
    assert read_run_card(folder).model == "earlier"
    assert list(folder.parent.iterdir()) == [folder]


def test_the_next_comparison_puts_in_place_what_a_kill_left(
    make_store: Callable[..., Store], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, out = make_store(), folder.parent
    old, new = (CompareSettings(("net_a",), (f"ridge{text}",), concat=False) for text in ("", ":penalty=2"))
    compare_heads(store, old, out)
    with monkeypatch.context() as patch:
        dies_at(patch, 1)
        with pytest.raises(Killed):
            compare_heads(store, new, out)
    assert not folder.exists()
    (entry,) = compare_heads(store, new, out).entries
    assert entry.reused
    assert not [path for path in out.iterdir() if path.name.startswith(".") and path.is_dir()]
