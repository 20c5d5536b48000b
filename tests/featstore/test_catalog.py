"""The catalogue's own checks: contradictions are refused, doubts are kept and told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from featstore.catalog import make_catalog, month_of, months_of, number_of, view_of
from featstore.errors import DatasetError


def record(image_id: str, **fields: object) -> dict[str, object]:
    return {"image_id": image_id, "path": f"{image_id}.jpg", "observation_id": image_id, "class_id": "7", **fields}


def test_unknown_fields_are_empty_or_nan() -> None:
    frame = make_catalog([record("1")], Path(), "set").frame
    assert frame.loc[0, "author"] == ""
    assert np.isnan(frame.loc[0, "vote"])
    assert frame.loc[0, "split"] == "train"


def test_no_photographs_at_all() -> None:
    with pytest.raises(DatasetError, match="none in folder"):
        make_catalog([], Path("folder"), "set")


def test_shared_ids_name_both_files() -> None:
    records = [record("1"), record("2"), record("1", path="elsewhere/1.jpg")]
    with pytest.raises(DatasetError, match=r"got 1 shared one \(1: 1.jpg and elsewhere/1.jpg"):
        make_catalog(records, Path(), "set")


def test_an_observation_with_two_classes_is_refused() -> None:
    records = [record(name, observation_id="o", class_id="8" if name == "2" else "7") for name in "12345"]
    records += [record("6")]
    with pytest.raises(DatasetError, match=r"got 1 with several \(o: 7 \(1, 3, 4 and 1 more\), 8 \(2\)\)\."):
        make_catalog(records, Path(), "set")


def test_unknown_classes_contradict_nothing() -> None:
    records = [record("1", observation_id="o"), record("2", observation_id="o", class_id="")]
    assert len(make_catalog(records, Path(), "set").frame) == 2


@pytest.mark.parametrize(("field", "word"), [("author", "authors"), ("date", "days")])
def test_two_authors_or_days_are_kept_and_told(field: str, word: str) -> None:
    records = [
        record("1", observation_id="o", **{field: "2014-1"}),
        record("2", observation_id="o", **{field: "2014-2"}),
    ]
    catalog = make_catalog(records, Path(), "set")
    assert len(catalog.frame) == 2
    assert catalog.warnings == (f"1 observation has several {word} and was kept: o",)


def test_every_doubtful_observation_is_listed() -> None:
    records = [record(f"{o}-{a}", observation_id=f"o{o}", author=a) for o in range(30) for a in "ab"]
    (warning,) = make_catalog(records, Path(), "set").warnings
    assert all(f"o{o}" in warning for o in range(30))


def test_classes_without_training_images_are_told() -> None:
    records = [record("1"), record("2", class_id="9", split="test"), record("3", class_id="")]
    warnings = make_catalog(records, Path(), "set").warnings
    assert any(
        "1 test class has no training images and cannot be found" in text and text.endswith(": 9") for text in warnings
    )
    assert any("1 training image has no class and cannot train" in text and text.endswith(": 3") for text in warnings)


def test_photographs_that_nobody_has_named_are_told_together() -> None:
    records = [record(str(n), class_id="") for n in range(47)]
    (warning,) = make_catalog(records, Path(), "set").warnings
    assert warning == "no photograph has a class: a model can answer for them, and none can learn from them"


def test_places_that_are_none_are_kept_as_unknown_and_told() -> None:
    places = [(43.6, 3.25), (999, 180), (-90.5, -180.01), (90, float("nan"))]
    records = [record(str(n), latitude=north, longitude=east) for n, (north, east) in enumerate(places)]
    catalog = make_catalog(records, Path(), "set")
    np.testing.assert_array_equal(catalog.frame["latitude"], [43.6, np.nan, np.nan, 90])
    np.testing.assert_array_equal(catalog.frame["longitude"], [3.25, 180, np.nan, np.nan])
    assert catalog.warnings == (
        "2 latitudes are not from -90 to 90 and kept as unknown: 999 of 1, -90.5 of 2",
        "1 longitude is not from -180 to 180 and kept as unknown: -180.01 of 2",
    )


@pytest.mark.parametrize(
    ("text", "month"),
    [
        ("2014-06-21", 6), ("2014-6", 6), (" 2014/06/21 ", 6), ("2014.6.21", 6), ("2014:06:21 10:30:00", 6),
        ("2014-06-21T10:30:00Z", 6), ("2014-06-21 00:00:00", 6), ("2014-06-00", 6), ("21.06.2014", 6),
        ("1. 12. 2014", 12), ("29.02.2012", 2), ("29.02.2014", 0), ("31.02.2014", 0), ("2014-13-01", 0),
        ("2014-0-1", 0), ("0000:00:00", 0), ("June 2014", 0), ("6/7/2014", 0), ("1/6/12", 0), ("2014", 0),
        ("2014-06-21x", 0), ("2014-06 or so", 0), ("2014-06/21", 0), ("", 0),
    ],
)  # fmt: skip
def test_a_date_tells_its_month_in_the_usual_forms(text: str, month: int) -> None:
    assert month_of(text) == month


@pytest.mark.parametrize(
    ("dates", "months"),
    [
        (["6/7/2014", "21/6/2014", "1-2-2014 10:30"], [7, 6, 2]),
        (["6/7/2014", "6/21/2014", "2014-03-09"], [6, 6, 3]),
        # Nothing decides, or both orders are there; what tells its month alone does so.
        (["6/7/2014", "2014-06-21", "21.06.2014"], [0, 6, 6]),
        (["6/7/2014", "21/6/2014", "6/21/2014"], [0, 0, 0]),
        # No day of any month decides nothing.
        (["6/7/2014", "31/2/2014", "45/6/2014"], [0, 0, 0]),
        (["6/7/2014", "21/6/2014", "31/2/2014"], [7, 6, 0]),
        ([], []),
    ],
)
def test_whether_day_or_month_comes_first_the_other_dates_tell(dates: list[str], months: list[int]) -> None:
    assert [months_of(dates)[text] for text in dates] == months


def test_dates_of_either_order_are_told() -> None:
    dates = ["6/7/2014", "6/7/2014", "summer", "2014-06-21"]
    (told,) = make_catalog([record(str(n), date=text) for n, text in enumerate(dates)], Path(), "set").warnings
    assert told.startswith("3 dates cannot be read and tell no month")
    assert told.endswith("; 2 may have day or month first, and the other dates do not decide")
    decided = [*dates[:2], "21/6/2014"]
    assert make_catalog([record(str(n), date=text) for n, text in enumerate(decided)], Path(), "set").warnings == ()


def test_dates_that_cannot_be_read_are_told() -> None:
    dates = ["2014-06-21", "31.02.2014", "June 2014", "", "June 2014", "summer"]
    catalog = make_catalog([record(str(n), date=text) for n, text in enumerate(dates)], Path(), "set")
    assert catalog.frame["date"].tolist() == dates
    (told,) = catalog.warnings
    assert told == (
        "4 dates cannot be read and tell no month (readable are 2014-06-21, 2014-06 and 21.06.2014): "
        "'31.02.2014' of 1, 'June 2014' of 2, 'June 2014' of 4 and 1 more"
    )


def test_views_and_numbers_are_read_leniently() -> None:
    assert [view_of(text) for text in (" flower", "LEAFSCAN", "Bark", "root")] == [
        "Flower",
        "LeafScan",
        "Stem",
        "Unknown",
    ]
    assert number_of("3,67") == 3.67
    assert np.isnan(number_of(""))
