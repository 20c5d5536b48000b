"""A later comparison in the same folder says what it leaves aside and what it replaces."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.runs import RunCard, read_run_card, write_run_card
from featstore.errors import SettingsError
from featstore.store import Store
from finetune.start import ENDING
from heads.choice import FINETUNED, HeadChoice
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


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("kind", ["finetuned", "fusion"])
def test_runs_of_other_kinds_are_not_replaced(
    make_store: Callable[..., Store], tmp_path: Path, kind: str, damaged: bool
) -> None:
    other = tmp_path / "net_a-logistic"
    other.mkdir()
    write_run_card(other, RunCard(other.name, kind, ("net_a",), "mlp", {"9": ""}))
    if damaged:
        (other / "run.json").write_text("{}")
    (other / "network.weights.h5").write_text("hours of training")
    board = compare_heads(make_store(), ONE, tmp_path)
    assert [entry.trial.name for entry in board.failed] == [other.name]
    assert ("something else" if damaged else f"a run of kind {kind}") in board.failed[0].error
    assert (other / "network.weights.h5").read_text() == "hours of training"
    assert read_run_card(tmp_path / "net_a-lda").kind == "head"


@pytest.mark.parametrize("label", [FINETUNED, f"wide-{FINETUNED}"])
def test_no_head_is_called_as_fine_tuned_runs_are(label: str) -> None:
    assert f"-{FINETUNED}" == ENDING
    with pytest.raises(SettingsError, match=f"does not end in finetuned.* got '{label}'.*--head NAME=mlp"):
        HeadChoice.parse(f"{label}=mlp")
    assert HeadChoice.parse("not_finetuned=mlp").label == "not_finetuned"
