"""Crops: photographs are decoded and cut once; every epoch reads the cut pixels from disk."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap
from numpy.typing import NDArray

from featstore import shell
from featstore.errors import ImageError, TrainingError, listed
from featstore.images import load_crop, load_photograph, resize
from featstore.provenance import require_room, sha256_of_file, write_text
from featstore.roi import Recipe, cut, find_box
from finetune.transforms import white_ground

Map: TypeAlias = np.memmap[tuple[int, ...], np.dtype[np.uint8]]

BOX = ("box_top", "box_left", "box_bottom", "box_right")
PIXELS, DONE, CONTENT = "pixels.npy", "done.npy", "content.txt"
"""Files of a cache: the cut pixels, which rows are there, and a digest of what they are."""

_BLOCK = 512
"""Photographs between two notes of what is done."""


@dataclass(frozen=True)
class Crops:
    """Photographs as the network is to see them, waiting on disk.

    Attributes
    ----------
    papers
        One row per photograph that could be cut, in the order of the store.
    pixels
        (m, s, s, 3) uint8, m >= n, a memory map: what the machine has no room for stays on disk. It has a row for
        every photograph that was asked for, also for those that could not be cut.
    place
        (n,) row of `pixels` that belongs to each row of `papers`.
    white
        (n,) whether the photograph is a leaf scan on white ground.
    failures
        image_id and reason of every photograph that could not be cut.
    """

    papers: pd.DataFrame
    pixels: NDArray[np.uint8]
    place: NDArray[np.intp]
    white: NDArray[np.bool_]
    failures: dict[str, str] = field(default_factory=dict)

    @cached_property
    def key(self) -> NDArray[np.int64]:
        """(n,) a number that belongs to the photograph's image_id, whatever else there is, 0 or more."""
        digests = (hashlib.sha256(str(image_id).encode()).digest() for image_id in self.papers["image_id"])
        return np.array([int.from_bytes(digest[:8], "big") >> 2 for digest in digests], dtype=np.int64)

    def read(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Read the pixels of some photographs, (b, s, s, 3) uint8, into memory."""
        return np.asarray(self.pixels[self.place[rows]])

    def rows_of(self, mask: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Rows of `papers` for which a mask over all photographs, unreadable ones included, holds."""
        return np.flatnonzero(mask[self.place])


def cut_photographs(papers: pd.DataFrame, root: Path, side_px: int, recipe: Recipe, cache: Path) -> Crops:
    """Decode every photograph, cut the region that the store knows and keep it in a folder.

    Decoding runs on threads (it releases the interpreter's lock); memory does not grow with the number of
    photographs. One that cannot be read, or is not the file the store was built from, is left out and reported.
    What an earlier call with the same photographs, boxes, side and recipe has cut is not cut again, also if that
    call was killed.

    Parameters
    ----------
    papers
        Rows of a store's papers with status done; or of a catalogue, without boxes and digests: then regions are found.
    root
        Folder that their paths start from.
    side_px, recipe
        Input side of the network and ROI recipe behind its features.
    cache
        The folder that is written, s * s * 3 bytes per photograph; one of other photographs is written anew.

    Raises
    ------
    TrainingError
        If no photograph can be read.
    OSError
        If the disk has no room for the pixels.
    """
    pixels, done = _opened(cache, (len(papers), side_px, side_px, 3), _digest(papers, side_px, recipe))
    paths, views = (papers[column].to_list() for column in ("path", "view"))
    stored = "sha256" in papers
    digests = papers["sha256"].to_list() if stored else []
    boxes = papers[list(BOX)].to_numpy(np.int64).tolist() if stored else []

    def cut_one(row: int) -> str:
        path, treatment = root / paths[row], recipe.of(views[row])
        try:
            if stored and sha256_of_file(path) != digests[row]:
                return "it has changed since the store was built"
            # Each thread writes rows of its own, so nothing waits and nothing is kept in memory.
            if stored:
                pixels[row] = load_crop(path, tuple(boxes[row]), side_px, treatment)
            else:
                image = load_photograph(path).pixels
                pixels[row] = resize(cut(image, find_box(image, treatment).box, treatment), side_px)
        except ImageError as error:
            return error.in_short
        except OSError as error:
            return error.strerror or str(error)
        return ""

    reasons = [""] * len(papers)
    todo = np.flatnonzero(done == 0)
    with (
        shell.progress(len(todo), "decoding", "images") as bar,
        ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as threads,
    ):
        for start in range(0, len(todo), _BLOCK):
            block = todo[start : start + _BLOCK]
            for row, reason in zip(block, threads.map(cut_one, block), strict=True):
                reasons[row] = reason
                bar.update()
            # First the pixels, then the note of them: what is noted is there, whenever the process ends.
            pixels.flush()
            done[[row for row in block if not reasons[row]]] = 1
            done.flush()
    return _kept(papers, pixels, reasons, root)


def _opened(cache: Path, shape: tuple[int, ...], digest: str) -> tuple[Map, Map]:
    """The pixels and the notes of which are there, as an earlier call left them, or new."""
    try:
        if (cache / CONTENT).read_text(encoding="utf-8") == digest:
            pixels, done = (open_memmap(cache / name, mode="r+") for name in (PIXELS, DONE))
            if pixels.shape == shape and done.shape == shape[:1]:
                return pixels, done
    except (OSError, ValueError):
        pass  # absent or cut short: written anew below
    cache.mkdir(parents=True, exist_ok=True)
    (cache / CONTENT).unlink(missing_ok=True)
    # Another process may still read the old file; it keeps it.
    (cache / PIXELS).unlink(missing_ok=True)
    require_room(cache, math.prod(shape))
    pixels = open_memmap(cache / PIXELS, mode="w+", dtype=np.uint8, shape=shape)
    _reserve(cache / PIXELS)
    done = open_memmap(cache / DONE, mode="w+", dtype=np.uint8, shape=shape[:1])
    done.flush()
    write_text(cache / CONTENT, digest)
    return pixels, done


def _digest(papers: pd.DataFrame, side_px: int, recipe: Recipe) -> str:
    columns = [name for name in ("image_id", "path", "sha256", "view", *BOX) if name in papers]
    rows = papers[columns].to_csv(index=False)
    made = json.dumps([side_px, recipe.to_json(), rows], sort_keys=True)
    return hashlib.sha256(made.encode()).hexdigest()


def _reserve(path: Path) -> None:
    """Claim the disk for a file that so far has only a length; without it a full disk would kill the process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _kept(papers: pd.DataFrame, pixels: NDArray[np.uint8], reasons: Sequence[str], root: Path) -> Crops:
    place = np.flatnonzero([not reason for reason in reasons])
    failures = {str(key): reason for key, reason in zip(papers["image_id"], reasons, strict=True) if reason}
    if not place.size:
        told = [f"{path}: {reason}" for path, reason in zip(papers["path"], reasons, strict=True)]
        raise TrainingError(
            f"photographs that can be used below {root}",
            f"none of {len(failures):,} ({listed(told, 1)})",
            "Say where they are now: --photos ROOT." if "sha256" in papers else "Mend them, or correct their paths.",
        )
    kept = papers.iloc[place].reset_index(drop=True)
    white = np.zeros(len(place), dtype=np.bool_)
    for row in np.flatnonzero(kept["view"] == "LeafScan"):
        white[row] = white_ground(pixels[place[row]][None])[0]
    return Crops(kept, pixels, place, white, failures)
