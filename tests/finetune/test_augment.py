"""Augmentation: frequencies, repeatability, untouched images, and test-time variants."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from keras import ops
from numpy.typing import NDArray
from scipy.stats import binomtest

from finetune.augment import VARIANTS, augment, draw, variants
from finetune.settings import AugmentSettings
from finetune.transforms import GROUPS, NAMES, TRANSFORMS

SIDE_PX = 24


def photographs(n: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def no_ground(n: int) -> NDArray[np.bool_]:
    return np.zeros(n, dtype=np.bool_)


def augmented(
    images: NDArray[np.uint8], key: tuple[int, int], index: NDArray[np.int64], settings: AugmentSettings | None = None
) -> NDArray[np.float32]:
    result = augment(images, settings or AugmentSettings(), key, index, no_ground(len(images)))
    return np.asarray(ops.convert_to_numpy(result))


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
    "settings", [AugmentSettings(), AugmentSettings(probability=0.5, geometry=0.1, light=0.9, colour=0.0, noise=0.4)]
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
    settings = AugmentSettings(probability=1, geometry=0.5, light=0.5, colour=0.5, noise=1)
    applied = draw(settings, (0, 1), np.arange(n), no_ground(n)).applied
    fired = {
        group: applied[:, [NAMES.index(name) for name in NAMES if TRANSFORMS[name].group == group]].any(axis=1)
        for group in ("geometry", "light", "colour")
    }
    for one, other in itertools.combinations(fired.values(), 2):
        assert binomtest(int((one & other).sum()), n, 0.25).pvalue > 1e-6


def test_a_fifth_stays_equal_bit_for_bit_and_all_others_change() -> None:
    n = 1000
    images = photographs(n)
    result = augmented(images, (0, 1), np.arange(n))
    equal = (result == images).all(axis=(1, 2, 3))
    drawn = draw(AugmentSettings(), (0, 1), np.arange(n), no_ground(n)).applied.any(axis=1)

    assert result.dtype == np.float32
    np.testing.assert_array_equal(equal, ~drawn)
    assert binomtest(int(equal.sum()), n, 0.2).pvalue > 1e-6
    assert result.min() >= 0
    assert result.max() <= 255


def test_a_draw_depends_on_seed_epoch_and_image_alone() -> None:
    images, index = photographs(40), np.arange(40)
    whole = augmented(images, (5, 2), index)

    np.testing.assert_array_equal(augmented(images, (5, 2), index), whole)
    # The draws are the same to the last bit; a product of matrices rounds by the batch that it is computed in.
    shuffled = np.random.default_rng(0).permutation(40)
    np.testing.assert_allclose(augmented(images[shuffled], (5, 2), index[shuffled]), whole[shuffled], atol=1e-4)
    drawn = draw(AugmentSettings(), (5, 2), index, no_ground(40)).strength
    again = draw(AugmentSettings(), (5, 2), index[shuffled], no_ground(40)).strength
    np.testing.assert_array_equal(again, drawn[shuffled])
    parts = [augmented(images[rows], (5, 2), index[rows]) for rows in np.array_split(index, 7)]
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)
    assert not np.array_equal(augmented(images, (5, 3), index), whole)
    assert not np.array_equal(augmented(images, (6, 2), index), whole)


def test_probability_0_changes_nothing_and_1_everything() -> None:
    images, index = photographs(60), np.arange(60)
    np.testing.assert_array_equal(augmented(images, (0, 1), index, AugmentSettings(probability=0)), images)
    changed = augmented(images, (0, 1), index, AugmentSettings(probability=1)) != images
    assert changed.any(axis=(1, 2, 3)).all()


def test_the_input_stays_as_it_is() -> None:
    images = photographs(8).astype(np.float32)
    before = images.copy()
    augmented(images, (0, 1), np.arange(8), AugmentSettings(probability=1))  # type: ignore[arg-type]  # floats too
    np.testing.assert_array_equal(images, before)


def test_variants_are_the_image_and_one_transform_each() -> None:
    images, index = photographs(6), np.arange(6)
    seen = [np.asarray(ops.convert_to_numpy(batch)) for batch in variants(images, 10, 1, index, no_ground(6))]

    assert len(seen) == 11
    np.testing.assert_array_equal(seen[0], images)
    np.testing.assert_array_equal(seen[1 + VARIANTS.index("flip")], images[:, :, ::-1])
    for one, other in itertools.combinations(seen[:10], 2):
        assert (one != other).any(axis=(1, 2, 3)).all()
    # The tenth starts over with the first transform, and there is only one mirror image.
    np.testing.assert_array_equal(seen[10], seen[1])


def test_variants_repeat_whatever_the_batch() -> None:
    images, index = photographs(9), np.arange(9)
    whole = [ops.convert_to_numpy(batch) for batch in variants(images, 5, 1, index, no_ground(9))]
    again = [ops.convert_to_numpy(batch) for batch in variants(images[4:], 5, 1, index[4:], no_ground(5))]
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one[4:], other)
    other_seed = [ops.convert_to_numpy(batch) for batch in variants(images, 5, 2, index, no_ground(9))]
    assert not np.array_equal(whole[2], other_seed[2])


def test_every_transform_has_its_turn_at_test_time() -> None:
    assert sorted(VARIANTS) == sorted(NAMES)
