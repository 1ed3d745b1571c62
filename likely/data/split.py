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
    groups: np.ndarray | None = None,
) -> Split:
    """Splits ids 0 to n - 1: a pure function of its arguments.

    Args:
        n: how many rows there are.
        seed: which split.
        validation: share of the rows, as the next two; each part has at least one row if its share is positive.
        calibration: share of the rows.
        test: share of the rows.
        official: parts that the data itself names ("validation", "test"); they stand in place of a share.
        groups: (n,) integers; rows of one group stay together, and shares are met as nearly as that allows.

    Raises:
        DataError: if there are fewer groups than parts.
    """
    named = {} if official is None else dict(official)
    taken = np.concatenate([np.empty(0, np.int64), *named.values()])
    free = permutation(n, seed, "split")
    free = free[~np.isin(free, taken)]
    shares = {"test": test, "validation": validation, "calibration": calibration}
    sizes = {part: _size(share, len(free)) for part, share in shares.items() if share <= 0 or part not in named}
    pieces = _cut(free, sizes) if groups is None else _cut_between(free, sizes, groups)
    return Split(**{part: np.sort(ids) for part, ids in {**named, **pieces}.items() if part in ("train", *shares)})


def _size(share: float, n: int) -> int:
    return 0 if share <= 0 else min(MAX_HELD_OUT, max(1, round(share * n)))


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


def folds(ids: np.ndarray, n: int, seed: int, *, groups: np.ndarray | None = None) -> list[np.ndarray]:
    """Cuts ids into at most n folds of about one size: a pure function of its arguments.

    Args:
        ids: (m,) of the rows.
        n: how many folds; fewer where there are fewer rows or groups.
        seed: which folds.
        groups: (number of rows in all,) integers; rows of one group are in one fold.
    """
    order = ids[permutation(len(ids), seed, "folds")]
    if groups is None:
        return np.array_split(order, min(n, len(order)))
    whole = _by_group(order, groups)
    bins: list[list[np.ndarray]] = [[] for _ in range(min(n, len(whole)))]
    for group in sorted(whole, key=len, reverse=True):  # the largest first, each to the fold with the fewest rows
        min(bins, key=lambda fold: sum(map(len, fold))).append(group)
    return [_joined(fold) for fold in bins]
