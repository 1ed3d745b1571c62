"""Numbers and lists in words, as a page prints them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

MARKS = {"=": "=", "<=": "≤", ">=": "≥", "~": "≈"}
MARK_MEANINGS = {
    "=": "exact",
    "<=": "from a bound: the true number is at most this",
    ">=": "from a bound: the true number is at least this",
    "~": "an estimate",
}


def number(value: Any, digits: int = 4) -> str:
    """A number with so many significant digits: 1,437 and 0.01235 and −98.21."""
    value = float(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if not -5 < size < 7:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    return _fixed(value, max(0, digits - 1 - size))


def with_error(value: float, error: float | None) -> tuple[str, str]:
    """A number and its standard error, both cut to the second digit of the error; "" where there is none."""
    if error is None or not (math.isfinite(error) and math.isfinite(value)) or error <= 0:
        return number(value), ""
    decimals = 1 - math.floor(math.log10(error))
    if not 0 <= decimals <= 6:
        return number(value), number(error, 2)
    return _fixed(value, decimals), _fixed(error, decimals)


def count(n: int, noun: str) -> str:
    """1 row, 2 rows, 1,437 rows."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def duration(seconds: float) -> str:
    """0.42 s, 31 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{number(seconds, 2)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def percent(share: float) -> str:
    """12 %, 1.2 %, 0.05 %."""
    return f"{number(100 * share, 2)} %"


def column(values: Sequence[Any]) -> list[str]:
    """The cells of one column: numbers with as many decimals as give the largest four digits, all else as it is."""
    numbers = [value for value in values if _is_number(value) and math.isfinite(value)]
    largest = max((abs(float(value)) for value in numbers), default=0.0)
    if not largest or all(float(value).is_integer() for value in numbers) or not 1e-4 <= largest < 1e9:
        return [cell(value) for value in values]
    decimals = max(0, 3 - math.floor(math.log10(largest)))
    return [
        _fixed(float(value), decimals) if _is_number(value) and math.isfinite(value) else cell(value)
        for value in values
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def cell(value: Any) -> str:
    """A value of a table: numbers with four digits, whole ones in full, all else as it is."""
    if not _is_number(value):
        return "–" if value is None else str(value)
    value = float(value)
    return f"{value:,.0f}".replace("-", "−") if value.is_integer() and abs(value) < 1e12 else number(value)


def shape(sizes: Any) -> str:
    """(28, 28) as 28 × 28."""
    return " × ".join(str(size) for size in sizes) if isinstance(sizes, tuple | list) else str(sizes)


def argument(value: Any) -> str:
    """An argument of a model: as Python writes it, cut where it is long."""
    text = str(value) if isinstance(value, str) else repr(value)
    return text if len(text) <= 120 else text[:119] + "…"


def _fixed(value: float, decimals: int) -> str:
    return f"{value:,.{decimals}f}".replace("-", "−")
