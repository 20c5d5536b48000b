"""The census: a picture for any data set, whatever is unknown of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from featstore.care.census import draw_census

pytestmark = pytest.mark.usefixtures("painted")


def papers(n_images: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "image_id": np.arange(n_images).astype(str),
            "class_id": rng.integers(0, 9, n_images).astype(str),
            "observation_id": rng.integers(0, max(1, n_images // 2), n_images).astype(str),
            "author": rng.integers(0, 5, n_images).astype(str),
            "view": rng.choice(["Leaf", "Flower", "Stem"], n_images),
            "vote": rng.integers(2, 11, n_images) / 2,
            "split": rng.choice(["train", "test"], n_images),
            "status": "done",
        }
    )


@pytest.mark.parametrize("n_images", [1, 3, 500])
def test_a_picture_for_any_number_of_photographs(tmp_path: Path, n_images: int) -> None:
    (path,) = draw_census(papers(n_images), tmp_path)
    with Image.open(path) as picture:
        assert picture.size[0] > 1000
        assert np.unique(np.asarray(picture.convert("L"))).size > 20


@pytest.mark.parametrize("unknown", [{"vote": np.nan}, {"author": ""}, {"class_id": ""}, {"status": "failed"}])
def test_what_is_unknown_is_said_in_words(tmp_path: Path, unknown: dict[str, object]) -> None:
    (path,) = draw_census(papers(40).assign(**unknown), tmp_path)
    assert path.stat().st_size > 5_000


def test_the_same_papers_give_the_same_picture(tmp_path: Path) -> None:
    (one,), (two,) = (draw_census(papers(50), tmp_path / name) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
