"""Rejection: how well a model tells plants of unknown species from those it has learnt."""

from __future__ import annotations

from evaluation.alignment import align
from evaluation.fusion import Recipe, fuse
from evaluation.predictions import Predictions


def unknown_auroc(predictions: Predictions) -> float | None:
    """Area under the ROC curve of the highest fused probability of a plant, known species against unknown ones.

    Parameters
    ----------
    predictions
        Plants whose true class is named and not among the classes are unknown; those of no named class are left out.

    Returns
    -------
    In [0, 1]: 0.5 is chance, 1 a perfect order; None without plants of both kinds.
    """
    from sklearn.metrics import roc_auc_score

    fused = fuse(align([predictions]), Recipe("mean"))
    named = fused.true_class != ""
    known = [truth in set(fused.classes.tolist()) for truth in fused.true_class[named].tolist()]
    if all(known) or not any(known):
        return None
    return float(roc_auc_score(known, fused.probability[named].max(axis=1)))
