"""Where a number stands among those of rows held out: what p-values are made of."""

import numpy as np


def rank(surprises: np.ndarray, surprise: np.ndarray) -> np.ndarray:
    """The conformal p-value: (1 + how many of n surprises are at least as large) / (n + 1).

    Args:
        surprises: (n,), rising.
        surprise: (m,).

    Returns:
        (m,), from 1 / (n + 1) to 1.

    Reference: Algorithmic Learning in a Random World (Vovk et al., 2005)
    """
    n = len(surprises)
    at_least = n - np.searchsorted(surprises, surprise, side="left")
    return np.asarray((1 + at_least) / (n + 1))


def spread_of(values: np.ndarray) -> float:
    """The standard deviation of a normal whose middle half is as wide as that of values (n,); 0 without values."""
    if not len(values):
        return 0.0
    low, high = np.quantile(values, (0.25, 0.75))
    return float(high - low) / 1.349
