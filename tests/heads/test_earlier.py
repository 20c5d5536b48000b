"""A later comparison in the same folder says what it leaves aside and what it replaces."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from featstore.store import Store
from heads.compare import CompareSettings, compare_heads
from heads.protocol import Protocol

ONE = CompareSettings(backbones=("net_a",), heads=("logistic", "lda"), concat=False)


def test_runs_of_earlier_calls_are_told(
    make_store: Callable[..., Store], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, out = make_store(), tmp_path / "runs"
    first = compare_heads(store, ONE, out)
    assert not any("earlier call" in text for text in first.warnings)
    # As a kill may leave one.
    shutil.copytree(out / "net_a-lda", out / ".net_a-lda.renewed")
    second = compare_heads(store, replace(ONE, heads=("ridge",)), out)
    told = f"2 runs of earlier calls are in {out} and not compared here (net_a-lda, net_a-logistic)"
    assert any(text.startswith(told) for text in second.warnings), second.warnings
    assert "way in" not in capsys.readouterr().err
    every = compare_heads(store, replace(ONE, heads=("ridge", "logistic", "lda")), out)
    assert all(entry.reused for entry in every.entries)
    assert not any("earlier call" in text for text in every.warnings)


def test_runs_that_are_replaced_are_told_before(
    make_store: Callable[..., Store], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, out = make_store(), tmp_path / "runs"
    compare_heads(store, ONE, out)
    capsys.readouterr()
    compare_heads(store, ONE, out)
    assert "way in" not in capsys.readouterr().err
    # The split was drawn under seed 0 and stays.
    compare_heads(store, replace(ONE, heads=("logistic:standardise=no",), protocol=Protocol(n_seeds=2)), out)
    told = capsys.readouterr().err
    assert f"1 earlier run gives way in {out} to other ones of the same name (net_a-logistic): " in told
    assert "standardise False instead of True" in told
    assert "n_seeds 2 instead of 1" in told
    assert "Another --out keeps both." in told
