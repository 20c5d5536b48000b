"""Identification with models that are made up: what becomes of their answers."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evaluation.alignment import align
from evaluation.fusion import Recipe, fuse
from evaluation.identify.contract import Identifier, Neighbour, Photograph
from evaluation.identify.display import show
from evaluation.identify.doubting import Threshold, named_threshold, threshold_of
from evaluation.identify.fusing import Fusing, as_predictions
from evaluation.identify.identify import NONE_ALIKE, UnreadableError, identify, require_photographs
from evaluation.identify.names import Names
from evaluation.recipes import FIXED
from evaluation.taxonomy.taxa import HIGHER, Taxonomy
from evaluation.unknown.evidence import Evidence, max_probability
from evaluation.unknown.threshold import Target, Thresholds
from featstore.errors import DatasetError, PredictionsError, SettingsError
from featstore.provenance import sha256_of_file

CLASSES = np.array(["10", "11", "12", "9"])
SPECIES = {"10": "Acer campestre L.", "11": "Acer negundo", "12": "Iris sp.", "9": ""}
FAMILY = {"10": "Sapindaceae", "11": "Sapindaceae", "12": "Iridaceae"}
PLANT = tuple(
    Photograph(name, Path(f"{name}.jpg"), view) for name, view in (("a", "Leaf"), ("b", "Flower"), ("c", "Unknown"))
)


@dataclass
class MadeUp:
    """A model whose answer to a file depends on its own name and the file's."""

    model: str
    classes: NDArray[np.str_] = field(default_factory=lambda: CLASSES)
    species: Mapping[str, str] = field(default_factory=lambda: SPECIES)
    unreadable: frozenset[str] = frozenset()
    alike: tuple[Neighbour, ...] = ()
    n_asked: int = 0

    def row(self, photograph: Photograph) -> NDArray[np.float32]:
        rng = np.random.default_rng([*map(ord, self.model + photograph.path.name)])
        return rng.dirichlet(np.ones(len(self.classes))).astype(np.float32)

    def probabilities(self, photographs: Sequence[Photograph]) -> tuple[NDArray[np.float32], dict[str, str]]:
        self.n_asked += 1
        failures = {one.image_id: "damaged" for one in photographs if one.image_id in self.unreadable}
        rows = [self.row(one) * (np.nan if one.image_id in failures else 1) for one in photographs]
        return np.array(rows, dtype=np.float32), failures

    def nearest(self, photographs: Sequence[Photograph], n_neighbours: int) -> dict[str, list[Neighbour]]:
        return {one.image_id: list(self.alike[:n_neighbours]) for one in photographs} if self.alike else {}


def models(n: int = 2, **options: object) -> list[Identifier]:
    return [MadeUp(f"model {number}", **options) for number in range(n)]


def order_of(probability: NDArray[np.float64]) -> list[str]:
    return CLASSES[np.argsort(-probability, kind="stable")].tolist()


@given(st.integers(1, 3), st.integers(1, 3), st.permutations(range(3)))
def test_mean_over_photographs_and_models(n_photographs: int, n_models: int, order: list[int]) -> None:
    shown, asked = PLANT[:n_photographs], models(n_models)
    expected = np.mean([one.row(photograph) for one in asked for photograph in shown], axis=0, dtype=np.float64)
    found = identify(shown, asked, top=4)
    assert [one.class_id for one in found.ranking] == order_of(expected)
    np.testing.assert_allclose([one.probability for one in found.ranking], sorted(expected)[::-1], rtol=1e-6)
    turned = identify([shown[place] for place in order if place < n_photographs], asked, top=4)
    assert [one.class_id for one in turned.ranking] == [one.class_id for one in found.ranking]


@pytest.mark.parametrize("rule", FIXED)
def test_any_rule_builds_up_as_it_answers(rule: str) -> None:
    """The ranking after some photographs is that of these alone, and a vote is the ranking of one."""
    asked, fusing = models(), Fusing(Recipe(rule))
    found = identify(PLANT, asked, fusing=fusing, top=4)
    for end, step in enumerate(found.build_up, 1):
        assert step.image_id == PLANT[end - 1].image_id
        assert step.ranking == identify(PLANT[:end], asked, fusing=fusing, top=4).ranking
    assert found.build_up[-1].ranking == found.ranking
    for photograph, vote in zip(PLANT, found.photographs, strict=True):
        assert vote.ranking == identify([photograph], asked, fusing=fusing, top=3).ranking
    assert (found.rule, found.models) == (rule, ("model 0", "model 1"))


def test_models_are_asked_once() -> None:
    asked = models()
    identify(PLANT, asked)
    assert [one.n_asked for one in asked] == [1, 1]


