"""The command `evaluate fuse`, as a user meets it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.cli import main
from evaluation.fusion import RULES, SETS
from evaluation.predictions import Predictions
from evaluation.rules.learned import LEARNED
from evaluation.runs import RunCard, predictions_path, read_run_card, write_run_card
from evaluation.scores import METRICS

CLASSES = ("55", "7", "8", "9")
SPECIES = {"55": "Acer campestre", "7": "Bellis perennis", "8": "Corylus avellana", "9": "Daucus carota"}
TRUTH = ("55", "7", "8", "9", "55")
OBSERVATION = (0, 0, 1, 2, 2, 2, 3, 4)
VIEWS = ("Leaf", "Flower", "Leaf", "Leaf", "Flower", "Stem", "Flower", "Leaf")


def write_run(
    folder: Path,
    variant: str = "",
    *,
    seed: int = 0,
    truth: Sequence[str] = TRUTH,
    split: str = "test",
    rows: Sequence[int] = range(8),
    speed: float = 10.0,
) -> Path:
    """Write a run over 8 images of 5 plants, or over some `rows` of them."""
    rng = np.random.default_rng(seed)
    n = len(rows)
    Predictions(
        model=folder.name,
        split=split,
        image_id=np.array([f"image {row}" for row in rows]),
        observation_id=np.array([f"plant {OBSERVATION[row]}" for row in rows]),
        author=np.array(["anna" if OBSERVATION[row] < 2 else "" for row in rows]),
        view=np.array([VIEWS[row] for row in rows]),
        true_class=np.array([truth[OBSERVATION[row]] for row in rows], dtype=np.str_),
        classes=np.array(CLASSES),
        probability=rng.dirichlet(np.ones(4), n).astype(np.float32),
        images_per_second=speed,
    ).write(predictions_path(folder, split, variant))
    write_run_card(folder, RunCard(folder.name, "head", (f"{folder.name}-net",), "mlp", SPECIES))
    return folder


def evaluate(arguments: Sequence[str | Path], code: int = 0) -> None:
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    assert end.value.code == code


def fuse_json(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, list[dict[str, object]]]:
    evaluate(["fuse", *arguments, "--json"])
    return json.loads(capsys.readouterr().out)


def figure(document: dict[str, list[dict[str, object]]], run: str, metric: str, view: str = "all") -> object:
    (value,) = [
        score["value"]
        for score in document["scores"]
        if (score["run"], score["metric"], score["view"]) == (run, metric, view)
    ]
    return value


def table_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_per_model_and_per_fusion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tuned = write_run(write_run(tmp_path / "tuned", seed=1), "tta5", seed=2, speed=2.0)
    head = write_run(tmp_path / "head", seed=3, speed=40.0)
    evaluate(["fuse", tuned, head, "--rule", "mean", "--rule", "max", "--image-rule", "product", "--out", tmp_path])
    shown = capsys.readouterr()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.out.splitlines() if line[:1] == "│"]
    names = ["tuned", "tuned + TTA5", "head", "fusion:mean", "fusion:max", "fusion:product-then-mean"]
    assert [row[0] for row in rows] == names
    assert {tuple(row[8:10]) for row in rows} == {("8", "5")}
    assert [row[10] for row in rows] == ["10.0", "2.0", "40.0", "8.0", "8.0", "8.0"], "1 / (1/10 + 1/40) = 8"
    scores = json.loads((tmp_path / "fusion-max" / "scores.json").read_text())
    for row in rows:
        figures = [figure(scores, row[0], metric) for metric in ("S", "S_image", "top_1", "top_3", "top_5")]
        assert [row[1], *row[4:8]] == [f"{value:.4f}" for value in figures], "the figures over all views"
    for title in ("run", "S", "95 % of S", "S_image", "Top-1", "Top-3", "Top-5", "images", "observations", "images/s"):
        assert title in shown.out
    assert "Scores on test" in shown.out
    for folder in ("fusion-mean", "fusion-max", "fusion-product-then-mean"):
        assert str(tmp_path / folder) in shown.err
        assert {file.name for file in (tmp_path / folder).iterdir()} == {
            "run.json",
            "scores.csv",
            "scores.json",
            "observations.csv",
            "test.observations.h5",
        }


def test_a_folder_of_runs_stands_for_its_models(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / "runs" / name, seed=seed) for seed, name in enumerate(("one", "two"))]
    named = fuse_json(capsys, *runs, "--out", tmp_path / "runs")
    # The fusion lies there by now, and is no member.
    assert fuse_json(capsys, tmp_path / "runs", "--out", tmp_path / "again")["scores"] == named["scores"]
    compared = fuse_json(capsys, tmp_path / "runs", "--rule", "fixed", "--out", tmp_path / "again")
    assert compared["schema"] == "rules/1"


@pytest.mark.parametrize("command", ["slices", "unknown", "write-run"])
def test_other_commands_take_a_folder_of_runs_alike(
    painted: None, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    models = [write_run(runs / name, seed=seed) for seed, name in enumerate("ab")]
    evaluate(["fuse", *models, "--out", runs])
    documents = []
    for named in (models, [runs]):
        capsys.readouterr()
        evaluate([command, *named, "--out", tmp_path / "out", "--json"])
        documents.append(json.loads(capsys.readouterr().out))
    assert documents[0] == documents[1]


def test_files_and_json_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / name, seed=seed) for seed, name in enumerate(("one", "two"))]
    document = fuse_json(capsys, *runs, "--out", tmp_path / "out")
    folder = tmp_path / "out" / "fusion-mean"
    assert document["schema"] == "scores/1"
    assert document["split"] == "test"
    assert document["folders"] == [str(folder)]
    assert [run["run"] for run in document["runs"]] == ["one", "two", "fusion:mean"]
    assert json.loads((folder / "scores.json").read_text()) == {"schema": "scores/1", "scores": document["scores"]}
    lines = table_of(folder / "scores.csv")
    assert [(line["run"], line["view"], line["metric"], float(line["value"])) for line in lines] == [
        (score["run"], score["view"], score["metric"], score["value"]) for score in document["scores"]
    ]
    views = {score["view"] for score in document["scores"] if score["run"] == "one"}
    assert views == {"all", "Leaf", "Flower", "Stem"}
    card = json.loads((folder / "run.json").read_text())
    assert (card["kind"], card["model"], card["backbones"]) == ("fusion", "fusion:mean", ["one-net", "two-net"])
    assert card["classes"] == SPECIES
    assert [member["run"] for member in card["details"]["members"]] == ["one", "two"]

    answers = table_of(folder / "observations.csv")
    assert [answer["observation_id"] for answer in answers] == [f"plant {number}" for number in range(5)]
    assert [int(answer["n_images"]) for answer in answers] == [2, 1, 3, 1, 1]
    assert [answer["true_species"] for answer in answers] == [SPECIES[class_id] for class_id in TRUTH]
    top_1 = np.mean([answer["top_1_class"] == answer["true_class"] for answer in answers])
    assert figure(document, "fusion:mean", "top_1") == pytest.approx(top_1)
    # Plants 0 and 1 are Anna's; the owners of the others are unknown, so each is a user.
    reciprocal = [1 / float(answer["rank"]) for answer in answers]
    assert figure(document, "fusion:mean", "S") == pytest.approx(np.mean([np.mean(reciprocal[:2]), *reciprocal[2:]]))


def test_one_member_is_fused_over_its_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = fuse_json(capsys, write_run(tmp_path / "one"), "--out", tmp_path)
    for metric in ("S", "S_image", "top_1", "top_3", "top_5"):
        assert figure(document, "fusion:mean", metric) == pytest.approx(figure(document, "one", metric))


def test_augmented_members_get_a_folder_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(write_run(tmp_path / "tuned", seed=1), "tta5", seed=2)
    document = fuse_json(capsys, run, "--tta", "--out", tmp_path)
    assert document["folders"] == [str(tmp_path / "fusion-mean-tta")]
    assert figure(document, "fusion:mean + TTA", "S") == pytest.approx(figure(document, "tuned + TTA5", "S"))
    evaluate(["fuse", write_run(tmp_path / "plain"), "--tta"], code=1)
    assert "finetune run --tta 5" in capsys.readouterr().err


def test_networks_per_organ(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leaf = write_run(tmp_path / "leaf", seed=1, rows=(0, 2, 3, 7, 6))
    flower = write_run(tmp_path / "flower", seed=2, rows=(1, 2, 4, 5, 6, 7))
    evaluate(["fuse", leaf, flower], code=1)
    assert "--align observation" in capsys.readouterr().err
    document = fuse_json(capsys, leaf, flower, "--align", "observation", "--out", tmp_path)
    (fused,) = [run for run in document["runs"] if run["run"] == "fusion:mean"]
    assert (fused["n_images"], fused["n_observations"]) == (8, 5)
    metrics = {score["metric"] for score in document["scores"] if score["run"] == "fusion:mean"}
    assert metrics == set(METRICS) - {"S_image"}


LITTLE = "with fewer than 20 an interval says little, even where it is narrow."


def test_without_truth_the_answers_are_still_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate(["fuse", write_run(tmp_path / "one", truth=[""] * 5), "--out", tmp_path])
    shown = capsys.readouterr()
    assert "nothing can be scored" in shown.err
    assert "fusion:mean" in shown.out
    answers = table_of(tmp_path / "fusion-mean" / "observations.csv")
    assert len(answers) == 5
    assert {answer["rank"] for answer in answers} == {""}
    assert all(answer["top_1_species"] in SPECIES.values() for answer in answers)
    assert table_of(tmp_path / "fusion-mean" / "scores.csv") == []


def test_unknown_and_foreign_classes_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "one", truth=["", "7", "404", "9", "55"])
    document = fuse_json(capsys, run, "--out", tmp_path)
    unknown, foreign, few = document["warnings"]
    assert few == "Only 4 observations of test are scored: " + LITTLE
    assert "left out of the scores: 1 of 5 observations" in unknown
    assert "1 of 5 observations (404)" in foreign
    counted = {score["metric"]: score["n_observations"] for score in document["scores"] if score["view"] == "all"}
    assert counted == {name: 3 if metric.listed_only else 4 for name, metric in METRICS.items()}
    answers = table_of(tmp_path / "fusion-mean" / "observations.csv")
    assert answers[2]["rank"] == "inf"


def test_a_fusion_that_does_not_help_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One run knows every plant, the other is sure of what is wrong."""
    runs = [write_run(tmp_path / name) for name in ("sure", "wrong", "also")]
    for run in runs:
        path = predictions_path(run, "test")
        found = Predictions.read(path)
        right = (found.true_class[:, None] == found.classes).astype(np.float32)
        wrong = np.roll(right, 1, axis=1) * 0.9 + 0.025
        replace(found, probability=(wrong if run.name == "wrong" else right).astype(np.float32)).write(path)

    def told(*named: Path) -> str:
        evaluate(["fuse", *named, "--rule", "mean", "--rule", "max", "--out", tmp_path])
        return capsys.readouterr().err

    assert "Fusing did not help on test: sure alone has S 1.0000, fusion:mean 1.0000." in told(*runs[:2])
    assert "Fusing did not help on test: also alone has S 1.0000, fusion:mean 1.0000." in told(runs[0], runs[2])
    assert "Fusing" not in told(runs[1])


