"""Augmentation: which transforms an image gets, drawn by group so that every draw repeats.

A draw depends on the seed, the epoch and the image alone - not on the order of the batches, their size or the number
of workers - and so do the pixels, to the last bit. The article's recipe: groups of realistic transforms, each group
with a chance of its own, few at a time, and a fifth of the images left untouched.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from finetune.settings import AugmentSettings
from finetune.transforms import GROUPS, NAMES, TRANSFORMS, Draws, apply

VARIANTS = (
    "flip", "zoom", "crop", "rotation", "brightness", "contrast", "shift", "saturation", "blur", "noise", "hue",
)  # fmt: skip
"""The transform of each variant at test time; more variants than these start over with other strengths."""

# First number of a draw's key: training and test-time variants never share their randomness.
_TRAINING, _TEST_TIME = 0, 1
_MEMBERS = tuple(tuple(NAMES.index(n) for n in NAMES if TRANSFORMS[n].group == group) for group in GROUPS)


def augment(
    images: NDArray[np.uint8],
    settings: AugmentSettings,
    key: tuple[int, int],
    index: NDArray[np.int64],
    white: NDArray[np.bool_],
) -> NDArray[np.uint8]:
    """Vary a batch of training photographs.

    Parameters
    ----------
    images
        (b, s, s, 3) uint8 RGB; left as they are.
    settings
        Chances of being varied at all and of each group.
    key
        Seed of the run and number of the epoch.
    index
        (b,) number of each image in the run, 0 or more.
    white
        (b,) which images lie on white ground.

    Returns
    -------
    ndarray
        (b, s, s, 3) uint8, new; images left untouched are equal bit for bit.
    """
    return apply(images, draw(settings, key, index, white))


def draw(settings: AugmentSettings, key: tuple[int, int], index: NDArray[np.int64], white: NDArray[np.bool_]) -> Draws:
    """Decide for each image (see `augment`) which transforms it gets: none, or one of each group that fires."""
    seed, epoch = key
    keys = np.array([(seed, _TRAINING, epoch, number) for number in index], dtype=np.int64).reshape(-1, 4)
    strength = np.zeros((len(keys), len(NAMES), 3), dtype=np.float32)
    subsets, cumulative = _nonempty_subsets(settings)
    for row, entropy in enumerate(keys):
        rng = np.random.default_rng(entropy)
        if rng.random() >= settings.probability:
            continue
        fired = subsets[min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(subsets) - 1)]
        for members in itertools.compress(_MEMBERS, fired):
            column = members[rng.integers(len(members))]
            strength[row, column] = TRANSFORMS[NAMES[column]].strength(rng)
    return Draws(strength, _noise_keys(keys), white)


def group_shares(settings: AugmentSettings) -> dict[str, float]:
    """Share of all images in which each group fires, by group: see `AugmentSettings`."""
    subsets, cumulative = _nonempty_subsets(settings)
    weight = np.diff(cumulative, prepend=0.0)
    return {
        group: settings.probability * float(weight[subsets[:, column]].sum()) for column, group in enumerate(GROUPS)
    }


def variants(
    images: NDArray[np.uint8], n: int, seed: int, index: NDArray[np.int64], white: NDArray[np.bool_]
) -> Iterator[NDArray[np.uint8]]:
    """Give the images and `n` realistic variants of them, one transform each, for test-time augmentation.

    Variant j of every image shows transform j of `VARIANTS`; its strength depends on the seed, j and the image.

    Parameters
    ----------
    images
        (b, s, s, 3) uint8 RGB; left as they are.
    n
        Number of variants, 0 or more.
    seed
        Seed of the run.
    index
        (b,) number of each image in its set, 0 or more.
    white
        (b,) which images lie on white ground.

    Yields
    ------
    ndarray
        n + 1 times (b, s, s, 3) uint8; the first holds the images as they are.
    """
    yield images
    for variant in range(n):
        yield apply(images, draw_one(VARIANTS[variant % len(VARIANTS)], (seed, variant + 1), index, white))


def draw_one(name: str, key: tuple[int, int], index: NDArray[np.int64], white: NDArray[np.bool_]) -> Draws:
    """Draw the strength of one transform that every image gets, from a seed and the number of the variant."""
    seed, variant = key
    keys = np.array([(seed, _TEST_TIME, variant, number) for number in index], dtype=np.int64).reshape(-1, 4)
    strength = np.zeros((len(keys), len(NAMES), 3), dtype=np.float32)
    for row, entropy in enumerate(keys):
        strength[row, NAMES.index(name)] = TRANSFORMS[name].strength(np.random.default_rng(entropy))
    return Draws(strength, _noise_keys(keys), white)


def _noise_keys(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give the noise a stream of its own: the draws have already used these keys."""
    return np.concatenate([keys, np.ones_like(keys[:, :1])], axis=1)


def _nonempty_subsets(settings: AugmentSettings) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Every non-empty set of groups (m, number of groups) and the running sum of their chances, ending at 1."""
    chance = np.array([getattr(settings, group) for group in GROUPS])
    subsets = np.array(list(itertools.product([False, True], repeat=len(GROUPS))))[1:]
    weight = np.where(subsets, chance, 1.0 - chance).prod(axis=1)
    subsets, weight = subsets[weight > 0], weight[weight > 0]
    return subsets, np.cumsum(weight) / weight.sum() if len(weight) else weight
