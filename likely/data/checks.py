"""Refusals of values: what was found, in which row and column, what was expected, what mends it."""

from collections.abc import Callable, Sequence
from typing import NoReturn

import numpy as np

from likely.errors import DataError

Place = Callable[[int], str]
"""Names row i of the rows at hand."""

MEND_MISSING = "fill it in, remove the row, or choose a model that takes missing values (likely models lists them)"


def row_place(row: int) -> str:
    """What rows are called when nobody knows better."""
    return f"row {row}"


def show(value: object) -> str:
    """A value in a message: short, one line, text in quotes."""
    if isinstance(value, str):
        return repr(value if len(value) <= 40 else value[:37] + "...")
    return f"{float(value):g}" if isinstance(value, int | float | np.number) else str(value)


def refuse(place: str, found: object, expected: str, mend: str) -> NoReturn:
    """Raises a DataError in the usual words."""
    raise DataError(f"{place}: found {show(found)}, expected {expected}; {mend}")


def check_finite(values: np.ndarray, names: Sequence[str], missing_ok: bool, place: Place) -> None:
    """Refuses infinite values, and NaN unless it is allowed.

    Args:
        values: (n, ...) numbers.
        names: what to call each column where values is (n, d); () to give positions instead.
        missing_ok: whether NaN means missing.
        place: names a row.
    """
    if values.dtype.kind != "f" or np.isfinite(values).all():
        return
    odd = np.isinf(values) if missing_ok else ~np.isfinite(values)
    if not odd.any():
        return
    at, value = first(odd, values)
    mend = MEND_MISSING if np.isnan(value) else "replace it by a number" + (" or by NaN" if missing_ok else "")
    refuse(where(at, names, place), "no value (NaN)" if np.isnan(value) else value, "a finite number", mend)


def first(odd: np.ndarray, values: np.ndarray) -> tuple[tuple[int, ...], float]:
    """The position and value of the first one that `odd` marks."""
    at = tuple(int(i) for i in np.unravel_index(int(np.argmax(odd)), odd.shape))
    return at, values[at]


def where(at: tuple[int, ...], names: Sequence[str], place: Place) -> str:
    """Names a value: its row, then its column, or its position within the row."""
    row = place(at[0])
    if names:
        return f"{row}, {names[at[1]]}"
    return f"{row}, column {at[1]}" if len(at) == 2 else f"{row}, at {at[1:]}"
