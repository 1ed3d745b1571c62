"""Densities: from nats to bits per dimension, and means with their standard errors."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Estimate(NamedTuple):
    """A mean over rows, and its standard error in the same unit (NaN where there are fewer than two rows)."""

    mean: float
    error: float


def mean_with_error(values: ArrayLike) -> Estimate:
    """The mean of independent numbers and its standard error, s / sqrt(n) with n - 1 in s.

    Args:
        values: (n,), one per row.

    Returns:
        Both in the unit of `values`. One -inf makes the mean -inf and the error NaN.

    Raises:
        ValueError: if there are no values.
    """
    each = np.asarray(values, np.float64).ravel()
    if not len(each):
        raise ValueError("a mean needs at least one value, got none")
    if len(each) == 1 or not np.isfinite(each).all():
        return Estimate(float(each.mean()), math.nan)
    return Estimate(float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each))))


def bits_per_dim(
    log_prob: ArrayLike,
    n_values: ArrayLike,
    *,
    levels: int | None = None,
    low: float = 0.0,
    high: float = 1.0,
) -> np.ndarray:
    """Code length per value of x: -log2 P(x) / n_values.

    A density p over values that stand on a grid of `levels` even steps gives a level the probability
    p * (high - low) / (levels - 1), its density times the width of its bin. That is exact for a density of uniformly
    dequantized values (a bound, in mean) and an approximation for any other density.

    Args:
        log_prob: (n,), nats. Of whole levels if `levels` is None, else a log-density of x in the caller's units.
        n_values: how many values a row has: one number, or (n,) where some are missing.
        levels: how many gray levels the data has where `log_prob` is a density; None where it is a probability.
        low: the lowest level, in the caller's units; only read for densities, as `high` is.
        high: the highest level: 255 for bytes as they are, 1 for bytes that were divided by 255.

    Returns:
        (n,) float64, bits per dimension.

    Raises:
        ValueError: if `levels` is smaller than 2, `high` is not above `low`, or a row has no values.

    Reference:
        A note on the evaluation of generative models (Theis et al., 2016), arXiv:1511.01844, section 3.1
    """
    nats, size = np.asarray(log_prob, np.float64), np.asarray(n_values, np.float64)
    if (size < 1).any():
        raise ValueError(f"n_values must be at least 1, got {size.min():g}")
    per_value = -nats / size - _log_bin_width(levels, low, high)
    return np.asarray(per_value / math.log(2.0))


def _log_bin_width(levels: int | None, low: float, high: float) -> float:
    if levels is None:
        return 0.0
    if levels < 2:
        raise ValueError(f"levels must be at least 2, got {levels}")
    if not high > low:
        raise ValueError(f"high must be above low, got low={low:g} and high={high:g}")
    return math.log((high - low) / (levels - 1))
