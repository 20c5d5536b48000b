"""Invented species: names that are shared as in nature, and the looks that tell them apart."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, TypeVar

import numpy as np

Colour: TypeAlias = tuple[int, int, int]
Habit: TypeAlias = Literal["herb", "shrub", "tree"]
LeafForm: TypeAlias = Literal["simple", "lobed", "palmate", "pinnate"]
Bark: TypeAlias = Literal["fissured", "banded", "scaly", "thorny"]
FruitForm: TypeAlias = Literal["berries", "apple", "pod"]

MAX_SPECIES = 96

_STEMS = ("Lun", "Verd", "Aur", "Silv", "Cael", "Umbr", "Flor", "Mont")
_ENDINGS = ("ella", "anthus", "icarpa", "odendra", "iphylla", "aria")
_EPITHETS = ("alba", "montana", "vulgaris", "gracilis", "rubra", "sylvestris", "minor", "elegans")
_SPECIES_PER_GENUS, _GENERA_PER_FAMILY = 2, 2

_FORMS = ("habit", "leaf_form", "bark_form", "fruit_form")

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Species:
    """One invented species: its papers and its looks.

    Widths are shares of the organ's length. `leaf_teeth` is the number of teeth per side, 0 for a smooth edge.
    `traits` are the numbers, each 0 to 1, that the looks follow from.
    """

    class_id: str
    name: str
    genus: str
    family: str
    habit: Habit
    petal: Colour
    heart: Colour
    n_petals: int
    petal_width: float
    petal_tip: float
    leaf: Colour
    leaf_form: LeafForm
    leaf_width: float
    leaf_teeth: int
    bark: Colour
    bark_form: Bark
    fruit: Colour
    fruit_form: FruitForm
    traits: tuple[float, ...]


def invent(n_species: int, rng: np.random.Generator) -> tuple[Species, ...]:
    """Invent species that differ in every organ.

    Every trait takes `n_species` values spread evenly over its range, in an order of its own (a Latin hypercube),
    so that no two species share a flower, a leaf, a bark or a fruit, and none differs in colour alone.

    Parameters
    ----------
    n_species : int
        1 to `MAX_SPECIES`.
    rng : numpy Generator
        Decides which species gets which looks.
    """
    n_traits = 14
    traits = np.stack([(rng.permutation(n_species) + 0.5) / n_species for _ in range(n_traits)], axis=1)
    return tuple(_species(index, tuple(row)) for index, row in enumerate(traits.tolist()))


def individual(species: Species, variation: float, rng: np.random.Generator) -> Species:
    """One plant of a species: its colours and proportions differ a little, its forms and papers are the species'.

    Parameters
    ----------
    variation : float
        Standard deviation of each trait, whose range is 0 to 1; 0 gives the species itself and draws nothing.
    """
    if not variation:
        return species
    shifted = np.clip(np.array(species.traits) + rng.normal(0, variation, len(species.traits)), 0, 1 - 1e-9)
    kept = {name: getattr(species, name) for name in ("class_id", "name", "genus", "family", *_FORMS)}
    return replace(_species(0, tuple(shifted.tolist())), **kept)


def _species(index: int, trait: tuple[float, ...]) -> Species:
    genus_number = index // _SPECIES_PER_GENUS
    genus = _genus(genus_number)
    return Species(
        class_id=str(3011 + 17 * index),
        name=f"{genus} {_EPITHETS[(3 * index) % len(_EPITHETS)]}",
        genus=genus,
        family=f"{_genus(genus_number - genus_number % _GENERA_PER_FAMILY).rstrip('a')}aceae",
        habit=_one_of(("herb", "shrub", "tree"), trait[0]),
        petal=_hsv(_petal_hue(trait[1]), 0.25 + 0.65 * trait[2], 0.95),
        heart=_hsv(0.05 + 0.12 * trait[3], 0.85, 0.35 + 0.6 * trait[4]),
        n_petals=4 + int(9 * trait[5]),
        petal_width=0.75 - 0.5 * trait[5],
        petal_tip=0.3 + 0.8 * trait[3],
        leaf=_hsv(0.19 + 0.19 * trait[6], 0.75 - 0.3 * trait[7], 0.35 + 0.25 * trait[8]),
        leaf_form=_one_of(("simple", "lobed", "palmate", "pinnate"), trait[9]),
        leaf_width=0.28 + 0.4 * trait[7],
        leaf_teeth=int(16 * trait[8]) if trait[8] > 0.4 else 0,
        bark=_hsv(0.04 + 0.08 * trait[10], 0.1 + 0.4 * trait[11], 0.35 + 0.45 * trait[10]),
        bark_form=_one_of(("fissured", "banded", "scaly", "thorny"), trait[12]),
        fruit=_hsv(
            (0.9 + 0.35 * trait[13]) % 1 if trait[13] < 0.7 else 0.4 + trait[13] / 2, 0.85, 0.85 - 0.4 * trait[11]
        ),
        fruit_form=_one_of(("berries", "apple", "pod"), trait[4]),
        traits=trait,
    )


def _genus(number: int) -> str:
    round_, stem = divmod(number, len(_STEMS))
    return _STEMS[stem] + _ENDINGS[(round_ + stem) % len(_ENDINGS)]


def _one_of(kinds: tuple[_Kind, ...], share: float) -> _Kind:
    return kinds[int(share * len(kinds))]


def _petal_hue(share: float) -> float:
    """Violet through red to yellow: no green flowers, which nobody would recognise."""
    return (0.62 + 0.55 * share) % 1


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
