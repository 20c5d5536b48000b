"""Threads: one for small arithmetic, because threads that wait for each other on a busy machine cost a hundredfold."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # published without types

WORTH_THREADS = 1e9
"""Operations of one matrix product from which a second thread gains more than it risks.

Measured with two cores that three other processes shared: a logistic regression on 105 x 512 features and 39
classes (4e6 operations a product) took 50 s with two threads of OpenBLAS and 0.5 s with one.
"""


def threads_for(shape: tuple[int, ...], n_results: int) -> AbstractContextManager[object]:
    """Limit linear algebra to one thread while the product of a matrix of `shape` with `n_results` columns is small.

    Below the limit results do not depend on the number of cores, down to the last bit.
    """
    if 2.0 * math.prod(shape) * n_results >= WORTH_THREADS:
        return nullcontext()
    limit: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limit
