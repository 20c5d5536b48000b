"""The official table of 2014 and a run's place in it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from evaluation.official.standings import (
    ARTICLE,
    N_IMAGES,
    N_OBSERVATIONS,
    OFFICIAL_2014,
    PRETRAINED,
    UNSTATED,
    UNTRAINED,
    compare_2014,
    label_of,
    require_official,
)
from evaluation.official.truth import Truth
from evaluation.runs import RunCard
from featstore.errors import SettingsError
from featstore.provenance import Json


def test_the_article_beats_the_winner_by_the_published_29_percent() -> None:
    best = max(row.observation for row in OFFICIAL_2014)
    assert ARTICLE[-1].observation / best == pytest.approx(1.29, abs=0.005)
    assert {row.label for row in ARTICLE} == {PRETRAINED}
    falling = [row.observation for row in OFFICIAL_2014]
    assert falling == sorted(falling, reverse=True)
    assert [row.run for row in OFFICIAL_2014 if not row.read_off] == ["IBM AU 4", "IBM AU 3", "IBM AU 2", "IBM AU 1"]


@pytest.mark.parametrize(
    ("value", "place"),
    [(0.9, "1"), (0.4711, "1"), (0.471, "2"), (0.3, "4"), (0.289, "6"), (0.089, "19"), (0.05, "20 or later")],
)
def test_a_tie_never_flatters_and_the_article_takes_no_place(value: float, place: str) -> None:
    comparison = compare_2014("ours", {"S": value}, PRETRAINED)
    assert comparison.place_text == place
    assert PRETRAINED in comparison.sentence
    table = comparison.table()
    own = [row for row in table if row[1] == "ours"]
    assert own == [[f"({place})", "ours", f"{value:.4f}", "-", PRETRAINED]]
    assert [row[0] for row in table if row[4] and row[1] != "ours"] == [""] * 3
    shown = [float(row[2].lstrip("~").split()[0]) for row in table]
    assert shown == sorted(shown, reverse=True)


def test_reading_errors_are_told() -> None:
    assert "within reading error of PlantNet 2, PlantNet 3" in compare_2014("ours", {"S": 0.2895}, "x").sentence
    assert "reading error" not in compare_2014("ours", {"S": 0.4705}, "x").sentence, "IBM's figures are printed"
    cells = {row[1]: row[2] for row in compare_2014("ours", {"S": 0.5}, "x").table()}
    assert (cells["IBM AU 4"], cells["QUT 1"]) == ("0.471", "~0.249")
    assert cells["SZTE, Miracl, IV-Processing (all their runs)"] == "~0.088 to ~0.043"


def test_an_image_run_is_placed_among_those_with_a_figure() -> None:
    comparison = compare_2014("ours", {"S": math.nan, "S_image": 0.27}, UNSTATED)
    assert (comparison.metric, comparison.place_text) == ("S_image", "7")
    told = "place 7 in 2014 among those whose S_image is known (within reading error of PlantNet 1)"
    assert told in comparison.sentence
    assert "QUT 1" not in {row.run for row in comparison.rows}
    document = comparison.to_json()
    assert [row["run"] for row in document["rows"] if row["own"]] == ["ours"]


def test_without_figure_or_label_there_is_no_place() -> None:
    with pytest.raises(SettingsError, match="S or S_image"):
        compare_2014("ours", {}, PRETRAINED)
    with pytest.raises(SettingsError, match="--label"):
        compare_2014("ours", {"S": 0.5}, "")


def test_other_plants_than_the_official_ones_are_refused() -> None:
    plants = np.array([f"{number}" for number in range(N_OBSERVATIONS)])
    index = np.arange(N_IMAGES) % N_OBSERVATIONS
    images = np.array([f"{number}" for number in range(N_IMAGES)])
    nobody = np.empty(0, dtype=np.str_)
    truth = Truth("test", plants, plants, plants, images, images, index, None, nobody, nobody)
    require_official(truth)
    with pytest.raises(SettingsError, match="8,163 observations with 13,145 photographs"):
        require_official(replace(truth, image_id=images[:-1], view=images[:-1], plant=index[:-1]))


def card(details: dict[str, Json]) -> RunCard:
    return RunCard("a", "head", ("vgg16",), "mlp", {"7": ""}, details)


@pytest.mark.parametrize(
    ("details", "label"),
    [
        ([{"weights": {"vgg16": "imagenet"}}], PRETRAINED),
        ([{"weights": "imagenet"}, {"weights": "random"}], PRETRAINED),
        ([{"weights": "weights/vgg16.weights.h5"}], PRETRAINED),
        ([{"weights": "random"}, {"weights": {"colour": "none"}}], UNTRAINED),
        ([{"weights": "random"}, {}], UNSTATED),
        ([], UNSTATED),
    ],
)
def test_one_member_with_trained_weights_makes_the_run_pretrained(details: list[dict[str, Json]], label: str) -> None:
    assert label_of([card(one) for one in details]) == label
    if label == UNTRAINED:
        assert label_of([*(card(one) for one in details), None]) == UNSTATED