def test_baselines_are_judged_and_not_fused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / "runs" / name, seed=seed) for seed, name in enumerate(("one", "two", "dummy", "none"))]
    for run in runs[2:]:
        write_run_card(run, replace(read_run_card(run), details={"baseline": True}))
    document = fuse_json(capsys, tmp_path / "runs", "--out", tmp_path)
    assert {line["run"] for line in document["runs"]} == {"one", "two", "dummy", "none", "fusion:mean"}
    told = read_run_card(tmp_path / "fusion-mean").details["members"]
    assert [member["run"] for member in told] == ["one", "two"]
    assert "dummy, none look at nothing and are left out of fusions." in document["warnings"]
    # Alone they are what is asked about.
    document = fuse_json(capsys, *runs[2:], "--out", tmp_path)
    assert not any("left out of fusions" in text for text in document["warnings"])


def test_the_split_is_test_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(write_run(tmp_path / "one"), split="valid", seed=4)
    assert fuse_json(capsys, run, "--out", tmp_path)["split"] == "test"
    document = fuse_json(capsys, run, "--split", "valid", "--out", tmp_path)
    assert document["split"] == "valid"
    few, warning = document["warnings"]
    assert few == "Only 5 observations of valid are scored: " + LITTLE
    assert "held a fusion of other files (test); it was replaced. Another --out keeps both." in str(warning)
    assert fuse_json(capsys, run, "--split", "valid", "--out", tmp_path)["warnings"] == [few]
    (tmp_path / "fusion-mean" / "run.json").write_text("{}")
    _, warning = fuse_json(capsys, run, "--out", tmp_path)["warnings"]
    assert "another version" in str(warning)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--rule", "medal"], 1, "Did you mean median?"),
        (["--model-rule", "meen"], 1, "Did you mean mean?"),
        (["--align", "plant"], 1, "an alignment out of image, observation, got 'plant'"),
        (["--split", "valid"], 1, "valid predictions in"),
        (["nowhere"], 1, "got nowhere, which is not there"),
        (["--rules", "mean"], 2, "--rules"),
    ],
)
def test_mistakes_cost_a_message_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    run = write_run(tmp_path / "one")
    evaluate(["fuse", run, *arguments, "--out", tmp_path / "out"], code=code)
    shown = capsys.readouterr()
    assert message in " ".join(shown.err.split())
    assert "Traceback" not in shown.err
    assert shown.out == ""
    assert not (tmp_path / "out").exists()


