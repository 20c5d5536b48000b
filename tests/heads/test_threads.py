from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from heads.threads import threads_for


def blas_threads() -> set[int]:
    np.zeros((2, 2)) @ np.zeros((2, 2))
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.mark.parametrize(("shape", "limited"), [((1000, 1000), True), ((48_000, 20_480), False)])
def test_small_products_get_one_thread_and_the_limit_ends(shape: tuple[int, int], limited: bool) -> None:
    before = blas_threads()
    with threads_for(shape, 100):
        assert blas_threads() == ({1} if limited else before)
    assert blas_threads() == before
