"""The Fréchet distance between the Gaussians that have the means and covariances of two sets of rows."""

import math

import numpy as np
from numpy.typing import ArrayLike


def frechet_distance(x: ArrayLike, y: ArrayLike) -> float:
    """|mean difference|^2 + tr(A + B - 2 (A^(1/2) B A^(1/2))^(1/2)), for the covariances A and B of two sets of rows.

    It is the squared 2-Wasserstein distance of the two Gaussians. With few rows it comes out too large, the more so
    the more values they have: compare numbers only where there are as many rows of either kind, and in one space.
    No matrix is squared or inverted: the last trace is the sum of singular values of the product of the two roots,
    which come from the rows themselves, so that fewer rows than values, and constant values, do no harm.

    Args:
        x: (n, ...), flattened here: features of rows.
        y: (m, ...).

    Returns:
        In the square of the rows' unit; at least 0.

    Raises:
        ValueError: if there are fewer than two rows of a kind, widths differ, or a value is not finite.

    Reference:
        The Fréchet distance between multivariate normal distributions (Dowson & Landau, 1982), equation 4
    """
    a, b = _flat(x), _flat(y)
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"rows of both kinds must have as many values, got {a.shape[1]} and {b.shape[1]}")
    means = float(np.square(a.mean(0) - b.mean(0)).sum())
    root_a, root_b = _root(a), _root(b)
    traces = float(np.square(root_a).sum() + np.square(root_b).sum())
    shared = float(np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum())
    return max(0.0, means + traces - 2 * shared)


def _root(rows: np.ndarray) -> np.ndarray:
    """R (k, d) with R^T R the covariance, k at most d."""
    centered = (rows - rows.mean(0)) / math.sqrt(len(rows) - 1)
    return np.asarray(np.linalg.qr(centered, mode="r"))


def _flat(rows: ArrayLike) -> np.ndarray:
    array = np.asarray(rows, np.float64)
    if len(array) < 2 or not np.isfinite(array).all():
        found = "values that are not finite" if len(array) >= 2 else f"{len(array)}"
        raise ValueError(f"a covariance needs at least 2 rows of finite values, got {found}")
    return array.reshape(len(array), -1)
