"""Augmentation: frequencies, repeatability, untouched images, and test-time variants."""

from __future__ import annotations

import itertools
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binomtest

from finetune.augment import VARIANTS, augment, draw, draw_one, variants
from finetune.settings import AugmentSettings
from finetune.transforms import GROUPS, NAMES, TRANSFORMS

SIDE_PX = 24


def photographs(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def no_ground(n: int) -> NDArray[np.bool_]:
    return np.zeros(n, dtype=np.bool_)


def augmented(
    images: NDArray[np.uint8], key: tuple[int, int], index: NDArray[np.int64], settings: AugmentSettings | None = None
) -> NDArray[np.uint8]:
    return augment(images, settings or AugmentSettings(), key, index, no_ground(len(images)))


def expected_group_share(settings: AugmentSettings, group: str) -> float:
    """By brute force over all sets of groups, none excluded."""
    chance = {name: getattr(settings, name) for name in GROUPS}
    total = with_group = 0.0
    for fired in itertools.product([False, True], repeat=len(GROUPS)):
        if not any(fired):
            continue
        weight = np.prod([chance[g] if on else 1 - chance[g] for g, on in zip(GROUPS, fired, strict=True)])
        total += weight
        with_group += weight * dict(zip(GROUPS, fired, strict=True))[group]
    return settings.probability * with_group / total


@pytest.mark.parametrize(
    "settings",
    [
        AugmentSettings(),
        AugmentSettings(probability=0.5, geometry=0.1, light=0.9, colour=0.0, sharpness=0.6, noise=0.4),
    ],
)
def test_groups_and_transforms_fire_as_often_as_promised(settings: AugmentSettings) -> None:
    n = 12_000
    applied = draw(settings, (3, 1), np.arange(n), no_ground(n)).applied

    def share_is(mask: NDArray[np.bool_], expected: float) -> bool:
        # A right share fails this once in a million; the seed is fixed, so it either always or never fails.
        return binomtest(int(mask.sum()), n, expected).pvalue > 1e-6 if 0 < expected < 1 else mask.mean() == expected

    assert share_is(~applied.any(axis=1), 1 - settings.probability)
    for group in GROUPS:
        members = [NAMES.index(name) for name in NAMES if TRANSFORMS[name].group == group]
        expected = expected_group_share(settings, group)
        assert applied[:, members].sum(axis=1).max(initial=0) <= 1
        assert share_is(applied[:, members].any(axis=1), expected), group
        for member in members:
            assert share_is(applied[:, member], expected / len(members)), NAMES[member]


def test_groups_fire_independently_of_each_other() -> None:
    # With noise certain, "at least one" holds anyway, so the other groups must be independent.
    n = 12_000
    settings = AugmentSettings(probability=1, geometry=0.5, light=0.5, colour=0.5, sharpness=0.5, noise=1)
    applied = draw(settings, (0, 1), np.arange(n), no_ground(n)).applied
    fired = {
        group: applied[:, [NAMES.index(name) for name in NAMES if TRANSFORMS[name].group == group]].any(axis=1)
        for group in ("geometry", "light", "colour", "sharpness")
    }
    for one, other in itertools.combinations(fired.values(), 2):
        assert binomtest(int((one & other).sum()), n, 0.25).pvalue > 1e-6


def test_a_fifth_stays_equal_bit_for_bit_and_all_others_change() -> None:
    n = 1000
    images = photographs(n)
    result = augmented(images, (0, 1), np.arange(n))
    equal = (result == images).all(axis=(1, 2, 3))
    drawn = draw(AugmentSettings(), (0, 1), np.arange(n), no_ground(n)).applied.any(axis=1)

    assert result.dtype == np.uint8
    np.testing.assert_array_equal(equal, ~drawn)
    assert binomtest(int(equal.sum()), n, 0.2).pvalue > 1e-6


def test_few_transforms_meet_in_one_photograph() -> None:
    n, settings = 12_000, AugmentSettings()
    count = draw(settings, (4, 1), np.arange(n), no_ground(n)).applied.sum(axis=1)
    share = np.zeros(len(GROUPS) + 1)
    for fired in itertools.product([False, True], repeat=len(GROUPS)):
        chance = [getattr(settings, group) for group in GROUPS]
        share[sum(fired)] += np.prod([c if on else 1 - c for c, on in zip(chance, fired, strict=True)])
    share[1:] *= settings.probability / (1 - share[0])
    share[0] = 1 - settings.probability
    for number, expected in enumerate(share):
        assert binomtest(int((count == number).sum()), n, expected).pvalue > 1e-6
    assert share[:4].sum() > 0.94


def test_strengths_fill_their_ranges_evenly_and_can_be_seen() -> None:
    n = 4000
    for name, transform in TRANSFORMS.items():
        strength = draw_one(name, (0, 1), np.arange(n), no_ground(n)).strength[:, NAMES.index(name)]
        for column, (low, high) in enumerate(transform.ranges):
            values = strength[:, column]
            assert low - 1e-6 <= values.min() <= low + 0.05 * (high - low), name
            assert high - 0.05 * (high - low) <= values.max() <= high + 1e-6, name
            least = transform.least if column == 0 else 0.0
            if low < 0:
                expected = (high - least) / (high - low - 2 * least)
                assert binomtest(int((values > 0).sum()), n, expected).pvalue > 1e-6, name
            elif low < high:
                assert binomtest(int((values > (low + high) / 2).sum()), n, 0.5).pvalue > 1e-6, name
        assert (np.abs(strength[:, 0]) >= transform.least).all()
        assert (strength[:, len(transform.ranges) :] == 0).all()


def test_a_photograph_depends_on_seed_epoch_and_image_alone() -> None:
    images, index = photographs(40), np.arange(40)
    white = np.random.default_rng(1).random(40) < 0.5
    whole = augment(images, AugmentSettings(), (5, 2), index, white)

    np.testing.assert_array_equal(augment(images, AugmentSettings(), (5, 2), index, white), whole)
    shuffled = np.random.default_rng(0).permutation(40)
    again = augment(images[shuffled], AugmentSettings(), (5, 2), index[shuffled], white[shuffled])
    np.testing.assert_array_equal(again, whole[shuffled])
    for size in (1, 7, 16):
        parts = [
            augment(images[rows], AugmentSettings(), (5, 2), index[rows], white[rows])
            for rows in np.split(index, range(size, 40, size))
        ]
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(augment(images, AugmentSettings(), (5, 3), index, white), whole)
    assert not np.array_equal(augment(images, AugmentSettings(), (6, 2), index, white), whole)


def test_threads_do_not_change_a_photograph() -> None:
    images, index = photographs(64), np.arange(64)
    whole = augmented(images, (5, 2), index)
    with ThreadPoolExecutor(8) as threads:
        parts = list(threads.map(lambda rows: augmented(images[rows], (5, 2), index[rows]), np.array_split(index, 16)))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_pixels_do_not_depend_on_a_backend() -> None:
    code = "import sys, finetune.augment; print('keras' in sys.modules, 'tensorflow' in sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.split() == ["False", "False"]


def test_probability_0_changes_nothing_and_1_everything() -> None:
    images, index = photographs(60), np.arange(60)
    np.testing.assert_array_equal(augmented(images, (0, 1), index, AugmentSettings(probability=0)), images)
    changed = augmented(images, (0, 1), index, AugmentSettings(probability=1)) != images
    assert changed.any(axis=(1, 2, 3)).all()


def test_the_input_stays_as_it_is() -> None:
    images = photographs(8)
    before = images.copy()
    augmented(images, (0, 1), np.arange(8), AugmentSettings(probability=1))
    np.testing.assert_array_equal(images, before)
    list(variants(images, len(VARIANTS), 1, np.arange(8), no_ground(8)))
    np.testing.assert_array_equal(images, before)


def test_variants_are_the_image_and_one_transform_each() -> None:
    images, index = photographs(6), np.arange(6)
    n = len(VARIANTS)
    seen = list(variants(images, n + 1, 1, index, no_ground(6)))

    assert len(seen) == n + 2
    np.testing.assert_array_equal(seen[0], images)
    np.testing.assert_array_equal(seen[1 + VARIANTS.index("flip")], images[:, :, ::-1])
    for one, other in itertools.combinations(seen[: n + 1], 2):
        assert (one != other).any(axis=(1, 2, 3)).all()
    # The last starts over with the first transform, and there is only one mirror image.
    np.testing.assert_array_equal(seen[n + 1], seen[1])


def test_variants_repeat_whatever_the_batch() -> None:
    images, index = photographs(9), np.arange(9)
    whole = list(variants(images, 5, 1, index, no_ground(9)))
    again = list(variants(images[4:], 5, 1, index[4:], no_ground(5)))
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one[4:], other)
    other_seed = list(variants(images, 5, 2, index, no_ground(9)))
    assert not np.array_equal(whole[2], other_seed[2])


def test_every_transform_has_its_turn_at_test_time() -> None:
    assert sorted(VARIANTS) == sorted(NAMES)
