"""How finely numbers are told apart: prices in cents, temperatures in tenths, salaries in hundreds."""

import numpy as np

from likely.data.rounding import SAME_STEPS, is_single

STEPS = (1000.0, 500.0, 100.0, 50.0, 10.0, 5.0, 1.0, 0.5, 0.1, 0.05, 0.01, 0.005, 0.001, 5e-4, 1e-4, 5e-5, 1e-5, 1e-6)
"""From coarse to fine, each a multiple of the next: what are multiples of one are multiples of all that follow."""

LEAST_VALUES = 20
"""Of fewer values nobody can say that they are multiples of more than 1."""

_WHOLE = STEPS.index(1.0)
_FIRST_ROWS = 100
_ROUNDING_SHARE = 0.01
"""Rounding is less than this share of a step; else all numbers would be multiples of it."""


class Resolution:
    """The coarsest step that all values of g groups are multiples of, found block by block."""

    def __init__(self, n_groups: int) -> None:
        self._at = np.zeros(n_groups, dtype=np.int64)
        self._single = np.ones(n_groups, dtype=bool)

    def add(self, values: np.ndarray) -> None:
        """Adds (m, g) float64 values; NaN is missing."""
        self._narrow(values[:_FIRST_ROWS])  # most numbers have no step, and say so soon
        self._narrow(values)

    def steps(self, count: np.ndarray) -> np.ndarray:
        """(g,) the steps, 0 where there is none, given how many values there were."""
        at = np.where(count < LEAST_VALUES, np.maximum(self._at, _WHOLE), self._at)
        return np.append(STEPS, 0.0)[at]

    def _narrow(self, values: np.ndarray) -> None:
        left = np.flatnonzero(self._at < len(STEPS))
        if len(left):
            self._single[left] &= is_single(values[:, left]).all(0)
        while len(left):
            fits = _are_multiples(values[:, left], np.array(STEPS)[self._at[left]], self._single[left])
            self._at[left[~fits]] += 1
            left = left[~fits & (self._at[left] < len(STEPS))]


def _are_multiples(values: np.ndarray, steps: np.ndarray, single: np.ndarray) -> np.ndarray:
    """(g,) whether all values (m, g) are multiples of their step but for rounding."""
    eps = np.where(single, np.finfo(np.float32).eps, np.finfo(np.float64).eps)
    size = np.abs(values)
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.abs(values - nearest(values, steps))
        rounding = SAME_STEPS * eps * size
        exact = (apart == 0) | np.isnan(values)
        near = (apart <= rounding) & (rounding < _ROUNDING_SHARE * steps)
    fits: np.ndarray = (exact | near).all(0)
    return fits


def nearest(values: np.ndarray, steps: np.ndarray | float) -> np.ndarray:
    """The multiples of steps that lie nearest to values, as they are written in decimals: 0.3, not 3 x 0.1."""
    steps = np.asarray(steps, np.float64)
    per_unit = np.where(steps < 1, np.rint(1 / np.where(steps > 0, steps, 1)), 1.0)
    size = np.where(steps < 1, 1.0, steps)
    found: np.ndarray = np.rint(values * per_unit / size) * size / per_unit
    return np.where(steps > 0, found, values)
