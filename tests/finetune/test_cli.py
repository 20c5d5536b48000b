"""The command line: options reach the run, results reach standard output, losses reach the exit code."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import finetune.cli.training
import finetune.run
import finetune.starting
from evaluation.predictions import Predictions
from evaluation.runs import RunCard, write_run_card
from evaluation.scores import Score
from evaluation.table import Line
from featstore.errors import PredictionsError
from finetune.cli import main
from finetune.display import show_reports, show_run, write_comparison
from finetune.report import Judged, Report, base_of, judge
from finetune.saved import open_run
from finetune.settings import TrainSettings
from finetune.start import Request

NAN = float("nan")
SCORE = Score("net-finetuned", "valid", "all", "S", 0.75, NAN, NAN, 4)
PREDICTIONS = Predictions(
    "net-finetuned", "valid", *(np.array([text]) for text in ("i1", "o1", "a", "Leaf", "1")),
    classes=np.array(["1", "2"]), probability=np.array([[0.5, 0.5]], np.float32),
)  # fmt: skip
REPORT = Report(
    folder=Path("runs/net-finetuned"),
    rows=(Judged("valid", Line.of("net-finetuned", [SCORE], 6, 4, 12.5), (SCORE,), PREDICTIONS),),
    epochs_run=3,
    best_epoch=2,
    trouble="",
    failures={},
    kept="nothing",
    random_weights=False,
)


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave what commands write out of the checkout."""
    monkeypatch.chdir(tmp_path)


def call(monkeypatch: pytest.MonkeyPatch, report: Report, *options: str) -> tuple[int, Request]:
    """Exit code of the command, and what it asked the library for."""
    asked: list[Request] = []

    def fake(request: Request, *_: object, **__: object) -> Report:
        asked.append(request)
        return report

    monkeypatch.setattr(finetune.run, "finetune", fake)
    monkeypatch.setattr(finetune.starting, "require_there", lambda *_: None)
    with pytest.raises(SystemExit) as caught:
        main(["run", "features.zarr", *options])
    code = caught.value.code
    return (int(code) if code is not None else 0), asked[0]


def test_options_override_the_file_and_defaults_fill_the_rest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "recipe.toml"
    config.write_text("epochs = 9\nmomentum = 0.5\n")
    options = (
        "--from r --backbone net --epochs 2 --batch-size 4 --rate 1e-6 --min-vote 2.5 --class-weight balanced --tta 0 "
        f"--seed 3 --photos p --weights w --out o --config {config} --precision mixed_bfloat16 --batch-norm train "
        "--set layer_decay=0.5 --exclude x.csv --exclude y.csv --restart"
    )
    code, request = call(monkeypatch, REPORT, *options.split())
    settings = TrainSettings(
        epochs=2, batch_size=4, rate=1e-6, momentum=0.5, min_vote=2.5, class_weight="balanced", tta=0, seed=3,
        precision="mixed_bfloat16", batch_norm="train", layer_decay=0.5,
    )  # fmt: skip
    assert code == 0
    assert request == Request(
        "features.zarr", Path("r"), settings, "net", Path("o"), Path("p"), "w", (Path("x.csv"), Path("y.csv")), True
    )
    assert call(monkeypatch, REPORT)[1] == Request("features.zarr", Path("runs"), TrainSettings())


def test_the_table_goes_to_standard_output(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    call(monkeypatch, REPORT)
    captured = capsys.readouterr()
    assert "0.7500" in captured.out
    assert "net-finetuned" in captured.out
    assert "kept: epoch 2" in captured.err


def test_json_is_one_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    call(monkeypatch, REPORT, "--json")
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "scores/1"
    assert document["networks"][0]["best_epoch"] == 2
    assert document["scores"] == [
        {"run": "net-finetuned", "split": "valid", "view": "all", "metric": "S", "value": 0.75, "low": None,
         "high": None, "n_observations": 4}
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"failures": {"i7": "lost"}}, 3, "i7: lost"),
        ({"trouble": "the training loss became nan"}, 1, "lower --rate"),
        ({"random_weights": True}, 0, "say nothing about plants"),
        ({"kept": "everything"}, 0, "nothing was computed"),
        ({"kept": "weights"}, 0, "not trained again but predicted anew"),
        ({"best_epoch": 0}, 0, "the start (no epoch was better on valid)"),
    ],
)
def test_what_is_doubtful_is_told_and_decides_the_exit_code(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, object],
    code: int,
    told: str,
) -> None:
    found, _ = call(monkeypatch, replace(REPORT, **change))  # type: ignore[arg-type]  # fields of Report
    assert found == code
    assert told in capsys.readouterr().err


def test_a_loss_that_overflowed_in_16_bits_is_told_what_helps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = replace(REPORT, trouble="the training loss became nan")
    assert call(monkeypatch, report, "--precision", "mixed_float16")[0] == 1
    assert "train in mixed_bfloat16 or float32" in capsys.readouterr().err


def test_a_wrong_setting_is_refused_before_anything_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run", "nowhere.zarr", "--rate", "2"])
    assert caught.value.code == 1
    assert "`rate`" in capsys.readouterr().err


def test_help_names_the_true_defaults_and_loads_nothing_heavy() -> None:
    code = "import sys; from finetune import cli; print(*(n for n in ('keras', 'numpy', 'pandas') if n in sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == ""
    source = Path(finetune.cli.training.__file__).read_text(encoding="utf-8")
    defaults = TrainSettings()
    for option in ("epochs", "batch_size", "rate", "class_weight", "tta", "precision", "batch_norm", "seed"):
        value = getattr(defaults, option)
        shown = f"{value:g}".replace("e-0", "e-") if isinstance(value, float) else value
        flag = f'"--{option.replace("_", "-")}", help='
        line = source[source.index(flag) :].split("\n")[0]
        assert f"[default: {shown}]" in line, option