def test_no_run_at_all_is_wrong_usage() -> None:
    evaluate(["fuse"], code=2)


def test_help_names_every_rule_and_loads_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from evaluation.cli import main\n"
        "try: main(['fuse', '--help'])\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(sorted({'numpy', 'pandas', 'h5py', 'keras', 'tensorflow', 'scipy'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
    shown = "".join(done.stdout.replace("│", " ").split())
    for rule in (*RULES, *LEARNED, *SETS):
        assert rule in shown


def test_further_k_and_pooled_unknown_authors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Plants 2, 3 and 4 have no author: three users, or one."""
    run = write_run(tmp_path / "a")
    found = {
        way: fuse_json(capsys, run, "--top", "2", "--unknown-author", way, "--out", tmp_path) for way in ("own", "one")
    }
    assert 0 < float(str(figure(found["own"], "a", "top_2"))) <= 1
    assert figure(found["own"], "a", "mrr") == figure(found["one"], "a", "mrr")
    ranks = {
        row["observation_id"]: float(row["rank"]) for row in table_of(tmp_path / "fusion-mean" / "observations.csv")
    }
    anna, nobody = (np.mean([1 / ranks[f"plant {plant}"] for plant in plants]) for plants in ((0, 1), (2, 3, 4)))
    assert figure(found["one"], "a", "S") == pytest.approx((anna + nobody) / 2)
    assert figure(found["own"], "a", "S") == pytest.approx((anna + 3 * nobody) / 4)
    evaluate(["fuse", run, "--top", "0", "--out", tmp_path], code=1)
    assert "Top-k" in capsys.readouterr().err


def test_every_row_stands_beside_the_best(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [write_run(tmp_path / name, seed=seed) for seed, name in enumerate("ab")]
    document = fuse_json(capsys, *runs, "--out", tmp_path)
    rows = {str(row["run"]): row for row in document["compared"]}
    figures = {run: float(str(figure(document, run, "S"))) for run in ("a", "b", "fusion:mean")}
    best = max(figures, key=lambda run: figures[run])
    assert [run for run, row in rows.items() if row["best"]] == [best]
    for run, value in figures.items():
        assert float(str(rows[run]["less_best"])) == pytest.approx(value - figures[best])
    evaluate(["fuse", *runs, "--out", tmp_path])
    shown = capsys.readouterr()
    assert "S less best" in shown.out
    assert f"S less best: S less that of {best}, where chance" in shown.err
