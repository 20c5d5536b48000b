"""The forecast: sums of what was measured, for what is still to be done."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from finetune.study.forecast import Forecast, foresee
from finetune.study.measure import Speeds
from finetune.study.photographs import Photographs
from finetune.study.plan import ArticleSettings, article_steps
from finetune.study.variations import VARIATIONS

ROOT = Path(__file__).parents[3]
NAMES = ("vgg16", "resnet50")
SETTINGS = ArticleSettings(Path("photos"), Path("article"), "random", NAMES, epochs=10)
FOUND = Photographs(
    Path("photos"), "digest", n_images=4000, n_train=3000, n_test=1000, n_classes=50, n_observations=1500,
    n_voted=dict.fromkeys(VARIATIONS, 3000) | {"votes-3": 1500}, sample=(),
)  # fmt: skip
SPEEDS = Speeds(
    start_s=0.0, decode_s={"article": 0.0, "none": 0.0}, images_per_second={"vgg16": 10.0, "resnet50": 20.0},
    weight_bytes={"vgg16": 60_000_000, "resnet50": 90_000_000}, head_s={"vgg16": 30.0, "resnet50": 50.0},
)  # fmt: skip


def forecast(speeds: Speeds = SPEEDS, found: Photographs = FOUND, done: tuple[str, ...] = ()) -> Forecast:
    steps = article_steps(SETTINGS, "x")
    return foresee(SETTINGS, steps, {step.name: step.name in done for step in steps}, found, speeds)


def seconds(ahead: Forecast) -> dict[str, float]:
    return {step.name: step.seconds for step in ahead.steps}


def test_each_step_takes_what_its_photographs_take() -> None:
    told = seconds(forecast())
    assert told["features"] == told["features-max"] == pytest.approx(4000 / 10 + 4000 / 20)
    assert told["heads"] == pytest.approx(80)
    assert told["heads-votes-3"] == pytest.approx(40)
    # Ten epochs, at three times a look, of three quarters of train; eleven looks at valid; seven at valid and test.
    assert told["finetune"] == pytest.approx((10 * 3 * 2250 + 11 * 750 + 7 * 1750) / 20)
    assert told["finetune-votes-3"] == pytest.approx((10 * 3 * 1125 + 11 * 750 + 7 * 1750) / 20)


def test_twice_the_photographs_take_twice_the_disk_and_decoding_adds_to_every_step_that_decodes() -> None:
    twice = replace(
        FOUND, n_images=8000, n_train=6000, n_test=2000, n_voted={name: 2 * n for name, n in FOUND.n_voted.items()}
    )
    small, large = ({step.name: step.n_bytes for step in forecast(found=found).steps} for found in (FOUND, twice))
    assert small["features"] == 4000 * (512 + 2048) * 4
    assert large["features"] == 2 * small["features"]
    slow = seconds(forecast(replace(SPEEDS, decode_s={"article": 1.0, "none": 0.0})))
    assert slow["features"] > seconds(forecast())["features"]
    assert slow["features-whole"] == seconds(forecast())["features-whole"]
    assert slow["finetune"] > seconds(forecast())["finetune"]


def test_the_total_is_about_what_is_still_to_be_done() -> None:
    every = forecast()
    some = forecast(done=("features", "heads"))
    told = seconds(every)
    assert every.seconds == pytest.approx(sum(told.values()))
    assert some.seconds == pytest.approx(every.seconds - told["features"] - told["heads"])
    assert some.n_bytes < every.n_bytes
    # 224 x 224 x 3 bytes of each photograph are cut for training, and go again.
    assert every.n_bytes > sum(step.n_bytes for step in every.steps) + 4000 * 224 * 224 * 3


def test_the_table_of_the_docs_is_computed_from_what_they_name() -> None:
    speed = {"vgg16": 7.3, "vgg19": 5.8, "resnet50": 25.4, "inception_v3": 17.4}
    n_train, n_test, n_vote_1 = 47_815, 13_146, 1_966
    found = Photographs(
        Path("package"), "digest", n_images=n_train + n_test, n_train=n_train, n_test=n_test, n_classes=500,
        n_observations=0, n_voted=dict.fromkeys(VARIATIONS, n_train - n_vote_1) | {"all-votes": n_train}, sample=(),
    )  # fmt: skip
    speeds = Speeds(
        start_s=0.0, decode_s={"article": 0.0, "none": 0.0}, images_per_second=speed,
        weight_bytes=dict.fromkeys(speed, 94_000_000), head_s=dict.fromkeys(speed, 126.0 + 50.0),
    )  # fmt: skip

    def told(*without: str) -> Forecast:
        settings = ArticleSettings(Path("package"), Path("article"), without=without)
        steps = article_steps(settings, "x")
        return foresee(settings, steps, {step.name: False for step in steps}, found, speeds)

    ahead, frozen = told(), told("fine-tuning")
    of = {step.name: step for step in ahead.steps}
    text = (ROOT / "docs" / "article.md").read_text(encoding="utf-8")
    features, training, telling = of["features"], of["finetune"], of["report"]
    hours, gb = 3600, 1e9
    assert f"of features | {features.seconds / hours:.0f} h | {features.n_bytes / gb:.1f} |" in text
    assert f"instead of {features.seconds / hours:.1f}" in text
    fits = "minutes: selu head 126 s, logistic 50 s for 2,048 features"
    assert f"comparisons of heads | {fits} | {of['heads'].n_bytes / gb:.1f} |" in text
    assert 60 < of["heads"].seconds < hours
    cells = (
        f"{training.seconds / hours:.0f} h | {training.n_bytes / gb:.1f}, and {training.passing_bytes / gb:.0f} while"
    )
    assert f"all 20 epochs of both networks | {cells}" in text
    assert telling.seconds < 60
    assert telling.n_bytes < 0.1 * gb
    total = f"**{ahead.seconds / 24 / hours:.0f} days**; {frozen.seconds / hours:.0f} h `--without fine-tuning`"
    assert f"| {total} | **{ahead.n_bytes / gb:.0f}** at most |" in text
    assert f"three quarters, {found.n_learnt(VARIATIONS['article']):,}, teach" in text
    assert f"the 47,815, {found.n_valid:,}, is valid" in text
