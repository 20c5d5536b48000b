"""What every head in the table promises, checked for each of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from featstore.errors import PhytobenchError, SettingsError
from heads.examples import Examples, HeadError
from heads.head import Head
from heads.registry import HEADS, create_head, load_head

CLASSES = np.array(["10", "9", "100", "2001"])
"""Out of order, and ordered differently as numbers and as strings."""

D = 24
Data = tuple[NDArray[np.float32], NDArray[np.str_]]


def blobs(seed: int, n: int = 120) -> Data:
    """Four overlapping classes around fixed centres."""
    centres = np.random.default_rng(99).normal(size=(4, D))
    rng = np.random.default_rng(seed)
    number = np.arange(n) % 4
    return (0.6 * centres[number] + rng.normal(0, 0.6, (n, D))).astype(np.float32), CLASSES[number]


def accuracy(head: Head, data: Data) -> float:
    features, labels = data
    return float(np.mean(head.classes_[head.predict_proba(features).argmax(axis=1)] == labels))


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


TRAIN, VALID, TEST = blobs(0), blobs(1, 60), blobs(2, 80)


@pytest.fixture(scope="module", params=list(HEADS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[name for name, spec in HEADS.items() if not spec.baseline])
def learner(request: pytest.FixtureRequest) -> str:
    """A head that learns something."""
    return str(request.param)


@pytest.fixture(scope="module")
def fitted(name: str) -> Head:
    return create_head(name, seed=3).fit(*TRAIN, valid=Examples(*VALID))


@pytest.fixture(scope="module")
def saved(name: str, fitted: Head, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(name) / "head"
    fitted.save(folder)
    return folder


def test_probabilities_are_distributions_over_sorted_raw_ids(fitted: Head) -> None:
    probability = fitted.predict_proba(TEST[0])
    assert fitted.classes_.tolist() == ["10", "100", "2001", "9"]
    assert probability.dtype == np.float32
    assert probability.shape == (80, 4)
    assert (probability >= 0).all()
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)


def test_it_learns(name: str, fitted: Head) -> None:
    assert accuracy(fitted, TEST) > 0.9 or HEADS[name].baseline


def test_one_row_is_answered_as_among_many(fitted: Head) -> None:
    together = fitted.predict_proba(TEST[0])
    alone = np.concatenate([fitted.predict_proba(row[np.newaxis]) for row in TEST[0][:3]])
    np.testing.assert_allclose(alone, together[:3], atol=1e-6)


def test_the_same_seed_and_data_give_the_same_fit_bit_for_bit(name: str, fitted: Head) -> None:
    again = create_head(name, seed=3).fit(*TRAIN, valid=Examples(*VALID))
    np.testing.assert_array_equal(again.predict_proba(TEST[0]), fitted.predict_proba(TEST[0]))


def test_valid_decides_how_long_to_train_and_teaches_nothing(fitted: Head) -> None:
    """With its choice fixed, the head learns the same from train alone."""
    fixed = fitted.for_refit()
    assert not hasattr(fixed, "classes_")
    assert {name: fixed.settings()[name] for name in fitted.chosen_} == fitted.chosen_
    fixed.fit(*TRAIN)
    np.testing.assert_array_equal(fixed.predict_proba(TEST[0]), fitted.predict_proba(TEST[0]))
    for setting in {"epochs", "rounds"} & set(fitted.chosen_):
        assert len(fixed.log_) == fitted.chosen_[setting], f"{setting} were not followed"


def test_classes_that_only_valid_knows_are_left_aside(name: str, fitted: Head) -> None:
    strange = np.full(20, "zz")
    mixed = Examples(np.concatenate([VALID[0], 5 + TEST[0][:20]]), np.concatenate([VALID[1], strange]))
    head = create_head(name, seed=3).fit(*TRAIN, valid=mixed)
    assert "zz" not in head.classes_
    np.testing.assert_array_equal(head.predict_proba(TEST[0]), fitted.predict_proba(TEST[0]))


def test_valid_of_strange_classes_alone_chooses_nothing(name: str) -> None:
    head = create_head(name).fit(*blobs(0, 40), valid=Examples(VALID[0], np.full(60, "zz")))
    assert head.chosen_ == {}


def test_it_opens_in_another_process_with_identical_probabilities(saved: Path, fitted: Head, tmp_path: Path) -> None:
    np.save(tmp_path / "features.npy", TEST[0])
    script = (
        "import sys; from pathlib import Path; import numpy as np; from heads.registry import load_head\n"
        "head = load_head(Path(sys.argv[1])); out = Path(sys.argv[2])\n"
        "np.save(out / 'found.npy', head.predict_proba(np.load(out / 'features.npy')))\n"
        "np.save(out / 'classes.npy', head.classes_)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(saved), str(tmp_path)], check=True, capture_output=True)
    np.testing.assert_array_equal(np.load(tmp_path / "found.npy"), fitted.predict_proba(TEST[0]))
    np.testing.assert_array_equal(np.load(tmp_path / "classes.npy"), fitted.classes_)


def test_a_loaded_head_can_be_refitted_and_saved_again(saved: Path, fitted: Head, tmp_path: Path) -> None:
    head = load_head(saved)
    assert head.settings() == fitted.settings()
    assert head.for_refit().settings() == fitted.for_refit().settings()
    head.save(tmp_path / "again")
    np.testing.assert_array_equal(load_head(tmp_path / "again").predict_proba(TEST[0]), fitted.predict_proba(TEST[0]))


def test_nothing_saved_is_a_pickle(saved: Path) -> None:
    for path in files_of(saved):
        assert path.suffix in {".json", ".npz", ".h5", ".txt"}
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                assert all(arrays[key].dtype.kind in "fi" for key in arrays.files)


def test_wild_scales_do_not_hinder(learner: str) -> None:
    scale = (10.0 ** np.random.default_rng(5).uniform(-5, 4, D)).astype(np.float32)
    head = create_head(learner).fit(TRAIN[0] * scale, TRAIN[1], valid=Examples(VALID[0] * scale, VALID[1]))
    assert accuracy(head, (TEST[0] * scale, TEST[1])) > 0.9


def test_constant_columns_say_nothing_even_when_they_vary_later(learner: str) -> None:
    """Constant up to the last bits of float32, as the features of a dead unit are."""
    rng = np.random.default_rng(6)

    def widened(features: NDArray[np.float32], constant: NDArray[np.floating]) -> NDArray[np.float32]:
        return np.concatenate([features, constant], axis=1).astype(np.float32)

    def constant(n: int) -> NDArray[np.float64]:
        noise = 1 + 1e-6 * rng.uniform(-1, 1, (n, 3))
        return np.array([0.0, 7.3, 2e4]) * noise

    head = create_head(learner, seed=3).fit(
        widened(TRAIN[0], constant(120)), TRAIN[1], valid=Examples(widened(VALID[0], constant(60)), VALID[1])
    )
    moved = constant(80) + rng.normal(0, 0.5, (80, 3))
    assert accuracy(head, (widened(TEST[0], moved), TEST[1])) > 0.9


def test_two_classes_are_enough(learner: str) -> None:
    two = np.isin(TRAIN[1], ["9", "10"])
    head = create_head(learner).fit(TRAIN[0][two], TRAIN[1][two])
    of_two = np.isin(TEST[1], ["9", "10"])
    assert head.predict_proba(TEST[0]).shape == (80, 2)
    assert accuracy(head, (TEST[0][of_two], TEST[1][of_two])) > 0.9


def test_a_photograph_per_class_is_survived(name: str) -> None:
    head = create_head(name).fit(TRAIN[0][:4], TRAIN[1][:4], valid=Examples(*VALID))
    np.testing.assert_allclose(head.predict_proba(TEST[0]).sum(axis=1), 1, atol=1e-5)


UNFIT: dict[str, tuple[Callable[[Head], object], str]] = {
    "one class": (lambda head: head.fit(TRAIN[0][:3], np.full(3, "9")), "at least two classes"),
    "unequal lengths": (lambda head: head.fit(TRAIN[0][:3], TRAIN[1]), "one raw class id"),
    "numbers as labels": (lambda head: head.fit(TRAIN[0], np.arange(120)), "one raw class id"),
    "an unknown label": (lambda head: head.fit(TRAIN[0], np.where(TRAIN[1] == "9", "", TRAIN[1])), "row 1"),
    "nothing": (lambda head: head.fit(TRAIN[0][:0], TRAIN[1][:0]), "with rows"),
    "double precision": (lambda head: head.fit(TRAIN[0].astype(float), TRAIN[1]), "float32"),
    "no number": (lambda head: head.fit(np.where(TRAIN[0] == TRAIN[0][5, 7], np.nan, TRAIN[0]), TRAIN[1]), "row 5"),
    "infinity": (lambda head: head.fit(np.where(TRAIN[0] == TRAIN[0][5, 7], -np.inf, TRAIN[0]), TRAIN[1]), "row 5"),
    "valid of another width": (
        lambda head: head.fit(*TRAIN, valid=Examples(VALID[0][:, :5], VALID[1])),
        "24 features",
    ),
    "asked before fit": (lambda head: head.predict_proba(TEST[0]), "a fitted head"),
    "refit before fit": (lambda head: head.for_refit(), "a fitted head"),
}


@pytest.mark.parametrize("case", list(UNFIT))
def test_what_cannot_be_learnt_from_is_refused(name: str, case: str) -> None:
    act, message = UNFIT[case]
    with pytest.raises(HeadError, match=message):
        act(create_head(name))


def test_saving_before_fit_is_refused_and_writes_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(HeadError, match="a fitted head"):
        create_head(name).save(tmp_path / "head")
    assert not (tmp_path / "head").exists()


def test_another_number_of_features_is_refused(fitted: Head) -> None:
    with pytest.raises(HeadError, match=f"{D} features.*got {D - 1}"):
        fitted.predict_proba(TEST[0][:, 1:])


def test_a_damaged_file_is_named(saved: Path, tmp_path: Path) -> None:
    for number, path in enumerate(files_of(saved)):
        copy = Path(shutil.copytree(saved, tmp_path / str(number) / "head"))
        damaged = copy / path.relative_to(saved)
        damaged.write_bytes(path.read_bytes()[: min(100, path.stat().st_size // 2)])
        with pytest.raises(HeadError, match=str(copy)):
            load_head(copy)
        damaged.unlink()
        with pytest.raises(HeadError, match=str(copy)):
            load_head(copy)


@pytest.mark.parametrize(
    ("entry", "value", "error"),
    [
        ("schema", "head/0", HeadError),
        ("name", "oracle", SettingsError),
        ("settings", {"no_such": 1}, HeadError),
        ("settings", {"seed": -1}, SettingsError),
        ("classes", None, HeadError),
        ("n_features", 7, HeadError),
    ],
)
def test_a_strange_recipe_is_refused(
    saved: Path, tmp_path: Path, entry: str, value: object, error: type[PhytobenchError]
) -> None:
    copy = Path(shutil.copytree(saved, tmp_path / "head"))
    recipe = json.loads((saved / "head.json").read_text())
    (copy / "head.json").write_text(json.dumps(recipe | {entry: value}))
    with pytest.raises(error):
        load_head(copy)
