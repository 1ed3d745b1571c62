"""Whether a classifier learns to tell samples from real rows."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC

from likely.evaluation.codes import accuracy_error
from likely.evaluation.detection import auroc, auroc_error

N_FOLDS = 5
MAX_TREE_VALUES = 64
"""Trees look at no more values of a row than this, chosen at random of those that vary: what gives a sample away in its
exact values (a blur, a noise) does so in a part of them."""
MAX_COMPONENTS = 50
"""The kernel machine looks at rows along at most so many of their principal axes."""


@dataclass(frozen=True)
class TwoSample:
    """How well a classifier tells two samples apart, on rows that it did not learn from.

    Attributes:
        accuracy: the share of rows that it assigns rightly; 0.5 in mean where the two come of one distribution, a
            little less on few rows, 1 where they have nothing in common.
        accuracy_error: its standard error.
        auroc: the chance that it ranks a row of the second sample above one of the first, the mean over folds.
        auroc_error: its standard error.
    """

    accuracy: float
    accuracy_error: float
    auroc: float
    auroc_error: float


def two_sample_test(x: ArrayLike, y: ArrayLike, *, n_folds: int = N_FOLDS, seed: int = 0) -> TwoSample:
    """The classifier two-sample test, cross-fitted: each row is judged by a classifier that did not see it.

    The classifier is the mean of two that miss different things: boosted trees, which see exact values and single
    columns, and a support vector machine with a Gaussian kernel, which sees the whole of a row.

    Args:
        x: (n, ...), flattened here, in units in which a Euclidean distance means something.
        y: (n, ...), as many.
        n_folds: parts that the rows fall into; fewer where there are fewer rows.
        seed: of the folds and of the trees; the same rows and the same seed give the same answer.

    Returns:
        Accuracy and area under the ROC curve.

    Raises:
        ValueError: if there are not as many rows of either kind, fewer than two, rows of different widths, or values
            that are not finite.

    Reference:
        Revisiting classifier two-sample tests (Lopez-Paz & Oquab, 2017), arXiv:1610.06545
    """
    rows, is_second = _pooled(x, y)
    n_folds = min(n_folds, len(rows) // 2)
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(rows, is_second)
    trees_see, kernel_sees = _varying(rows, seed), _principal(rows, seed)
    right, areas, errors = [], [], []
    for learned, judged in folds:
        score = _tree_scores(trees_see, is_second, learned, judged, seed)
        score = score + _kernel_scores(kernel_sees, is_second, learned, judged)
        right.append((score > 0) == is_second[judged])
        areas.append(auroc(score, is_second[judged]))
        errors.append(auroc_error(score, is_second[judged]))
    accuracy = float(np.concatenate(right).mean())
    area_error = math.sqrt(sum(each**2 for each in errors)) / n_folds
    return TwoSample(accuracy, accuracy_error(accuracy, len(rows)), float(np.mean(areas)), area_error)


def _pooled(x: ArrayLike, y: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    pair = [np.asarray(each, np.float64) for each in (x, y)]
    a, b = (each.reshape(len(each), -1) for each in pair)
    if len(a) != len(b) or len(a) < 2:
        raise ValueError(f"as many rows of either kind are needed, and at least 2, got {len(a)} and {len(b)}")
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"rows of both kinds must have as many values, got {a.shape[1]} and {b.shape[1]}")
    rows = np.concatenate([a, b])
    if not np.isfinite(rows).all():
        raise ValueError("rows must be finite, got NaN or infinity")
    return rows, np.arange(len(rows)) >= len(a)


def _varying(rows: np.ndarray, seed: int) -> np.ndarray:
    varies = np.flatnonzero(np.ptp(rows, 0) > 0)
    if len(varies) > MAX_TREE_VALUES:
        varies = np.sort(np.random.default_rng(seed).choice(varies, MAX_TREE_VALUES, replace=False))
    return rows[:, varies] if len(varies) else rows[:, :1]


def _principal(rows: np.ndarray, seed: int) -> np.ndarray:
    """Rows along the axes of both samples together: axes know nothing of which row is whose."""
    if rows.shape[1] <= MAX_COMPONENTS or not np.ptp(rows, 0).any():
        return rows
    size = min(MAX_COMPONENTS, len(rows))
    return np.asarray(PCA(size, svd_solver="randomized", random_state=seed).fit_transform(rows))


def _tree_scores(
    rows: np.ndarray, is_second: np.ndarray, learned: np.ndarray, judged: np.ndarray, seed: int
) -> np.ndarray:
    """From -1, surely of the first sample, to 1."""
    leaf = min(20, max(2, len(learned) // 20))
    trees = HistGradientBoostingClassifier(
        max_iter=60,
        learning_rate=0.15,
        max_leaf_nodes=15,
        min_samples_leaf=leaf,
        early_stopping=False,
        random_state=seed,
    )
    probability = trees.fit(rows[learned], is_second[learned]).predict_proba(rows[judged])[:, 1]
    return np.asarray(2 * probability - 1)


def _kernel_scores(rows: np.ndarray, is_second: np.ndarray, learned: np.ndarray, judged: np.ndarray) -> np.ndarray:
    machine = SVC(C=3.0).fit(rows[learned], is_second[learned])
    return np.asarray(machine.decision_function(rows[judged]).clip(-1, 1))
