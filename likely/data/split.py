"""Splits: every row serves one purpose, decided once, by id."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from likely.rng import permutation

MAX_HELD_OUT = 10_000
"""No part but training needs more rows than this."""


@dataclass(frozen=True)
class Split:
    """Ids of each part, sorted; no id is in two.

    Attributes:
        train: what the model learns from.
        validation: early stopping and every choice.
        calibration: p-values and nothing else.
        test: reported figures and nothing else.
    """

    train: np.ndarray
    validation: np.ndarray
    calibration: np.ndarray
    test: np.ndarray

    def sizes(self) -> dict[str, int]:
        """Rows in each part."""
        return {name: len(getattr(self, name)) for name in ("train", "validation", "calibration", "test")}


def split_rows(
    n: int,
    seed: int,
    *,
    validation: float = 0.1,
    calibration: float = 0.1,
    test: float = 0.1,
    official: Mapping[str, np.ndarray] | None = None,
) -> Split:
    """Splits ids 0 to n - 1: a pure function of its arguments.

    Args:
        n: how many rows there are.
        seed: which split.
        validation: share of the rows, as the next two; each part has at least one row if its share is positive.
        calibration: share of the rows.
        test: share of the rows.
        official: parts that the data itself names ("validation", "test"); they stand in place of a share.
    """
    named = {} if official is None else dict(official)
    taken = np.concatenate([np.empty(0, np.int64), *named.values()])
    free = permutation(n, seed, "split")
    free = free[~np.isin(free, taken)]
    parts: dict[str, np.ndarray] = {}
    start = 0
    for name, share in (("test", test), ("validation", validation), ("calibration", calibration)):
        if share > 0 and name in named:
            parts[name] = np.sort(named[name])
            continue
        size = 0 if share <= 0 else min(MAX_HELD_OUT, max(1, round(share * len(free))))
        parts[name] = np.sort(free[start : start + size])
        start += size
    return Split(train=np.sort(free[start:]), **parts)
