"""The plan of the article's study: every line of it is one that the command lines take."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest
import typer

from featstore.errors import SettingsError
from finetune.study.child import PROGRAMS
from finetune.study.demo import DemoSettings, demo_steps
from finetune.study.plan import ArticleSettings, article_steps
from finetune.study.step import Step
from finetune.study.variations import LEAVABLE, VARIATIONS


def settings(**options: object) -> ArticleSettings:
    return ArticleSettings(Path("PlantCLEF2014"), Path("article"), **options)  # type: ignore[arg-type]


DEMO = DemoSettings(Path("demo"), backbones=("seedling", "vgg16"), weights=("random", "seedling=shipped"), side_px=96)


def parsed(step: Step) -> dict[str, object]:
    """Options and arguments as the command line itself reads them; it refuses what it does not know."""
    program, command, *arguments = step.command
    group = typer.main.get_command(import_module(PROGRAMS[program]).app)
    found = group.get_command(None, command)  # type: ignore[attr-defined]
    context = found.make_context(command, arguments)
    return dict(context.params)


@pytest.mark.parametrize(
    "step", [*article_steps(settings(side_px=80, epochs=1), "x"), *demo_steps(DEMO)], ids=lambda step: step.name
)
def test_every_step_is_a_line_that_its_command_takes(step: Step) -> None:
    assert parsed(step)


def test_the_whole_article_is_in_it() -> None:
    steps = {step.name: parsed(step) for step in article_steps(settings(), "x")}
    features = [steps[name] for name in ("features", "features-max", "features-whole")]
    assert [(one["pooling"], one["roi"]) for one in features] == [
        ("avg", "article"),
        ("max", "article"),
        ("avg", "none"),
    ]
    assert all(one["backbone"] == ["vgg16", "vgg19", "resnet50", "inception_v3"] for one in features)
    votes = {name: one["min_vote"] for name, one in steps.items() if name.startswith("heads")}
    assert votes == {"heads": 2, "heads-max": 2, "heads-whole": 2, "heads-all-votes": None, "heads-votes-3": 3}
    trained = {name: one for name, one in steps.items() if name.startswith("finetune")}
    assert {name: one["min_vote"] for name, one in trained.items()} == {
        "finetune": 2, "finetune-whole": 2, "finetune-votes-3": 3
    }  # fmt: skip
    assert trained["finetune"]["backbone"] == ["resnet50", "inception_v3"]
    assert trained["finetune-whole"]["backbone"] == ["resnet50-whole", "inception_v3-whole"]
    assert all(one["tta"] == 5 for one in trained.values())
    assert len(steps["article"]["runs"]) == len(steps["fuse"]["runs"]) == 6  # type: ignore[arg-type]


@pytest.mark.parametrize("without", [(), *((part,) for part in LEAVABLE), LEAVABLE])
def test_each_step_stands_behind_those_it_needs_and_reads_what_they_make(without: tuple[str, ...]) -> None:
    made: list[Path] = []
    before: list[str] = []
    for step in article_steps(settings(without=without), "x"):
        assert set(step.needs) <= set(before)
        runs = [Path(word) for word in step.where_there]
        assert all(any(path.parent == run for path in made) for run in runs), step.name
        made += step.outputs
        before.append(step.name)
    for part in set(without) & set(VARIATIONS):
        assert not any(part in name for name in before)


def test_what_cannot_be_done_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match="--without among max"):
        settings(without=("voting",))
    with pytest.raises(SettingsError, match="Name it by --backbone"):
        settings(backbones=("mobilenet",), fine_tuned=("vgg16",))
    with pytest.raises(SettingsError, match="networks with weights"):
        settings(backbones=("colour",))
    with pytest.raises(SettingsError, match="inception_v3"):
        settings(side_px=64)
    with pytest.raises(SettingsError, match=r"epochs.*got -1"):
        settings(epochs=-1)
    with pytest.raises(SettingsError, match=r"seed.*got -1"):
        settings(seed=-1)
    with pytest.raises(SettingsError, match=r"epochs.*got -1"):
        DemoSettings(Path("demo"), epochs=-1)


def test_networks_of_ones_own_are_all_fine_tuned_unless_the_articles_are_among_them() -> None:
    assert settings(backbones=("mobilenet", "vgg16")).trained == ("mobilenet", "vgg16")
    assert settings(backbones=("vgg16", "resnet50")).trained == ("resnet50",)
    assert settings(without=("fine-tuning",)).trained == ()


def test_the_demo_needs_a_network_that_can_learn_and_says_which_have_not() -> None:
    assert DEMO.trained == "seedling"
    assert DEMO.has_random_weights
    assert not DemoSettings(Path("demo"), weights=("imagenet", "vgg16=mine")).has_random_weights
    with pytest.raises(SettingsError, match="can be fine-tuned"):
        DemoSettings(Path("demo"), backbones=("colour",))
