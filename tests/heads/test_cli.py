from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.scores import METRICS
from featstore.store import Store
from heads.cli import main
from heads.linear import LogisticHead
from heads.registry import HEADS

MakeStore = Callable[..., Store]


def call(*argv: object) -> int:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in argv])
    return int(end.value.code or 0)


def test_tables_messages_and_files(make_store: MakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store, out = make_store(weights="random"), tmp_path / "runs"
    quick = ("--head", "logistic", "--head", "lightgbm", "--out", out)
    assert call("compare", store.location, *quick) == 0
    found = capsys.readouterr()
    valid, test = found.out.split("Test,")
    scores = json.loads((out / "leaderboard.json").read_text())["scores"]
    counts = {row["split"]: row["n_observations"] for row in scores if (row["view"], row["metric"]) == ("all", "S")}
    assert f"Valid, {counts['valid']} observations:" in valid
    assert test.startswith(f" {counts['test']} observations:")
    assert "every choice is made on these figures" in valid
    assert "fitted on train and valid" in test
    for table in (valid, test):
        assert sum(line.count("net_") > 0 for line in table.splitlines()) == 6
    assert "warning: random weights in net_a, net_b" in found.err
    assert "warning: no mlp on a single network was compared" in found.err
    assert "Best on valid: net_" in found.err
    assert "Start for finetune run" not in found.err
    assert f"{out}: a folder per run" in found.err
    assert call("compare", store.location, *quick, "--no-concat", "--backbone", "net_b") == 0
    again = capsys.readouterr()
    assert "2 of 2 runs were there already" in again.err
    assert "net_a" not in again.out


def test_a_comparison_without_a_test_part_says_so(
    make_store: MakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store(lambda frame: frame.__setitem__("split", "train"))
    assert call("compare", store.location, "--head", "logistic", "--out", tmp_path / "runs") == 0
    found = capsys.readouterr()
    assert "Test," not in found.out
    assert "No test part" in found.err
    assert "--folds 5" in found.err


def test_json_is_all_there_is_on_standard_output(
    make_store: MakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    assert call("compare", make_store().location, "--head", "logistic", "--out", out, "--json", "--seed", 5) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((out / "leaderboard.json").read_text())
    assert document["protocol"]["seed"] == 5
    assert {row["metric"] for row in document["scores"]} == set(METRICS)
    assert {row["split"] for row in document["scores"]} == {"valid", "test"}
    assert {row["view"] for row in document["scores"]} == {"all", "Flower", "Leaf"}


def test_a_failed_head_makes_the_exit_code_3(
    make_store: MakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ValueError("it would not")

    monkeypatch.setattr(LogisticHead, "_fit", fail)
    arguments = (
        "compare",
        make_store().location,
        "--head",
        "logistic",
        "--head",
        "lightgbm",
        "--no-concat",
        "--out",
        tmp_path,
    )
    assert call(*arguments) == 3
    found = capsys.readouterr()
    assert "warning: net_a-logistic failed: ValueError: it would not" in found.err
    assert "net_a-lightgbm" in found.out


def test_files_are_named_only_if_they_are_there(
    make_store: MakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    assert call("compare", make_store().location, "--head", "ridge", "--memory", 0, "--out", out) == 3
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"{out}: ")]
    there = {path.name for path in out.iterdir() if not path.name.startswith(".")}
    assert set(line.removeprefix(f"{out}: ").split(", ")) == there
    assert "best.json" in line


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--head", "oracle"), "prototype, view_experts, dummy, got 'oracle'. Correct --head."),
        (("--backbone", "net_c"), "Expected features of net_c"),
        (("--seed", "-1"), "Expected `--seed` of at least 0"),
    ],
)
def test_bad_options_are_refused_and_write_nothing(
    make_store: MakeStore,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    extra: tuple[str, str],
    message: str,
) -> None:
    assert call("compare", make_store().location, "--out", tmp_path / "runs", *extra) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_what_is_out_of_range_is_called_as_the_option(
    make_store: MakeStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = make_store().location
    for option, value, *others in (
        ("--workers", "0"), ("--memory", "-1"), ("--hold-out-species", "-1"), ("--seeds", "0"), ("--folds", "1"),
        ("--repeats", "0"), ("--min-vote", "-1"), ("--calibration-share", "2"), ("--class-weight", "some"),
        ("--calibrate", "no"), ("--budget", "-1", "--tune"), ("--search", "luck", "--tune"),
    ):  # fmt: skip
        assert call("compare", store, "--out", tmp_path / "runs", option, value, *others) == 1
        told = capsys.readouterr().err
        assert f"Expected `{option}` " in told
        assert value in told.split(", got ")[1]
    assert not (tmp_path / "runs").exists()


def test_a_store_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("compare", tmp_path / "none.zarr") == 1
    assert "featstore build" in capsys.readouterr().err


def test_help_needs_no_heavy_library() -> None:
    script = (
        "import sys; from heads.cli import main\n"
        "try: main(['compare', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'pandas', 'keras', 'tensorflow', 'sklearn', 'lightgbm', 'zarr'} & set(sys.modules)\n"
        "sys.exit(', '.join(sorted(heavy)) or None)\n"
    )
    found = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "--no-refit" in found.stdout
    assert "heads list" in found.stdout


def test_the_heads_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ([], ["--json"]):
        with pytest.raises(SystemExit):
            main(["list", *option])
    told = capsys.readouterr().out
    assert all(told.count(name) >= 2 for name in HEADS)
    listed = json.loads(told[told.index("{\n") :])["heads"]
    assert [head["name"] for head in listed] == list(HEADS)
