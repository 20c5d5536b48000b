"""The study before it begins: what is refused, with nothing computed or written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest

from featstore.cli import main as featstore
from featstore.errors import WeightsError
from featstore.provenance import write_json
from featstore.synth import SynthSettings, synthesise
from finetune.cli import main
from finetune.study import work
from finetune.study.demo import DemoSettings, demo_steps
from finetune.study.journal import Journal
from finetune.study.measure import REFUSED, Speeds
from finetune.study.photographs import look_at
from finetune.study.plan import ArticleSettings
from finetune.study.step import digests
from finetune.study.work import plan_article

NETWORKS = ("mobilenet", "mobilenet_v2")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "photos"
    synthesise(folder, SynthSettings(n_species=3, n_observations=4, side_px=32))
    return folder


class Measuring:
    """Stands in for the process that measures."""

    def __init__(self, refusal: Sequence[str] = ()) -> None:
        self.refusal = refusal
        self.asked: list[dict[str, object]] = []

    def __call__(self, arguments: Sequence[str], log: Path) -> tuple[int, str]:
        _, asked, answer = arguments
        self.asked.append(json.loads(Path(asked).read_text()))
        if self.refusal:
            write_json(Path(answer + REFUSED), {"error": [*self.refusal]})
            return 1, ""
        one = dict.fromkeys(NETWORKS, 1.0)
        speeds = Speeds(1.0, {"article": 0.1, "none": 0.1}, one, dict.fromkeys(NETWORKS, 1), one)
        write_json(Path(answer), asdict(speeds))
        return 0, ""


def test_weights_that_are_not_there_are_refused_before_anything(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "weights").mkdir()
    with pytest.raises(SystemExit) as caught:
        main(["article", str(photos), "--out", str(tmp_path / "out"), "--weights", str(tmp_path / "weights")])
    assert caught.value.code == 1
    assert "vgg16.weights.h5" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_download_that_fails_is_refused_before_anything_is_computed(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(work, "call", Measuring(("the ImageNet weights of mobilenet", "no network", "Offline: copy.")))
    settings = ArticleSettings(photos, tmp_path / "out", backbones=NETWORKS)
    with pytest.raises(WeightsError, match=r"ImageNet weights of mobilenet, got no network\. Offline"):
        plan_article(settings, dry=False)
    assert not settings.store.exists()
    assert not (tmp_path / "out" / f"speeds.json{REFUSED}").exists()


def test_a_dry_run_downloads_and_writes_nothing_and_the_measurement_is_kept(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    measuring = Measuring()
    monkeypatch.setattr(work, "call", measuring)
    settings = ArticleSettings(photos, tmp_path / "out", backbones=NETWORKS)
    plan = plan_article(settings, dry=True)
    assert plan.to_download == NETWORKS
    assert measuring.asked[0]["weights"] == dict.fromkeys(NETWORKS, "random")
    assert not settings.out.exists()
    plan_article(settings, dry=False)
    assert measuring.asked[1]["weights"] == dict.fromkeys(NETWORKS, "imagenet")
    plan_article(settings, dry=False)
    assert len(measuring.asked) == 2
    assert Speeds.read(settings.out / "speeds.json").start_s == 1.0


def test_a_dry_demo_tells_steps_and_photographs_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "demo"
    words = ["demo", "--out", str(out), "--species", "3", "--observations", "4"]

    def told(*more: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main([*words, *more])
        assert not ended.value.code
        return capsys.readouterr().out

    ahead = json.loads(told("--dry-run", "--json"))
    assert not out.exists()
    settings = DemoSettings(out, n_species=3, n_observations=4)
    drawn = synthesise(tmp_path / "photos", settings.drawn())
    assert (ahead["photographs"], ahead["observations"]) == (drawn.n_images, drawn.n_observations)
    # What is foreseen to be drawn is what the first step draws.
    first, *others = demo_steps(settings)
    assert [step["command"] for step in ahead["steps"]] == [first.line, *(step.line for step in others)]
    with pytest.raises(SystemExit, match="0"):
        featstore(list(first.command[1:]))
    marker = out / "photos" / "synth.json"
    assert marker.read_text() == (tmp_path / "photos" / "synth.json").read_text()
    capsys.readouterr()

    journal = Journal(out)
    journal.begin(first.name, digests([first])[first.name], first.line, "")
    journal.end(first.name, 0, 1.0)
    states = {step["step"]: step["done"] for step in json.loads(told("--dry-run", "--json"))["steps"]}
    assert states == {first.name: True, **{step.name: False for step in others}}
    assert "three to five minutes" in told("--dry-run")
    assert {path.name for path in out.iterdir()} == {"photos", "journal.json"}


def test_photographs_are_counted_and_any_change_is_noticed(photos: Path) -> None:
    found = look_at(photos)
    n_files = {name: len(list((photos / name).glob("*.jpg"))) for name in ("train", "test")}
    assert (found.n_train, found.n_test) == (n_files["train"], n_files["test"])
    assert found.n_classes == 3
    assert found.n_voted["all-votes"] == found.n_train > found.n_voted["article"] >= found.n_voted["votes-3"] > 0
    assert look_at(photos).digest == found.digest
    one = photos / found.sample[0][0]
    one.write_bytes(one.read_bytes() + b"\0")
    assert look_at(photos).digest != found.digest


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(SystemExit) as caught:
        main(["article", str(tmp_path), "--weights", "random"])
    assert caught.value.code == 1
    assert "error: Expected" in capsys.readouterr().err
