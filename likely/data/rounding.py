"""Numbers that are the same but for rounding."""

import numpy as np
from numpy.typing import ArrayLike

SAME_STEPS = 4
"""Numbers are the same if they differ by no more than so many steps of their precision: 0.1 + 0.2 is 0.3."""

LARGEST_EXACT = 2.0**53
"""Whole numbers up to this one are exact, so that no two of them are the same."""


def is_near(a: np.ndarray, b: ArrayLike, *, single: bool = False) -> np.ndarray:
    """Whether numbers differ by no more than `SAME_STEPS` steps of double precision, or of single precision."""
    step = float(np.finfo(np.float32 if single else np.float64).eps)
    with np.errstate(over="ignore", invalid="ignore"):
        near: np.ndarray = np.abs(a - b) <= SAME_STEPS * step * np.maximum(np.abs(a), np.abs(b))
    return near


def is_single(values: np.ndarray) -> np.ndarray:
    """Which numbers single precision holds to the last digit, whatever type they are stored in; NaN is one of them."""
    with np.errstate(over="ignore"):
        single: np.ndarray = (values == values.astype(np.float32)) | np.isnan(values)
    return single


def is_exact(values: np.ndarray) -> np.ndarray:
    """Which numbers are whole, and small enough that none of them was rounded."""
    exact: np.ndarray = (values == np.rint(values)) & (np.abs(values) <= LARGEST_EXACT)
    return exact


def is_same(values: np.ndarray, other: float) -> np.ndarray:
    """Which float64 numbers are the same as another one, but for rounding by whoever wrote them, in single precision.

    Two whole numbers are the same only where they are equal.
    """
    one = np.array([other])
    whole = is_exact(values) & bool(is_exact(one)[0])
    same: np.ndarray = (values == other) | (is_near(values, one, single=True) & ~whole)
    return same
