"""A column of a table, or of an array of features: what it holds and how a model sees it."""

import math
from dataclasses import dataclass

import numpy as np

from likely.data.resolution import nearest
from likely.data.standard import in_units, standardized

MAX_COLUMNS = 100_000
MAX_CATEGORIES = 1_000
MAX_CATEGORY_LETTERS = 1_000
MAX_NEW_SHARE = 0.01
"""Where more ordinary rows hold a new category, a new one flagged as novel would be a false alarm."""


@dataclass(frozen=True)
class Far:
    """Few values that lie far from all others of a column."""

    count: int
    """How many."""
    value: float
    """The most frequent of them."""
    times: int
    """How often it is there."""
    low: float
    """The smallest value of the column, far ones included."""
    high: float
    """The largest."""
    bend: float
    """How many scales off values are squeezed: beyond all that are not far."""


@dataclass(frozen=True)
class Column:
    """What was seen of one column at fit.

    A numeric column becomes (value - location) / scale, and few far values are squeezed; a categorical one becomes a
    0/1 value per category; a constant one is set aside: no model sees it, later rows must hold the same value but for
    rounding, and it is put back.
    """

    name: str
    kind: str
    """ "numeric" or "categorical"."""
    location: float = 0.0
    """The mean of the observed values but the far ones, in the column's unit; 0 for categorical ones."""
    scale: float = 1.0
    """Their standard deviation, in the column's unit; 1 for categorical and constant ones."""
    categories: tuple[str, ...] = ()
    """In order, as text; () for numeric ones."""
    constant: float | str | None = None
    """The only value there was; None where there were more."""
    missing: int = 0
    """How many values were missing."""
    whole: bool = False
    """Whether all values were whole numbers."""
    dtype: str = "float64"
    """The numpy name of the type that values are handed back in; "str" for text."""
    new_share: float = 0.0
    """Of categories, the share of rows that hold one that no other row holds: as many later rows are expected to hold
    one that was not there at all (Good, 1953)."""
    empty: bool = False
    """Whether there was no value at all, in an array of features, whose columns all have their place."""
    far: Far | None = None
    """What lies far from all other values, which location and scale are of; None where there is nothing."""
    low: float | None = None
    """The smallest value that was there, in the column's unit; None for categories."""
    high: float | None = None
    """The largest."""
    step: float = 0.0
    """What all values were multiples of, such as 0.01 for cents; 0 where there is nothing of the kind."""

    @property
    def is_seen(self) -> bool:
        """Whether a model sees it: there is more than one value."""
        return self.constant is None and not self.empty

    @property
    def new_is_usual(self) -> bool:
        """Whether categories that were not there at fit are to be expected, so that one is no novelty by itself."""
        return self.new_share > MAX_NEW_SHARE

    @property
    def width(self) -> int:
        """How many values a model sees of it."""
        if not self.is_seen:
            return 0
        return len(self.categories) if self.kind == "categorical" else 1

    @property
    def always(self) -> str:
        """The only value there was, in words; of numbers without the zeros that a file need not have."""
        return f"{self.constant:.12g}" if isinstance(self.constant, float) else str(self.constant)

    @property
    def bend(self) -> float:
        """How many scales off values are squeezed; infinite where they never are."""
        return math.inf if self.far is None else self.far.bend

    def standardized(self, values: np.ndarray) -> np.ndarray:
        """Numbers (n,) of a numeric column as a model sees them."""
        return standardized(values, self.location, self.scale, self.bend)

    def in_units(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `standardized`."""
        return in_units(values, self.location, self.scale, self.bend)

    def possible(self, values: np.ndarray) -> np.ndarray:
        """Numbers (n,) as the column can hold them: inside the range that was there, and multiples of its step."""
        if self.low is not None and self.high is not None:
            values = values.clip(self.low, self.high)
        elif self.far is not None:
            values = values.clip(self.far.low, self.far.high)
        return nearest(values, max(self.step, float(self.whole)))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """A name for each value a model sees of it."""
        if not self.is_seen:
            return ()
        if self.kind == "numeric":
            return (self.name,)
        return tuple(f"{self.name}={category}" for category in self.categories)


def cast(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Numbers in another type: rounded and clipped where that type is whole, so that nothing wraps around.

    Raises:
        ValueError: if a value is NaN and the type has none.
    """
    if dtype.kind == "f":
        return values.astype(dtype)
    if np.isnan(values).any():
        raise ValueError(f"found NaN, expected numbers that {dtype} can hold")
    if dtype.kind == "b":
        return np.asarray(values >= 0.5)
    limits = np.iinfo(dtype)
    whole = np.rint(values.astype(np.float64))
    # float64 rounds the limits of 64-bit integers up, past what they hold: those values are set by hand.
    inside = np.clip(whole, limits.min, np.nextafter(float(limits.max) + 1, 0)).astype(dtype)
    return np.where(whole >= limits.max, limits.max, inside).astype(dtype)
