"""Statistics of values that come in blocks: one pass, constant memory."""

import numpy as np


class Statistics:
    """Range, moments and oddities of g groups of values: columns, channels, or all values as one group.

    NaN is missing: counted, and otherwise left out. Means and variances are merged as Chan, Golub and LeVeque
    (1983) do, which loses no digits where the mean is far from 0.
    """

    def __init__(self, n_groups: int) -> None:
        self.count = np.zeros(n_groups, dtype=np.int64)
        self.missing = np.zeros(n_groups, dtype=np.int64)
        self.low = np.full(n_groups, np.inf)
        self.high = np.full(n_groups, -np.inf)
        self.mean = np.zeros(n_groups)
        self.squares = np.zeros(n_groups)
        self.whole = np.ones(n_groups, dtype=bool)
        self.n_at_ends = 0
        """How many values are exactly 0 or 1."""
        self.only_black_and_white = True
        """Whether all values are 0 or 255."""

    def add_bytes(self, values: np.ndarray) -> None:
        """Adds (m, g) uint8 or bool values: their range only, in a fraction of the time."""
        self.count += len(values)
        self.low = np.minimum(self.low, float(values.min()))
        self.high = np.maximum(self.high, float(values.max()))
        if self.only_black_and_white:
            self.only_black_and_white = not ((values > 0) & (values < 255)).any()

    def add(self, values: np.ndarray) -> None:
        """Adds (m, g) float64 values."""
        missing = np.isnan(values)
        count = len(values) - missing.sum(0)
        self.missing += len(values) - count
        self.low = np.fmin(self.low, np.fmin.reduce(values, 0))
        self.high = np.fmax(self.high, np.fmax.reduce(values, 0))
        self.whole &= ((values == np.rint(values)) | missing).all(0)
        self.n_at_ends += int(((values == 0) | (values == 1)).sum())
        self.only_black_and_white &= bool(((values == 0) | (values == 255) | missing).all())
        with np.errstate(over="ignore", invalid="ignore"):
            self._merge(np.where(missing, 0.0, values), ~missing, count)

    def _merge(self, values: np.ndarray, observed: np.ndarray, count: np.ndarray) -> None:
        mean = values.sum(0) / np.maximum(count, 1)
        squares = np.square((values - mean) * observed).sum(0)
        total = np.maximum(self.count + count, 1)
        shift = mean - self.mean
        self.squares += squares + np.square(shift) * self.count * (count / total)
        self.mean += np.where(count > 0, shift * (count / total), 0.0)
        self.count += count

    @property
    def scale(self) -> np.ndarray:
        """(g,) standard deviation (of the population); 1 where all values are the same."""
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = np.sqrt(self.squares / np.maximum(self.count, 1))
        # A spread below the smallest square still is one.
        deviation = np.where((deviation == 0) & (self.high > self.low), self.high - self.low, deviation)
        return np.where(self.constant, 1.0, deviation)

    @property
    def constant(self) -> np.ndarray:
        """(g,) whether all values are the same."""
        return self.low == self.high
