"""Numbers that a caller gave: each is checked by its name before anything is computed."""

import math
from numbers import Integral, Real
from typing import Any

from likely.errors import UserError


def whole(name: str, value: Any, least: int) -> int:
    """A whole number from `least` on.

    Raises:
        UserError: naming the argument, and what is expected.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise UserError(f"{name} must be a whole number, {least} or more, got {value!r}")
    return int(value)


def integer(name: str, value: Any) -> int:
    """Any whole number.

    Raises:
        UserError: naming the argument, and what is expected.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UserError(f"{name} must be a whole number, got {value!r}")
    return int(value)


def share(name: str, value: Any, *, zero: bool = False) -> float:
    """A number between 0 and 1, without its ends; 0 too where `zero`.

    Raises:
        UserError: naming the argument, and what is expected.
    """
    if not is_number(value) or not (value >= 0 if zero else value > 0) or not value < 1:
        expected = "a number from 0 to below 1" if zero else "a number between 0 and 1, such as 0.05"
        raise UserError(f"{name} must be {expected}, got {value!r}")
    return float(value)


def positive(name: str, value: Any) -> float:
    """A finite number above 0.

    Raises:
        UserError: naming the argument, and what is expected.
    """
    if not is_number(value) or not value > 0:
        raise UserError(f"{name} must be a number above 0, got {value!r}")
    return float(value)


def not_negative(name: str, value: Any) -> float:
    """A finite number that is 0 or more.

    Raises:
        UserError: naming the argument, and what is expected.
    """
    if not is_number(value) or not value >= 0:
        raise UserError(f"{name} must be a number, 0 or more, got {value!r}")
    return float(value)


def is_number(value: Any) -> bool:
    """Whether a value is a finite real number."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
