"""The Fréchet distance between the Gaussians that have the means and covariances of two sets of rows."""

import math

import numpy as np
from numpy.typing import ArrayLike

from likely.evaluation.density import Estimate

N_GROUPS = 10
N_SPLITS = 20


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


def frechet_estimate(x: ArrayLike, y: ArrayLike, *, n_groups: int = N_GROUPS) -> Estimate:
    """`frechet_distance` with its standard error over draws of both kinds of rows.

    The error is that of a jackknife that leaves out one of `n_groups` parts of the rows at a time, of both kinds; the
    distance is too large for few rows all the same. NaN where the rows are too few to leave any out.
    """
    a, b = _flat(x), _flat(y)
    value = frechet_distance(a, b)
    if min(len(a), len(b)) < 2 * n_groups:
        return Estimate(value, math.nan)
    parts = [[np.arange(len(rows)) % n_groups != i for rows in (a, b)] for i in range(n_groups)]
    without = np.array([frechet_distance(a[of_a], b[of_b]) for of_a, of_b in parts])
    return Estimate(value, float(math.sqrt((n_groups - 1) * without.var())))


def frechet_floor(rows: ArrayLike, *, n_splits: int = N_SPLITS, seed: int = 0) -> Estimate:
    """What the distance comes to where nothing differs: between two random halves of the same rows.

    Args:
        rows: (2 n, ...), features of rows of one kind.
        n_splits: how often they are halved.
        seed: of the halves.

    Returns:
        The mean over halvings, and its standard deviation: how far a single pair of n rows each strays from it.

    Raises:
        ValueError: if there are fewer than four rows.
    """
    features, random = _flat(rows), np.random.default_rng(seed)
    if len(features) < 4:
        raise ValueError(f"halves of at least 2 rows are needed, got {len(features)} rows in all")
    half = len(features) // 2
    orders = [random.permutation(len(features)) for _ in range(n_splits)]
    found = [frechet_distance(features[order[:half]], features[order[half : 2 * half]]) for order in orders]
    return Estimate(float(np.mean(found)), float(np.std(found)))


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
