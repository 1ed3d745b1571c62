"""Splits: every row serves one purpose, decided once, by id."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from likely.errors import DataError
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

    def taught(self) -> np.ndarray:
        """Ids of the rows that decide what the model is: those that train and those that validate, sorted."""
        ids = np.concatenate([self.train, self.validation])
        ids.sort()
        return ids

    def sizes(self) -> dict[str, int]:
        """Rows in each part."""
        return {name: len(getattr(self, name)) for name in ("train", "validation", "calibration", "test")}


def split_rows(
    n: int,
    seed: int,
    *,
    validation: float = 0.1,
    calibration: float | int = 0.1,
    test: float = 0.1,
    official: Mapping[str, np.ndarray] | None = None,
    groups: np.ndarray | None = None,
) -> Split:
    """Splits ids 0 to n - 1: a pure function of its arguments.

    Args:
        n: how many rows there are.
        seed: which split.
        validation: share of the rows, as the next two; each part has at least one row if its share is positive.
        calibration: share of the rows, or how many.
        test: share of the rows.
        official: parts that the data itself names ("validation", "test"); they stand in place of a share.
        groups: (n,) integers; rows of one group stay together, and shares are met as nearly as that allows.

    Raises:
        DataError: if there are fewer groups than parts.
    """
    named = {} if official is None else dict(official)
    taken = np.concatenate([np.empty(0, np.int64), *named.values()])
    free = permutation(n, seed, "split")
    free = free[~np.isin(free, taken)] if len(taken) else free
    shares = {"test": test, "validation": validation, "calibration": calibration}
    sizes = {part: _size(share, len(free)) for part, share in shares.items() if share <= 0 or part not in named}
    pieces = _cut(free, sizes) if groups is None else _cut_between(free, sizes, groups)
    return Split(**{part: np.sort(ids) for part, ids in {**named, **pieces}.items() if part in ("train", *shares)})


def _size(share: float | int, n: int) -> int:
    if share <= 0:
        return 0
    return min(MAX_HELD_OUT, share if isinstance(share, int) else max(1, round(share * n)))


def calibration_size(n: int) -> int:
    """How many of n rows calibrate, so that the false-alarm rates that people ask for come out exactly.

    A tenth of the rows, but at least a fifth or 99, whichever is less, and 19 where that is at most a third: with m
    rows held out, rates are multiples of 1 / (m + 1). One less than a multiple of 100 gives every whole percentage,
    one less than a multiple of 20 every 5 %.
    """
    wanted = max(round(n / 10), min(99, round(n / 5)))
    if wanted < 19 <= n / 3:
        wanted = 19
    step = 100 if wanted >= 99 else 20 if wanted >= 19 else 1
    return min(MAX_HELD_OUT - 1, (wanted + 1) // step * step - 1) if step > 1 else wanted


def _cut(ids: np.ndarray, sizes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Pieces of these sizes in turn; what is left is "train"."""
    *pieces, rest = np.split(ids, np.cumsum([min(size, len(ids)) for size in sizes.values()]))
    return {**dict(zip(sizes, pieces, strict=True)), "train": rest}


def _cut_between(ids: np.ndarray, sizes: Mapping[str, int], groups: np.ndarray) -> dict[str, np.ndarray]:
    """Pieces of about these sizes, of whole groups; what is left, at least one group, is "train"."""
    left = _by_group(ids, groups)
    wanted = [part for part, size in sizes.items() if size]
    if len(left) <= len(wanted):
        raise DataError(
            f"found {len(left)} images that rows are of, expected at least {len(wanted) + 1}, since a split into "
            f"{', '.join(['train', *wanted])} cuts none; add images"
        )
    pieces = {}
    for number, (part, size) in enumerate(sizes.items()):
        # A group for each part that is still to come, and one to learn from.
        to_leave = 1 + sum(size > 0 for size in list(sizes.values())[number + 1 :])
        pieces[part] = _take(left, size, len(left) - to_leave)
    return {**pieces, "train": _joined(left)}


def _by_group(ids: np.ndarray, groups: np.ndarray) -> list[np.ndarray]:
    """The ids of each group, groups in the order in which they first come."""
    _, first, of_row = np.unique(groups[ids], return_index=True, return_inverse=True)
    by_number = np.split(ids[np.argsort(of_row, kind="stable")], np.cumsum(np.bincount(of_row))[:-1])
    return [by_number[number] for number in np.argsort(first)]


def _take(left: list[np.ndarray], size: int, n_most: int) -> np.ndarray:
    """Takes groups out of `left` whose rows are as nearly `size` as comes by going through them; at least one."""
    taken: list[int] = []
    missing = size
    for number, ids in enumerate(left):
        if len(taken) < n_most and len(ids) <= missing:
            taken.append(number)
            missing -= len(ids)
    smallest = min((number for number in range(len(left)) if number not in taken), key=lambda number: len(left[number]))
    if (len(taken) < n_most and len(left[smallest]) < 2 * missing) or (size and not taken):
        taken.append(smallest)
    return _joined([left.pop(number) for number in sorted(taken, reverse=True)])


def _joined(pieces: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, np.int64), *pieces])
