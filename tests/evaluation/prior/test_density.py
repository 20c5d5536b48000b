"""Densities on circle and sphere against integrals, SciPy and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import vonmises

from evaluation.prior.density import ASPECTS, SMOOTHING, Density
from evaluation.prior.learning import learn
from evaluation.prior.records import Records, read_records, unit_vectors


def papers(**columns: list[object]) -> pd.DataFrame:
    n = len(columns["image_id"])
    text = {name: [""] * n for name in ("observation_id", "class_id", "author", "date")}
    return pd.DataFrame({**text, "latitude": [np.nan] * n, "longitude": [np.nan] * n, **columns})


def months(angles_of: list[float]) -> np.ndarray:
    angle = 2 * np.pi * np.array(angles_of) / 12
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)


def arc(angle: float, width: float) -> float:
    return float(ASPECTS["month"].density(np.cos(angle), width))


def ring(angle: float, width: float) -> float:
    return 2 * np.pi * math.sin(angle) * float(ASPECTS["place"].density(np.cos(angle), width))


def test_kernels_are_densities() -> None:
    for width in ASPECTS["month"].widths:
        whole, _ = quad(arc, -np.pi, np.pi, args=(width,))
        assert whole == pytest.approx(1)
    for width in ASPECTS["place"].widths:
        whole, _ = quad(ring, 0, 10 * width / 6371, args=(width,))
        assert whole == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("smoothing", [0.3, 3.0])
def test_months_by_plain_loops(smoothing: float) -> None:
    when, number, width = [1.0, 12.0, 6.0, 7.0, 1.0], [0, 0, 1, 1, 1], 1.0
    density = Density.of(ASPECTS["month"], months(when), np.array(number), 3)
    found = density.log_ratio(np.concatenate([months([2.0, 9.0]), [[np.nan, np.nan]]]), width, smoothing)
    concentration = (2 * np.pi / 12) ** -2
    for row, asked in enumerate((2.0, 9.0)):
        kernels = vonmises.pdf(2 * np.pi * (asked - np.array(when)) / 12, concentration)
        overall = (kernels.sum() + 1 / (2 * np.pi)) / 6
        for one in range(3):
            own = kernels[np.array(number) == one]
            expected = (own.sum() + smoothing * overall) / (len(own) + smoothing) / overall
            assert found[row, one] == pytest.approx(np.log(expected))
    assert found[:2, 2].tolist() == pytest.approx([0, 0]), "a class without records says nothing"
    assert found[2].tolist() == [0, 0, 0], "nor does an unknown month"


def test_places_by_great_circles_and_out_of_reach() -> None:
    latitude, longitude = np.array([43.6, 43.7, 48.8]), np.array([3.9, 3.8, 2.3])
    density = Density.of(ASPECTS["place"], unit_vectors(latitude, longitude), np.array([0, 1, 1]), 2)
    asked = unit_vectors(np.array([43.65, -20.0]), np.array([3.9, 50.0]))
    found = density.log_ratio(asked, 30.0, 1.0)
    north, east = np.radians(43.65), np.radians(3.9)
    haversine = np.sin((np.radians(latitude) - north) / 2) ** 2
    haversine += np.cos(north) * np.cos(np.radians(latitude)) * np.sin((np.radians(longitude) - east) / 2) ** 2
    km = 2 * 6371 * np.arcsin(np.sqrt(haversine))
    # So narrow, the kernel is a Gaussian of the distance.
    kernels = np.exp(-0.5 * (km / 30) ** 2) / (2 * np.pi * (30 / 6371) ** 2)
    overall = (kernels.sum() + 1 / (4 * np.pi)) / 4
    expected = [(kernels[0] + overall) / 2 / overall, (kernels[1:].sum() + overall) / 3 / overall]
    np.testing.assert_allclose(found[0], np.log(expected), rtol=1e-3)
    assert found[1].tolist() == [0, 0]
    assert density.within_reach(asked, 30.0).tolist() == [True, False]


def test_every_smoothing_at_once_is_each_by_itself() -> None:
    density = Density.of(ASPECTS["month"], months([1, 2, 7]), np.array([0, 0, 1]), 2)
    asked = months([1.5, 8])
    each = np.stack([density.log_ratio(asked, 1.0, smoothing) for smoothing in SMOOTHING])
    np.testing.assert_array_equal(density.log_ratios(asked, 1.0), each)


def test_an_observation_stands_where_its_images_are() -> None:
    found = read_records(
        papers(
            image_id=["1", "2", "3", "4", "5"],
            observation_id=["a", "a", "b", "b", ""],
            class_id=["", "x", "y", "y", "z"],
            author=["", "anna", "ben", "", ""],
            date=["3.12.2013", "2014-1-30", "in May", "", "2013-6"],
            latitude=[10.0, 10.0, 0.0, np.nan, 95.0],
            longitude=[179.0, -179.0, 0.0, 3.0, 3.0],
        )
    )
    assert found.observation_id.tolist() == ["5", "a", "b"]
    assert found.class_id.tolist() == ["z", "x", "y"]
    assert found.author.tolist() == ["", "anna", "ben"]
    # Between the two, across the date line and the turn of the year.
    np.testing.assert_allclose(found.place[1], unit_vectors(np.array([10.0]), np.array([180.0]))[0], atol=1e-3)
    np.testing.assert_allclose(found.month[1], months([12.5])[0], atol=1e-12)
    np.testing.assert_allclose(found.month[0], months([6])[0])
    assert np.isnan(found.place[[0, 2]]).all(), "no such latitude, and 0, 0, which means unknown"
    assert np.isnan(found.month[2]).all()
    assert found.unread == ("in May",)


def test_other_dates_tell_whether_the_day_comes_first() -> None:
    names = {"image_id": ["1", "2"], "observation_id": ["1", "2"], "class_id": ["x", "x"]}
    found = read_records(papers(**names, date=["6/7/2014", "21/6/2014"]))
    np.testing.assert_allclose(found.month, months([7, 6]))
    assert read_records(papers(**names, date=["6/7/2014", "2014-6-21"])).unread == ("6/7/2014",)


def seasonal(seed: int, n: int, share: float) -> Records:
    """Two classes: one is seen in January in `share` of all cases, else in July; the other the other way round."""
    rng = np.random.default_rng(seed)
    number = np.arange(n) % 2
    july = (rng.random(n) < share) == (number == 1)
    ids = np.array([f"{seed}-{row}" for row in range(n)])
    author = np.array([f"a{row % 50}" for row in range(n)])
    return Records(ids, number.astype(np.str_), author, np.full((n, 3), np.nan), months(np.where(july, 7, 1).tolist()))


def test_the_gain_of_records_is_the_information_of_the_month() -> None:
    records = seasonal(0, 1000, 0.8)
    learnt = learn("month", records, records.class_id.astype(np.intp), 2, seed=0)
    assert learnt is not None
    information = math.log(2) + 0.8 * math.log(0.8) + 0.2 * math.log(0.2)
    assert learnt.gain == pytest.approx(information, abs=3 * learnt.error)
    assert learnt.error < 0.04
    again = learn("month", records, records.class_id.astype(np.intp), 2, seed=0)
    assert again is not None
    assert (again.width, again.smoothing, again.gain) == (learnt.width, learnt.smoothing, learnt.gain)
    assert learn("place", records, records.class_id.astype(np.intp), 2, seed=0) is None


def test_one_author_alone_cannot_be_held_out() -> None:
    records = seasonal(0, 20, 0.8)
    alone = Records(records.observation_id, records.class_id, np.full(20, "anna"), records.place, records.month)
    assert learn("month", alone, alone.class_id.astype(np.intp), 2, seed=0) is None
