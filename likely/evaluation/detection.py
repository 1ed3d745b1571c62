"""Detection: how well surprise tells novel rows from normal ones."""

import math

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import average_precision_score, roc_auc_score


def auroc(surprise: ArrayLike, is_novel: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a novel row surprises more than a normal one, ties counted half.

    Args:
        surprise: (n,), larger is stranger; any unit, for only the order counts.
        is_novel: (n,), True for the rows that should be found.

    Returns:
        Between 0 and 1; 0.5 is guessing.

    Raises:
        ValueError: if the lengths differ, a number is NaN, or there are not both kinds of row.
    """
    return float(roc_auc_score(*_checked(surprise, is_novel)))


def average_precision(surprise: ArrayLike, is_novel: ArrayLike) -> float:
    """Precision averaged over recall, without interpolation. Guessing gives the share of novel rows, not 0.5.

    Args:
        surprise: (n,), larger is stranger.
        is_novel: (n,), True for the rows that should be found.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: as `auroc`.
    """
    return float(average_precision_score(*_checked(surprise, is_novel)))


def auroc_error(surprise: ArrayLike, is_novel: ArrayLike) -> float:
    """The standard error of `auroc`; NaN where a kind has fewer than two rows.

    Reference:
        Comparing the areas under two or more correlated ROC curves (DeLong et al., 1988), equation 3
    """
    novel, score = _checked(surprise, is_novel)
    a, b = score[novel], score[~novel]
    if min(len(a), len(b)) < 2:
        return math.nan
    return math.sqrt(_placements(a, b).var(ddof=1) / len(a) + _placements(b, a).var(ddof=1) / len(b))


def _placements(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The share of `others` below each value, ties counted half."""
    others = np.sort(others)
    below, at_most = np.searchsorted(others, values, "left"), np.searchsorted(others, values, "right")
    return np.asarray((below + at_most) / (2 * len(others)))


def _checked(surprise: ArrayLike, is_novel: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    score, novel = np.asarray(surprise, np.float64).ravel(), np.asarray(is_novel).astype(bool).ravel()
    if len(score) != len(novel):
        raise ValueError(f"one label per score is needed, got {len(score)} scores and {len(novel)} labels")
    if np.isnan(score).any():
        raise ValueError(f"surprise must be numbers, got NaN in row {int(np.isnan(score).argmax())}")
    if novel.all() or not novel.any():
        raise ValueError(f"detection needs novel and normal rows, got {novel.sum()} novel of {len(novel)}")
    # An infinite surprise is a legal answer, but scikit-learn refuses it.
    return novel, np.nan_to_num(score)
