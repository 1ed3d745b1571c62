"""The maximum mean discrepancy: how far apart two distributions are by the means of all features of a kernel."""

import math

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from likely.evaluation.density import Estimate
from likely.rng import some_of

MAX_MEDIAN_ROWS = 1_000
"""The bandwidth is taken from at most so many rows, drawn at random."""


def kernel_mmd(x: ArrayLike, y: ArrayLike, *, bandwidth: float | None = None) -> Estimate:
    """The squared maximum mean discrepancy, without bias: its mean is 0 where both come of one distribution.

    mean over i != j of k(x_i, x_j) + mean over i != j of k(y_i, y_j) - 2 mean of k(x_i, y_j), for the Gaussian kernel
    k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2)).

    Args:
        x: (n, ...), flattened here; all pairs are looked at, so a few thousand rows at most.
        y: (m, ...).
        bandwidth: of the kernel, in the units of the rows; by default the median distance of two of all the rows (of
            those that differ, where most do not).

    Returns:
        The discrepancy, which may be negative, and its standard error over draws of both samples; with few rows of
        one distribution up to a fifth too large.

    Raises:
        ValueError: if there are fewer than two rows of a kind, or their widths differ, or `bandwidth` is not positive.

    Reference:
        A kernel two-sample test (Gretton et al., 2012), equation 3; the variance follows Hoeffding's decomposition
    """
    a, b = _checked(x, y)
    width = median_distance(torch.cat([a, b])) if bandwidth is None else bandwidth
    if not width > 0:
        raise ValueError(f"bandwidth must be positive, got {width}")
    own, others, across = (_kernel(*pair, width) for pair in ((a, a), (b, b), (a, b)))
    value = _mean_of_pairs(own) + _mean_of_pairs(others) - 2 * across.mean()
    return Estimate(float(value), _error(own, others, across))


def median_distance(rows: Tensor) -> float:
    """The median distance of two rows (n, d), of those that differ where the median is 0; 1 where all are equal."""
    some = rows[torch.from_numpy(some_of(len(rows), MAX_MEDIAN_ROWS, "median distance"))]
    distances = torch.pdist(some)
    median = float(distances.median()) if len(distances) else 0.0
    apart = distances[distances > 0]
    return median if median > 0 else float(apart.median()) if len(apart) else 1.0


def _checked(x: ArrayLike, y: ArrayLike) -> tuple[Tensor, Tensor]:
    a, b = (torch.from_numpy(np.require(np.asarray(each), np.float64, "W")) for each in (x, y))
    if min(len(a), len(b)) < 2:
        raise ValueError(f"a discrepancy needs at least 2 rows of either kind, got {len(a)} and {len(b)}")
    a, b = a.flatten(1) if a.ndim > 1 else a[:, None], b.flatten(1) if b.ndim > 1 else b[:, None]
    if a.shape[1] != b.shape[1]:
        raise ValueError(f"rows of both kinds must have as many values, got {a.shape[1]} and {b.shape[1]}")
    return a, b


def _kernel(a: Tensor, b: Tensor, width: float) -> Tensor:
    return torch.cdist(a, b).square_().div_(-2 * width**2).exp_()


def _mean_of_pairs(kernel: Tensor) -> Tensor:
    """Over all pairs of two different rows."""
    n = len(kernel)
    return (kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))


def _error(own: Tensor, others: Tensor, across: Tensor) -> float:
    """The standard error: each row's influence, less the noise that a row's own mean brings into it.

    The influences have the variance of the first order and twice that of the second.
    """
    n, m = across.shape
    of_x = 2 * (_mean_of_others(own) - across.mean(1))
    of_y = 2 * (_mean_of_others(others) - across.mean(0))
    plain = float(of_x.var() / n + of_y.var() / m)
    second = 2 * _centered_square(own) / (n * (n - 1)) + 2 * _centered_square(others) / (m * (m - 1))
    both = across - across.mean(1, keepdim=True) - across.mean(0) + across.mean()
    second += 4 * float(both.square().mean()) / (n * m)
    # The second order alone is what is left where the distributions are one; the difference may come out below it.
    return math.sqrt(max(plain - second, second / 2))


def _mean_of_others(kernel: Tensor) -> Tensor:
    return (kernel.sum(1) - kernel.diagonal()) / (len(kernel) - 1)


def _centered_square(kernel: Tensor) -> float:
    """The mean square over pairs of what is left of a kernel without the means of its rows and columns."""
    each = _mean_of_others(kernel)
    rest = (kernel - each[:, None] - each + each.mean()).fill_diagonal_(0.0)
    n = len(kernel)
    return float(rest.square().sum() / (n * (n - 1)))
