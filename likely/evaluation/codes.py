"""Codes: what a simple classifier reads from them."""

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from likely.rng import some_of

MAX_TRAIN_ROWS = 10_000
"""Classifiers learn from at most so many codes, drawn at random of those given: they are a gauge, not a product."""


def linear_probe_accuracy(
    train_codes: ArrayLike, train_labels: ArrayLike, test_codes: ArrayLike, test_labels: ArrayLike
) -> float:
    """Share of test rows whose label a logistic regression tells from the standardized code.

    Args:
        train_codes: (n, ...), flattened here; at most 10,000 of them are used, drawn at random.
        train_labels: (n,), numbers or strings.
        test_codes: (m, ...).
        test_labels: (m,).

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: if lengths differ, a code is not finite, or the training labels have fewer than two classes.

    Reference:
        Understanding intermediate layers using linear classifier probes (Alain & Bengio, 2016), arXiv:1610.01644
    """
    return _accuracy(LogisticRegression(max_iter=300), train_codes, train_labels, test_codes, test_labels)


def nearest_neighbor_accuracy(
    train_codes: ArrayLike, train_labels: ArrayLike, test_codes: ArrayLike, test_labels: ArrayLike, *, k: int = 5
) -> float:
    """Share of test rows whose label the k nearest training codes agree on, each dimension standardized.

    Args:
        train_codes: (n, ...), flattened here; at most 10,000 of them are used, drawn at random.
        train_labels: (n,), numbers or strings.
        test_codes: (m, ...).
        test_labels: (m,).
        k: how many neighbors vote; fewer where there are fewer rows.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: as `linear_probe_accuracy`.
    """
    k = min(k, len(np.asarray(train_codes)), MAX_TRAIN_ROWS)
    return _accuracy(KNeighborsClassifier(k), train_codes, train_labels, test_codes, test_labels)


def leave_one_out_accuracy(codes: ArrayLike, labels: ArrayLike, *, k: int = 5) -> float:
    """Share of rows whose label the k nearest other codes agree on, each dimension standardized.

    It is `nearest_neighbor_accuracy` for codes that cannot be had for new rows.

    Args:
        codes: (n, ...), flattened here; at most 10,000 of them are used, drawn at random.
        labels: (n,), numbers or strings.
        k: how many neighbors vote; fewer where there are fewer rows.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: as `linear_probe_accuracy`; also if there is only one code.
    """
    x, y = _checked("test", codes, labels)
    if len(x) < 2 or len(np.unique(y)) < 2:
        raise ValueError(f"labels of at least 2 classes are needed, got {len(np.unique(y))}")
    kept = _some(len(x))
    classes, y = np.unique(y[kept], return_inverse=True)
    scaled = StandardScaler().fit_transform(x[kept])
    nearest = NearestNeighbors(n_neighbors=min(k, len(kept) - 1)).fit(scaled).kneighbors(return_distance=False)
    votes = (y[nearest][:, :, None] == np.arange(len(classes))).sum(1)
    return float((votes.argmax(1) == y).mean())


def accuracy_error(accuracy: float, n: int) -> float:
    """The standard error of a share of n independent rows: sqrt(p (1 - p) / n)."""
    return math.sqrt(accuracy * (1.0 - accuracy) / n)


def _accuracy(
    classifier: ClassifierMixin,
    train_codes: ArrayLike,
    train_labels: ArrayLike,
    test_codes: ArrayLike,
    test_labels: ArrayLike,
) -> float:
    x, labels = _checked("training", train_codes, train_labels)
    test_x, test_y = _checked("test", test_codes, test_labels)
    if len(np.unique(labels)) < 2:
        raise ValueError(f"labels of at least 2 classes are needed, got {len(np.unique(labels))}")
    kept = _some(len(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a gauge may stop a little early
        return float(make_pipeline(StandardScaler(), classifier).fit(x[kept], labels[kept]).score(test_x, test_y))


def _some(n: int) -> np.ndarray:
    return some_of(n, MAX_TRAIN_ROWS, "gauge")


def _checked(part: str, codes: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    z, y = np.asarray(codes, np.float64), np.asarray(labels)
    if len(z) != len(y) or not len(z):
        raise ValueError(f"one label per {part} code is needed, got {len(z)} codes and {len(y)} labels")
    return z.reshape(len(z), -1), y
