"""Statistics of values that come in blocks: one pass, constant memory."""

import numpy as np

from likely.data.resolution import Resolution
from likely.data.rounding import is_exact, is_near, is_single
from likely.rng import derive

MAX_SAMPLE = 10_000
MAX_SAMPLED_VALUES = 8_000_000
"""So many values of each group are kept, and so many of all groups together."""


class Statistics:
    """Range, moments and oddities of g groups of values: columns, channels, or all values as one group.

    NaN is missing: counted, and otherwise left out. Means and variances are merged as Chan, Golub and LeVeque
    (1983) do, which loses no digits where the mean is far from 0.

    Args:
        n_groups: g.
        n_values: how many values of each group there are to come, at most; of these a random sample is kept.
    """

    def __init__(self, n_groups: int, n_values: int = 0) -> None:
        self.count = np.zeros(n_groups, dtype=np.int64)
        self.missing = np.zeros(n_groups, dtype=np.int64)
        self.low = np.full(n_groups, np.inf)
        self.high = np.full(n_groups, -np.inf)
        self.mean = np.zeros(n_groups)
        self.squares = np.zeros(n_groups)
        self.whole = np.ones(n_groups, dtype=bool)
        self.single = np.ones(n_groups, dtype=bool)
        """Whether values lie near to each other, and all of them are of single precision, however they are stored."""
        self.n_at_ends = 0
        """How many values are exactly 0 or 1."""
        self.only_black_and_white = True
        """Whether all values are 0 or 255."""
        self._resolution = Resolution(n_groups) if n_values else None
        self._kept_share = min(MAX_SAMPLE, MAX_SAMPLED_VALUES // max(1, n_groups)) / n_values if n_values else 0.0
        self._sample: list[np.ndarray] = []
        self._random = np.random.Generator(np.random.Philox(derive("statistics")))

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
        self._look_at_digits(values)
        self._keep_some(values)
        if self._resolution is not None:
            self._resolution.add(values)
        with np.errstate(over="ignore", invalid="ignore"):
            self._merge(np.where(missing, 0.0, values), ~missing, count)

    def _look_at_digits(self, values: np.ndarray) -> None:
        """Finds out the precision of values, where they are so near to each other that it matters."""
        self.single &= is_near(self.low, self.high, single=True)
        if self.single.any():
            self.single[self.single] = is_single(values[:, self.single]).all(0)

    def _keep_some(self, values: np.ndarray) -> None:
        if self._kept_share >= 1:
            self._sample.append(values)
        elif self._kept_share > 0:
            self._sample.append(values[self._random.random(len(values)) < self._kept_share])

    def sample(self, group: int) -> np.ndarray:
        """Some values of a group, drawn at random, without those that are missing: all of them where they are few."""
        values = np.concatenate([block[:, group] for block in self._sample] or [np.empty(0)])
        return values[~np.isnan(values)]

    def different(self, most: int) -> np.ndarray:
        """The different values among some `most` of the sample of all groups, rising."""
        blocks = [block.ravel() for block in self._sample]
        step = max(1, sum(map(len, blocks)) // most)
        values = np.unique(np.concatenate([block[::step] for block in blocks] or [np.empty(0)]))
        return values[~np.isnan(values)]

    @property
    def step(self) -> np.ndarray:
        """(g,) what all values of a group are multiples of; 0 where nothing is known."""
        return np.zeros(len(self.count)) if self._resolution is None else self._resolution.steps(self.count)

    def _merge(self, values: np.ndarray, observed: np.ndarray, count: np.ndarray) -> None:
        mean = values.sum(0) / np.maximum(count, 1)
        apart = (values - mean) * observed
        # What rounding did to the mean is in all of them: beside a spread in the last digits it is large.
        left = apart.sum(0) / np.maximum(count, 1)
        mean, squares = mean + left, np.square(apart).sum(0) - count * np.square(left)
        total = np.maximum(self.count + count, 1)
        shift = mean - self.mean
        self.squares += squares + np.square(shift) * self.count * (count / total)
        self.mean += np.where(count > 0, shift * (count / total), 0.0)
        self.count += count

    @property
    def scale(self) -> np.ndarray:
        """(g,) standard deviation (of the population); 1 where all values are the same."""
        with np.errstate(over="ignore", invalid="ignore"):
            deviation = np.sqrt(np.maximum(self.squares, 0) / np.maximum(self.count, 1))
            # A spread below the smallest square still is one.
            deviation = np.where((deviation == 0) & (self.high > self.low), self.high - self.low, deviation)
        return np.where(self.constant, 1.0, deviation)

    @property
    def constant(self) -> np.ndarray:
        """(g,) whether all values are the same, or would be but for rounding."""
        exact = self.whole & is_exact(self.low) & is_exact(self.high)
        near = np.where(self.single, is_near(self.low, self.high, single=True), is_near(self.low, self.high))
        return (self.low == self.high) | (near & ~exact & (self.count > 0))
