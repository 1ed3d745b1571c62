"""Columns of numbers to what a model sees of them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from likely.data.column import Column
from likely.data.rounding import is_same
from likely.data.standard import standardized
from likely.data.unseen import Unseen

Cell = tuple[int, int]
"""The row and the column of a cell."""


class AllDigits:
    """A number that is shown to the last digit, beside one that is nearly the same."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __str__(self) -> str:
        return f"{self.value:.17g}"


def encode_numbers(
    columns: Sequence[Column],
    numbers: np.ndarray,
    name: Callable[[int], str],
    missing_ok: bool,
    unseen: Unseen,
    texts: Mapping[Cell, object] | None = None,
) -> np.ndarray:
    """Numbers in the columns' units to what a model sees of them.

    Args:
        columns: k numeric ones, as they were at fit.
        numbers: (n, k) float64, NaN where there is none.
        name: names a column in messages.
        missing_ok: whether NaN means missing.
        unseen: where values are written down that were not there at fit.
        texts: cells that hold something else than a number, infinite in `numbers`.

    Returns:
        (n, columns that a model sees) standard values: NaN where there is no number that the model can take, and
        0, which is the mean, where the model takes no missing values.
    """
    constant = np.array([column.constant is not None for column in columns], dtype=bool)
    _note_changed(columns, numbers, np.flatnonzero(constant), name, missing_ok, unseen, texts or {})
    empty = np.array([column.empty for column in columns], dtype=bool)
    if empty.any():
        _note_filled(numbers, np.flatnonzero(empty), name, unseen)
    kept = np.flatnonzero(~(constant | empty))
    own = numbers if len(kept) == len(columns) else numbers[:, kept]
    lost = note_not_finite(own, lambda i: name(int(kept[i])), missing_ok, unseen, _of_kept(texts or {}, kept))
    seen = [column for column in columns if column.is_seen]
    units = np.array([(each.location, each.scale, each.bend) for each in seen]).reshape(-1, 3).T
    with np.errstate(invalid="ignore"):
        x = standardized(own, *units)
    if lost is not None:
        x[lost] = np.nan if missing_ok else 0.0
    return x


def note_not_finite(
    values: np.ndarray,
    name: Callable[[int], str],
    missing_ok: bool,
    unseen: Unseen,
    texts: Mapping[Cell, object] | None = None,
) -> np.ndarray | None:
    """Writes down what is infinite, and what is missing unless that is allowed.

    Args:
        values: (n, k) numbers.
        name: names a place within a row in messages.
        missing_ok: whether NaN means missing.
        unseen: where to write.
        texts: what cells hold that are no numbers.

    Returns:
        (n, k) bool: which values are not finite; None where all are.
    """
    if values.dtype.kind != "f":
        return None
    finite = np.isfinite(values)
    if finite.all():
        return None
    lost: np.ndarray = ~finite
    told = np.isinf(values) if missing_ok else lost
    rows, at = np.nonzero(told)
    found = [_shown((int(row), int(i)), values[row, i], texts or {}) for row, i in zip(rows, at, strict=True)]
    unseen.note(rows, found, "a number", lambda i: name(int(at[i])), missing=not missing_ok)
    return lost


def _shown(cell: Cell, value: float, texts: Mapping[Cell, object]) -> object:
    return texts.get(cell, None if np.isnan(value) else float(value))


def _of_kept(texts: Mapping[Cell, object], kept: np.ndarray) -> dict[Cell, object]:
    at = {int(column): i for i, column in enumerate(kept)} if texts else {}
    return {(row, at[column]): text for (row, column), text in texts.items() if column in at}


def _note_filled(numbers: np.ndarray, empty: np.ndarray, name: Callable[[int], str], unseen: Unseen) -> None:
    """Writes down values of columns that had none."""
    rows, at = np.nonzero(~np.isnan(numbers[:, empty]))
    found = numbers[rows, empty[at]].tolist()
    unseen.note(rows, found, "no value, as at fit", lambda i: name(int(empty[at[i]])))


def _note_changed(
    columns: Sequence[Column],
    numbers: np.ndarray,
    constant: np.ndarray,
    name: Callable[[int], str],
    missing_ok: bool,
    unseen: Unseen,
    texts: Mapping[Cell, object],
) -> None:
    """Writes down numbers other than the one that a column always held, but for rounding, and gaps that are new."""
    if not len(constant):
        return
    usual = np.array([float(columns[i].constant or 0.0) for i in constant])
    differs = numbers[:, constant] != usual
    for at in np.flatnonzero(differs.any(0)):
        i, one = int(constant[at]), float(usual[at])
        own = numbers[:, i]
        changed = np.flatnonzero(~is_same(own, one) & ~(np.isnan(own) & (missing_ok or columns[i].missing > 0)))
        values = [_shown((int(row), i), own[row], texts) for row in changed]
        if any(isinstance(value, float) and f"{value:g}" == f"{one:g}" for value in values):
            values = [AllDigits(value) if isinstance(value, float) else value for value in values]
            expected = str(AllDigits(one))
        else:
            expected = f"{one:g}"
        unseen.note(changed, values, f"{expected}, the only value that was there at fit", name(i))
