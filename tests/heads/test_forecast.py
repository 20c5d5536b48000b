"""What a comparison will cost, told before it begins; and fits that do not fit into memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from featstore import shell
from featstore.errors import SettingsError
from featstore.store import Store
from heads.cli import main
from heads.compare import CompareSettings, Crew, compare_heads, foresee
from heads.effort import Effort, Size, estimate, free_memory, matrix_rate
from heads.protocol import Protocol
from heads.registry import HEADS, create_head
from heads.tuning import Tuning

MakeStore = Callable[..., Store]
TWO = CompareSettings(("net_a",), ("logistic", "ridge"), concat=False)
LARGE = Size(36_000, 2_048, 500, 12_000)


@pytest.mark.parametrize("name", list(HEADS))
def test_more_photographs_cost_more(name: str) -> None:
    head = create_head(name)
    small, large = head.work(replace(LARGE, n_images=3_000, n_valid=1_000)), head.work(LARGE)
    assert small.operations < large.operations
    assert small.n_bytes <= large.n_bytes
    assert estimate(head, LARGE).seconds > 0
    # Within a day at a hundred billion operations a second; seconds here depend on what else the machine does.
    assert large.operations / 1e11 < 24 * 3600


def test_effort_adds_up() -> None:
    assert Effort(2, 5) + Effort(3, 4) == Effort(5, 5)
    assert Effort(2, 5).times(3) == Effort(6, 5)
    assert matrix_rate() > 1e8
    assert 0 < free_memory() < 2**50


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "1 s"), (75, "75 s"), (200, "3 min"), (9000, "2.5 h")])
def test_times_are_told_as_roughly_as_they_are_known(seconds: float, text: str) -> None:
    assert shell.in_words(seconds) == text


def test_a_dry_run_tells_what_is_missing_and_writes_nothing(make_store: MakeStore, tmp_path: Path) -> None:
    store, out = make_store(), tmp_path / "runs"
    folds = replace(TWO, protocol=Protocol(n_folds=3), tuning=Tuning())
    assert [(name, n) for name, n, _ in foresee(store, folds, out).rows()] == [
        ("net_a-logistic", 4),
        ("net_a-ridge", 4),
    ]
    assert not out.exists()
    compare_heads(store, replace(TWO, heads=("ridge",)), out)
    before = sorted(out.rglob("*"))
    ahead = foresee(store, TWO, out)
    assert [unit.trial.name for unit in ahead.units] == ["net_a-logistic"]
    assert ahead.announcement() == ""
    assert sorted(out.rglob("*")) == before


def test_on_the_command_line(make_store: MakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", make_store().location, "--head", "lda", "--out", str(tmp_path / "runs"), "--dry-run"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--json"])
    assert end.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert told["fits"] == len(told["runs"]) == 3
    with pytest.raises(SystemExit):
        main(words)
    shown = capsys.readouterr()
    assert "net_a+net_b-lda" in shown.out
    assert "Nothing was fitted" in shown.err


def test_a_fit_without_room_is_one_row(make_store: MakeStore, tmp_path: Path) -> None:
    # The mlp needs half a GiB for Keras alone, ridge next to nothing at this size.
    settings = replace(TWO, heads=("mlp", "ridge"))
    board = compare_heads(make_store(), settings, tmp_path, crew=Crew(memory_gib=0.1))
    assert [entry.trial.head for entry in board.entries] == ["ridge", "mlp"]
    assert "of memory for this fit, got 0.1" in board.entries[1].error
    with pytest.raises(SettingsError, match="`--memory`"):
        Crew(memory_gib=-1)