def test_genus_and_family_are_sums_over_species() -> None:
    names = Names(SPECIES, Taxonomy({"genus": {"10": "Acer", "11": "Acer", "12": "Iris"}, "family": FAMILY}))
    asked = models()
    expected = np.mean([one.row(photograph) for one in asked for photograph in PLANT], axis=0, dtype=np.float64)
    found = identify(PLANT, asked, names=names)
    sums = {"Acer": expected[0] + expected[1], "Iris": expected[2]}
    best = max(sums, key=sums.__getitem__)
    if expected[3] > sums[best]:
        assert found.genus is None
    else:
        assert found.genus is not None
        assert found.genus.name == best
        assert found.genus.probability == pytest.approx(sums[best])
    by_class = {one.class_id: (one.genus, one.family) for one in found.ranking}
    assert by_class["10"] == ("Acer", "Sapindaceae")
    assert by_class["9"] == ("", "")


def test_no_genus_is_read_off_a_name() -> None:
    """Cetoine doree is no genus, and neither is Roman of a Roman coin."""
    names = Names.of([MadeUp("m", species={"10": "Acer campestre L.", "11": "Cetoine doree", "12": "Roman coin"})])
    assert names.taxonomy.taxon == {"genus": {}, "family": {}}


@pytest.mark.parametrize("told", ["genus", "family"])
def test_papers_may_tell_one_of_genus_and_family(tmp_path: Path, told: str) -> None:
    table = tmp_path / "plants.csv"
    table.write_text(f"path,class_id,{told}\na.jpg,10,Known\nb.jpg,11,\n")
    assert Names.of([MadeUp("m")], str(table)).taxonomy.taxon == {"genus": {}, "family": {}, told: {"10": "Known"}}
    table.write_text(f"path,class_id,{told}\na.jpg,10,One\nb.jpg,10,Other\n")
    with pytest.raises(DatasetError, match=f"one {told} per class, got several for 10: One, Other"):
        Names.of([MadeUp("m")], str(table))


def test_papers_tell_taxa_and_the_species_that_models_lack(tmp_path: Path) -> None:
    table = tmp_path / "plants.csv"
    (tmp_path / "a.jpg").touch()
    lines = ["path,class_id,species,genus,family", "a.jpg,9,Salix alba,Salix,Salicaceae"]
    table.write_text("\n".join(lines) + "\n")
    names = Names.of([MadeUp("m")], str(table))
    assert names.species["9"] == "Salix alba"
    assert names.taxonomy.taxon["family"] == {"9": "Salicaceae"}
    assert names.taxonomy.taxon["genus"] == {"9": "Salix"}


@pytest.mark.parametrize(("name", "kind"), [("new", "folder"), ("new.csv", "table")])
def test_many_plants_are_sent_where_they_are_answered(tmp_path: Path, name: str, kind: str) -> None:
    many = tmp_path / name
    if kind == "folder":
        many.mkdir()
    else:
        many.write_text("path\na.jpg\n")
    with pytest.raises(SettingsError) as caught:
        require_photographs([Photograph(name, many)])
    assert caught.value.got == f"a {kind}: {many}"
    assert f"`finetune predict RUN {many}`" in caught.value.remedy
    assert "`heads predict`" in caught.value.remedy


def test_doubt_is_that_of_evaluate_unknown() -> None:
    """The score that is compared is the one that `evaluate unknown` chose the threshold for."""
    one = MadeUp("m")
    probability, _ = one.probabilities(PLANT)
    (value,) = max_probability(Evidence.of(as_predictions(one, PLANT, probability))).tolist()
    for accept_from, unknown in ((value, False), (np.nextafter(value, 2), True)):
        doubt = identify(PLANT, [one], threshold=Threshold(accept_from, "test")).doubt
        assert (doubt.unknown, doubt.value, doubt.accept_from) == (unknown, value, accept_from)
    assert identify(PLANT, [one]).doubt.unknown is None


