"""Stacking: a multinomial logistic rule on logarithms of probabilities, small enough for hundreds of classes.

One coefficient per source, one bias per class, and, where asked for, a class's own deviation of each coefficient: never
a matrix of classes by classes.

References
----------
.. [1] D. Wolpert, "Stacked Generalization", Neural Networks 5 (2), 1992.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.rules.evidence import Evidence

CLASSWISE = 100.0
"""How much harder a class's own coefficients are drawn to 0 than biases: logarithms are large numbers."""


@dataclass(frozen=True, eq=False)
class Coefficients:
    """Of ``logit = sum over sources (weights + own) * logs + bias``.

    Attributes
    ----------
    weights
        (s,) of each source.
    bias
        (k,) of each class, or (1,) 0 where none is learnt.
    own
        (s, k) deviations of each class, or (s, 1) 0 where none is learnt.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    own: NDArray[np.float64]

    def losses(self, evidence: Evidence) -> NDArray[np.float64]:
        """(m,) -log of the right class's probability."""
        likely = self.likely(evidence)
        return np.asarray(-likely[np.arange(len(evidence)), evidence.number], dtype=np.float64)

    def likely(self, evidence: Evidence) -> NDArray[np.float32]:
        """(m, k) logarithms of probabilities."""
        logits = np.zeros(_logs(evidence).shape[1:], dtype=np.float32)
        logits += self.bias.astype(np.float32)
        classwise = self.own.shape[1] > 1
        for logs, weight, own in zip(_logs(evidence), self.weights, self.own, strict=True):
            logits += logs * (weight + own if classwise else weight).astype(np.float32)
        logits -= logits.max(axis=1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return logits


@dataclass(frozen=True)
class Stacking:
    """What is learnt.

    Attributes
    ----------
    bias
        One number per class.
    classwise
        Also each class's own reliability of each source.
    """

    bias: bool = False
    classwise: bool = False

    def fit(self, evidence: Evidence, strengths: Sequence[float]) -> list[Coefficients]:
        """Minimise the mean log loss and `strength` / 2 times the squares of what makes it more than the product rule.

        Those are the distances of the sources' coefficients from their mean, biases, and `CLASSWISE` times classes' own
        coefficients. The mean coefficient, which is one temperature for all, is free. Each strength starts where the
        one before ended.
        """
        from scipy.optimize import minimize

        x, found = self._pack(evidence), []
        for strength in strengths:
            loss = self._loss(evidence, strength)
            # Single precision sees no smaller steps.
            x = minimize(loss, x, jac=True, method="L-BFGS-B", options={"maxiter": 60, "ftol": 1e-6}).x
            found.append(self._unpack(x, evidence.n_sources))
        return found

    def _pack(self, evidence: Evidence) -> NDArray[np.float64]:
        n_classes = _logs(evidence).shape[2]
        n_more = (n_classes if self.bias else 0) + (n_classes * evidence.n_sources if self.classwise else 0)
        return np.concatenate([np.ones(evidence.n_sources), np.zeros(n_more)])

    def _unpack(self, x: NDArray[np.float64], n_sources: int) -> Coefficients:
        weights, rest = x[:n_sources], x[n_sources:]
        n_classes = len(rest) // (int(self.bias) + n_sources * int(self.classwise) or 1)
        bias = rest[:n_classes] if self.bias else np.zeros(1)
        own = rest[n_classes * int(self.bias) :].reshape(n_sources, -1) if self.classwise else np.zeros((n_sources, 1))
        return Coefficients(weights, bias, own)

    def _loss(
        self, evidence: Evidence, strength: float
    ) -> Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]:
        logs, plants = _logs(evidence), np.arange(len(evidence))

        def loss(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            now = self._unpack(x, evidence.n_sources)
            slope = now.likely(evidence)
            value = -slope[plants, evidence.number].mean(dtype=np.float64)
            np.exp(slope, out=slope)
            slope[plants, evidence.number] -= 1
            slope /= len(plants)
            apart = now.weights - now.weights.mean()
            value += strength / 2 * (apart @ apart + now.bias @ now.bias + CLASSWISE * np.sum(now.own**2))
            slopes = [np.array([np.vdot(one, slope) for one in logs]) + strength * apart]
            if self.bias:
                slopes.append(slope.sum(axis=0) + strength * now.bias)
            if self.classwise:
                by_class = np.stack([np.einsum("mk,mk->k", one, slope) for one in logs])
                slopes.append((by_class + CLASSWISE * strength * now.own).ravel())
            return float(value), np.concatenate(slopes).astype(np.float64)

        return loss


def _logs(evidence: Evidence) -> NDArray[np.float32]:
    if evidence.logs is None:
        raise ValueError("this learner asked for no logarithms")
    return evidence.logs
