"""The plan of a drawn package: which species are photographed, by whom, when, where and in which views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from featstore.errors import SettingsError
from featstore.synth.scenes import SCENES
from featstore.synth.species import MAX_SPECIES, Species, individual, invent

# Every use of the seed draws from a stream of its own, so that nothing depends on what was drawn before it.
SPECIES_STREAM, VIEW_STREAM, OCCASION_STREAM, PHOTOGRAPH_STREAM, PLANT_STREAM = range(5)

_SPLITS = ("train", "test")
_IMAGES_PER_OBSERVATION = {"train": (2, 3, 1, 4), "test": (2, 1)}
_PLACES = (
    ("Montpellier", 43.61, 3.88),
    ("Dijon", 47.32, 5.04),
    ("Rennes", 48.11, -1.68),
    ("Grenoble", 45.19, 5.72),
    ("Toulouse", 43.6, 1.44),
    ("Nancy", 48.69, 6.18),
)
# Votes of the official set are means of few opinions: mostly whole, sometimes not, sometimes none.
_VOTES = ("1", "2", "2.5", "3", "3", "3.67", "4", "4", "5", "5", "")


@dataclass(frozen=True)
class SynthSettings:
    """What to draw.

    Parameters
    ----------
    n_species
        2 to `MAX_SPECIES`.
    n_observations
        Observations of each species, at least 4: a quarter of them, rounded down, is test.
    n_authors
        Photographers among whom the observations are shared out.
    side_px
        Height and width of every photograph, 32 to 2048.
    n_corrupt
        Training photographs that are cut off in the middle, at most one per species.
    seed
        Not negative.
    variation
        How much plants of a species differ, 0 to 0.5 (`featstore.synth.species.individual`); the photographs of one
        plant show the same plant.

    Raises
    ------
    SettingsError
        If a value is out of range.
    """

    n_species: int = 6
    n_observations: int = 8
    n_authors: int = 5
    side_px: int = 240
    n_corrupt: int = 1
    seed: int = 0
    variation: float = 0.0

    def __post_init__(self) -> None:
        ranges = {
            "n_species": (2, MAX_SPECIES),
            "n_observations": (4, 10_000),
            "n_authors": (1, 10_000),
            "side_px": (32, 2048),
            "n_corrupt": (0, self.n_species),
            "seed": (0, 2**32 - 1),
            "variation": (0, 0.5),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                option = f"--{name.removeprefix('n_').removesuffix('_px')}"
                raise SettingsError(f"{option} between {low} and {high}", str(value), "Choose a value in that range.")


@dataclass(frozen=True)
class Shot:
    """One photograph that is to be taken: what the XML says, and what the picture needs besides."""

    media_id: int
    split: str
    plant: Species
    papers: dict[str, str]
    corrupt: bool = False


def planned(settings: SynthSettings) -> list[Shot]:
    """Every photograph of the package, train before test, ids from 1 on."""
    species = invent(settings.n_species, np.random.default_rng([settings.seed, SPECIES_STREAM]))
    shots: list[Shot] = []
    for split in _SPLITS:
        shots += _planned_split(split, species, settings, first_id=len(shots) + 1)
    spoilt = _to_spoil(shots, settings)
    return [replace(shot, corrupt=shot.media_id in spoilt) for shot in shots]


def _planned_split(split: str, species: Sequence[Species], settings: SynthSettings, first_id: int) -> Iterator[Shot]:
    n_test = settings.n_observations // 4
    n_each = {"train": settings.n_observations - n_test, "test": n_test}[split]
    counts = _image_counts(split, n_each * len(species))
    # Views are dealt round and round: no view twice in an observation, each in every split and soon in every species.
    views = np.random.default_rng([settings.seed, VIEW_STREAM, _SPLITS.index(split)]).permutation(list(SCENES)).tolist()
    media_id = first_id
    for number, count in enumerate(counts):
        owner = species[number // n_each]
        observation = {"train": 50_000, "test": 80_000}[split] + number
        rng = np.random.default_rng([settings.seed, OCCASION_STREAM, observation])
        papers = {"ObservationId": str(observation), **_taxa(owner), **_occasion(settings, rng)}
        plant_rng = np.random.default_rng([settings.seed, PLANT_STREAM, observation])
        plant = individual(owner, settings.variation, plant_rng)
        for _ in range(count):
            view = views[(media_id - first_id) % len(views)]
            vote = str(rng.choice(_VOTES))
            yield Shot(media_id, split, plant, {**papers, "Content": view, "Vote": vote})
            media_id += 1


def _image_counts(split: str, n_observations: int) -> list[int]:
    """Photographs per observation, in all at least one of each view."""
    pattern = _IMAGES_PER_OBSERVATION[split]
    counts = [pattern[number % len(pattern)] for number in range(n_observations)]
    while sum(counts) < len(SCENES):
        counts[counts.index(min(counts))] += 1
    return counts


def _taxa(species: Species) -> dict[str, str]:
    return {
        "ClassId": species.class_id,
        "Family": species.family,
        "Species": species.name,
        "Genus": species.genus,
    }


def _occasion(settings: SynthSettings, rng: np.random.Generator) -> dict[str, str]:
    """Who, when and where; some photographers do not say where, and some cameras do not say when."""
    name, latitude, longitude = _PLACES[int(rng.integers(len(_PLACES)))]
    north, east = rng.normal(0, 0.1, 2)
    date = f"{rng.integers(2010, 2015)}-{rng.integers(3, 11)}-{rng.integers(1, 29)}"
    has_place, has_date = rng.uniform(size=2) > 0.12
    return {
        "Author": f"photographer {1 + rng.integers(settings.n_authors)}",
        "Date": date if has_date else "",
        "Location": name if has_place else "",
        "Latitude": f"{latitude + north:.5f}" if has_place else "",
        "Longitude": f"{longitude + east:.5f}" if has_place else "",
    }


def _to_spoil(shots: Sequence[Shot], settings: SynthSettings) -> set[int]:
    """Ids of training photographs to cut off: one each of some species, never an observation's only one."""
    of_observation: dict[str, list[Shot]] = {}
    for shot in shots:
        if shot.split == "train":
            of_observation.setdefault(shot.papers["ObservationId"], []).append(shot)
    first_of_species: dict[str, int] = {}
    for group in of_observation.values():
        if len(group) > 1:
            first_of_species.setdefault(group[0].plant.class_id, group[-1].media_id)
    return set(list(first_of_species.values())[: settings.n_corrupt])
