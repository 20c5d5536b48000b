"""Rules: how several rows of probabilities become one; each a small part behind one contract, in a literal table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from evaluation.rules.averages import max_rule, mean_rule, median_rule, product_rule
from evaluation.rules.block import PRODUCT_FLOOR, Block, Rule
from evaluation.rules.places import borda_rule, majority_rule, reciprocal_rank_rule
from evaluation.rules.pools import LogPool, WeightedMean

WEIGHTED = "weighted_mean"
RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "mean": mean_rule,
        WEIGHTED: WeightedMean(),
        "product": product_rule,
        "max": max_rule,
        "median": median_rule,
        "borda": borda_rule,
        "reciprocal_rank": reciprocal_rank_rule,
        "majority": majority_rule,
    }
)
"""Fixed rules: nothing in them is learnt."""

__all__ = ["PRODUCT_FLOOR", "RULES", "WEIGHTED", "Block", "LogPool", "Rule", "WeightedMean", "mean_rule"]
