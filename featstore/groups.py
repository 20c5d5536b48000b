"""Groups: photographs that must never be on two sides of a split, and those that are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Links = Sequence[tuple[str, str]]
"""Pairs of image_ids that show the same picture, whatever their bytes say."""


@dataclass(frozen=True)
class Leak:
    """A photograph to learn from that is judged on, too.

    Attributes
    ----------
    image_id, partner
        The photograph, and the one in test (or valid) that it belongs together with; of several, the nearest.
    why
        ``one plant``, ``equal files``, ``listed as copies``, or ``linked through others``.
    """

    image_id: str
    partner: str
    why: str

    def __str__(self) -> str:
        """In words."""
        return f"{self.image_id} and {self.partner}: {self.why}"


def groups_of(papers: pd.DataFrame, links: Links = ()) -> NDArray[np.int64]:
    """Number of each image's group: images linked by an observation, by equal bytes or by `links` share one.

    Parameters
    ----------
    papers
        Columns image_id, observation_id and sha256, one row per image.
    links
        Pairs with an image that is not among `papers` say nothing.

    Returns
    -------
    (n,) group numbers from 0, in order of first appearance.
    """
    n_images = len(papers)
    observation = pd.factorize(papers["observation_id"])[0]
    # A photograph without a digest equals none.
    content = papers["sha256"].where(papers["sha256"] != "", papers["image_id"])
    equal_bytes = pd.factorize(content)[0]
    n_observations = int(observation.max(initial=-1)) + 1
    place = {key: row for row, key in enumerate(papers["image_id"])}
    listed = [(place[one], place[other]) for one, other in links if one in place and other in place]
    ends = np.asarray(listed, dtype=np.int64).reshape(-1, 2)
    first = np.concatenate([observation, observation[ends[:, 0]]])
    second = np.concatenate([n_observations + equal_bytes, observation[ends[:, 1]]])
    n_nodes = n_observations + n_images
    joined = coo_array((np.ones(len(first), dtype=np.int8), (first, second)), shape=(n_nodes, n_nodes))
    label = connected_components(joined, directed=False)[1]
    return np.asarray(pd.factorize(label[observation])[0], dtype=np.int64)


def find_leaks(papers: pd.DataFrame, links: Links = ()) -> list[Leak]:
    """Photographs outside of test that share a group with a test photograph, in the order of `papers`.

    Parameters
    ----------
    papers
        As `groups_of`, and split.
    """
    tested = (papers["split"] == "test").to_numpy()
    return find_crossings(papers, ~tested, tested, links)


def find_crossings(
    papers: pd.DataFrame, learnt: NDArray[np.bool_], judged: NDArray[np.bool_], links: Links = ()
) -> list[Leak]:
    """Photographs among `learnt` (n,) that share a group with one among `judged` (n,), in the order of `papers`."""
    group = groups_of(papers, links)
    crossing = learnt & np.isin(group, group[judged])
    ids = papers["image_id"].to_numpy(str)
    plant, digest = papers["observation_id"].to_numpy(str), papers["sha256"].to_numpy(str)
    pairs = {frozenset(pair) for pair in links}
    leaks = []
    for row in np.flatnonzero(crossing):
        others = np.flatnonzero(judged & (group == group[row]))
        equal = others[(digest[others] == digest[row]) & (digest[row] != "")]
        linked = [other for other in others if frozenset((ids[row], ids[other])) in pairs]
        same = others[plant[others] == plant[row]]
        for found, why in ((equal, "equal files"), (linked, "listed as copies"), (same, "one plant")):
            if len(found):
                leaks.append(Leak(str(ids[row]), str(ids[found[0]]), why))
                break
        else:
            leaks.append(Leak(str(ids[row]), str(ids[others[0]]), "linked through others"))
    return leaks