def row(run: str, network: str | None = None) -> Judged:
    """A row of the table; without a network, the one that the name of the run begins with."""
    network = run.partition("-")[0] if network is None else network
    return Judged("valid", Line.of(run, [SCORE], 6, 4, 12.5), (SCORE,), PREDICTIONS, network=network)


def runs_in(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [line["run"] for line in csv.DictReader(file)]


def test_the_table_keeps_the_networks_of_earlier_calls(tmp_path: Path) -> None:
    for name in ("a_1", "b", "c"):
        (tmp_path / f"{name}-finetuned").mkdir()
    path = tmp_path / "finetuned.csv"
    write_comparison(
        [row("a_1-mlp (start)"), row("a_1-finetuned"), row("b-finetuned"), row("2 fine-tuned, fused")], path
    )
    (tmp_path / "b-finetuned").rmdir()
    write_comparison([row("c-mlp (start)"), row("c-finetuned")], path)
    assert runs_in(path) == ["a_1-mlp (start)", "a_1-finetuned", "c-mlp (start)", "c-finetuned"]


@pytest.mark.parametrize(("first", "second"), [("a", "a-96"), ("a-96", "a"), ("a-mlp", "a")])
def test_the_table_tells_features_apart_whose_names_begin_alike(tmp_path: Path, first: str, second: str) -> None:
    path, expected = tmp_path / "finetuned.csv", []
    for name in (first, second):
        (tmp_path / f"{name}-finetuned").mkdir()
        names = [f"{name}-mlp (start)", f"{name}-mlp (refitted)", f"{name}-finetuned", f"{name}-finetuned + TTA5"]
        write_comparison([row(run, name) for run in names], path)
        expected += names
    assert runs_in(path) == expected
    # Told anew, the lines of the first go, and no others.
    write_comparison([row(f"{first}-finetuned", first)], path)
    assert runs_in(path) == [*expected[4:], f"{first}-finetuned"]


def judged(run: str, n: int, *, right: bool) -> Judged:
    """A row about n plants of as many authors, all right or none; split `valid`."""
    predictions = Predictions(
        run, "valid", *(np.array([f"{what}{row}" for row in range(n)]) for what in ("i", "o", "a")),
        np.full(n, "Leaf"), np.full(n, "1"), classes=np.array(["1", "2"]),
        probability=np.tile(np.array([0.9, 0.1] if right else [0.1, 0.9], np.float32), (n, 1)),
    )  # fmt: skip
    return judge(predictions, run, "net")


@pytest.mark.parametrize(("n", "right"), [(19, True), (20, True), (20, False)])
def test_legends_and_few_plants_are_told_where_they_are(
    capsys: pytest.CaptureFixture[str], n: int, right: bool
) -> None:
    rows = [judged("net-mlp (start)", n, right=False), judged("net-finetuned", n, right=right)]
    show_reports([REPORT], rows, {})
    shown = capsys.readouterr()
    assert (" *" in shown.out) == ("*: better or worse" in shown.err) == right
    assert ("Only 19 observations of valid are scored" in shown.err) == (n < 20)
    assert "images/s: a head's" in shown.err


def test_the_legend_of_a_column_that_gave_way_is_left_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "70")
    show_reports([REPORT], [judged("net-mlp (start)", 20, right=False)], {})
    shown = capsys.readouterr()
    assert "left out at this width: images, observations, images/s" in shown.err
    assert "images/s: a head's" not in shown.err


def test_a_row_is_compared_with_the_start_of_its_own_network() -> None:
    names = ("a-96", "a", "a-mlp")
    rows = [row(f"{name}-{what}", name) for name in names for what in ("mlp (start)", "finetuned", "finetuned + TTA5")]
    rows += [row(f"2 {what}, fused", "") for what in ("starting heads", "fine-tuned")]
    assert [base_of(rows, one).line.run for one in rows] == [
        *(f"{name}-mlp (start)" for name in names for _ in range(3)), *["2 starting heads, fused"] * 2,
    ]  # fmt: skip


@pytest.mark.parametrize("content", [None, "", "epoch,loss\n1\n", b"\xff\xfe"])
def test_a_damaged_log_is_refused_by_name(tmp_path: Path, content: str | bytes | None) -> None:
    if content is not None:
        (tmp_path / "log.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    card = RunCard("net-finetuned", "finetuned", ("net",), "mlp", {"1": "Acer", "2": "Tilia"}, {})
    with pytest.raises(PredictionsError, match=r"log\.csv"):
        show_run(tmp_path, card, REPORT.rows)


@pytest.mark.parametrize("tta", [-5, "x", True])
def test_variants_that_no_card_can_have_are_refused(tmp_path: Path, tta: object) -> None:
    details = {"settings": {"tta": tta}}
    write_run_card(tmp_path, RunCard("net-finetuned", "finetuned", ("net",), "mlp", {"1": "A", "2": "T"}, details))
    with pytest.raises(PredictionsError, match=r"`tta` in run\.json"):
        open_run(tmp_path)


def test_the_table_forgets_variants_that_a_network_no_longer_has(tmp_path: Path) -> None:
    (tmp_path / "a-finetuned").mkdir()
    path = tmp_path / "finetuned.csv"
    write_comparison([row("a-mlp (start)"), row("a-finetuned"), row("a-finetuned + TTA5")], path)
    write_comparison([row("a-mlp (start)"), row("a-finetuned"), row("a-finetuned + TTA2")], path)
    assert runs_in(path) == ["a-mlp (start)", "a-finetuned", "a-finetuned + TTA2"]