def test_thresholds_are_found_beside_the_run_that_they_were_chosen_for(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "net-mlp"
    run.mkdir(parents=True)
    assert threshold_of(run) == (None, [])
    own = run / "valid.predictions.h5"
    own.write_bytes(b"predictions")

    def written(**reached: Mapping[str, float]) -> Path:
        every = {"max_probability": reached}
        told = Thresholds("net-mlp", "valid", sha256_of_file(own), Target(), {"max_probability": 0.25}, every)
        return told.write(tmp_path / "runs" / "unknown" / run.name)

    path = written(valid={"coverage": 0.95}, test={"unknown_rejected": 0.8})
    assert threshold_of(run) == (Threshold(0.25, str(path)), [])
    assert named_threshold(str(path)) == named_threshold(str(path.parent)) == threshold_of(run)
    # One that is not known to tell anything says so.
    written(valid={"coverage": 0.95})
    found, (told,) = threshold_of(run)
    assert found == Threshold(0.25, str(path))
    assert "never tried on plants of unknown species" in told
    assert named_threshold(str(path)) == (found, [told])
    written(valid={"coverage": 0.95}, test={"unknown_rejected": 0.125})
    assert threshold_of(run)[1] == ["Of the plants of unknown species of test the threshold knew 12%."]
    # The run was made anew, or another of its name lies here.
    own.write_bytes(b"others")
    found, (told,) = threshold_of(run)
    assert found is None
    assert "chosen from other predictions than those of" in told
    assert named_threshold("0.5") == (Threshold(0.5, "--threshold"), [])
    with pytest.raises(SettingsError):
        named_threshold("1.5")
    with pytest.raises(PredictionsError):
        named_threshold(str(tmp_path / "nowhere.json"))


def test_a_photograph_that_fails_in_one_model_is_left_out_of_all() -> None:
    asked = [MadeUp("model 0"), MadeUp("model 1", unreadable=frozenset("b"))]
    found = identify(PLANT, asked, top=4)
    assert found.ranking == identify([PLANT[0], PLANT[2]], models(), top=4).ranking
    assert found.failures == {"b": "damaged"}
    assert [vote.image_id for vote in found.photographs] == ["a", "b", "c"]
    assert [step.image_id for step in found.build_up] == ["a", "c"]


def test_nothing_readable_is_an_error_that_names_each() -> None:
    with pytest.raises(UnreadableError, match="a: damaged, b: damaged, c: damaged") as caught:
        identify(PLANT, models(unreadable=frozenset("abc")))
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_what_is_asked_wrongly_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least one photograph, got none"):
        identify([], models())
    with pytest.raises(SettingsError, match="at least one model, got none"):
        identify(PLANT, [])
    with pytest.raises(SettingsError, match="a several times"):
        identify([PLANT[0], PLANT[0]], models())
    others = MadeUp("other", classes=np.array(["10", "11", "12", "8"]))
    with pytest.raises(PredictionsError, match=r"only in other \(8\)"):
        identify(PLANT, [*models(1), others])


def test_neighbours_come_from_the_first_model_that_has_some() -> None:
    alike = (Neighbour("i1", "10", 0.9, "i1.jpg"), Neighbour("i2", "9", 0.8, "i2.jpg"))
    found = identify(PLANT, [MadeUp("model 0"), MadeUp("model 1", alike=alike)], n_neighbours=1)
    assert found.neighbours == {one.image_id: [alike[0]] for one in PLANT}
    assert found.remarks == ()
    assert identify(PLANT, models()).remarks == (NONE_ALIKE,)
    assert identify(PLANT, models(), n_neighbours=0).remarks == ()


def test_the_document_holds_everything() -> None:
    alike = (Neighbour("i1", "10", 0.9, "i1.jpg"),)
    found = identify(PLANT, models(1, alike=alike), threshold=Threshold(0.5, "test"))
    told = json.loads(json.dumps(found.to_json()))
    assert told["schema"] == "identification/1"
    assert [one["class_id"] for one in told["ranking"]] == [one.class_id for one in found.ranking]
    assert told["unknown"] == found.doubt.unknown
    assert told["neighbours"]["a"] == [
        {"image_id": "i1", "class_id": "10", "cosine": 0.9, "path": "i1.jpg", "species": "Acer campestre L."}
    ]
    assert [one["view"] for one in told["photographs"]] == ["Leaf", "Flower", "Unknown"]
    assert len(told["build_up"]) == 3


def test_fusing_is_the_arithmetic_of_evaluate_fuse() -> None:
    asked = models()
    members = [as_predictions(one, PLANT, one.probabilities(PLANT)[0]) for one in asked]
    recipe = Recipe("median", "product")
    expected = fuse(align(members), recipe).probability[0]
    found = identify(PLANT, asked, fusing=Fusing(recipe), top=4)
    assert [one.class_id for one in found.ranking] == order_of(expected)
    assert found.ranking[0].probability == expected.max()


def test_taxa_of_which_nothing_is_known_have_no_column(capsys: pytest.CaptureFixture[str]) -> None:
    told = {"genus": {"10": "Acer"}, "family": {}}
    for taxa, shown in (({"genus": {}, "family": {}}, []), (told, ["genus"]), ({**told, "family": FAMILY}, [*HIGHER])):
        found = identify(PLANT, models(1), names=Names(SPECIES, Taxonomy(taxa)), top=4)
        show(found)
        head = capsys.readouterr().out.splitlines()[2]
        assert [rank for rank in HIGHER if rank in head] == shown
        assert {"genus", "family"} <= set(found.to_json()["ranking"][0])
