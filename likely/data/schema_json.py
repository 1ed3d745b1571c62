"""Reads a schema from JSON and trusts nothing: types, limits, and whether its fields agree."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from likely.data.aside import Aside
from likely.data.column import MAX_CATEGORIES, MAX_CATEGORY_LETTERS, MAX_COLUMNS, Column, Far
from likely.data.marks import UNITS, Marks
from likely.data.reading import Cells, Reading
from likely.errors import ModelFileError

MAX_CLASSES = 10_000
MAX_ROW_VALUES = 2**28
_MAX_LETTERS = 10_000

KINDS = ("array", "image", "table")
DOMAINS = ("binary", "unit", "levels", "real")
NUMBERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")

Reader = Callable[[str, Any], Any]


def schema_fields(data: Any) -> dict[str, Any]:
    """The arguments of `Schema`, each of its type and within its limits.

    Raises:
        ModelFileError: naming the field.
    """
    fields = _fields(_SCHEMA_LATER | data if type(data) is dict else data, _SCHEMA, "schema")
    _check_agreement(fields)
    return fields


def _fail(name: str, found: Any, expected: str) -> ModelFileError:
    shown = repr(found)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return ModelFileError(f"{name}: found {shown}, expected {expected}; the file is damaged, fit and save again")


def _fields(data: Any, readers: Mapping[str, Reader], name: str) -> dict[str, Any]:
    if type(data) is not dict:
        raise _fail(name, data, "an object")
    for field in readers:
        if field not in data:
            raise ModelFileError(f"{name} lacks the field {field}; the file is damaged, fit and save again")
    for field in data:
        if field not in readers:
            raise _fail(name, str(field), "known fields only")
    return {field: read(f"{name}, field {field}", data[field]) for field, read in readers.items()}


def _text(limit: int) -> Reader:
    def read(name: str, value: Any) -> str:
        if type(value) is not str or len(value) > limit:
            raise _fail(name, value, f"text of at most {limit} letters")
        return value

    return read


def _one_of(*known: str | int | None) -> Reader:
    def read(name: str, value: Any) -> Any:
        if isinstance(value, bool | float) or not isinstance(value, str | int | None) or value not in known:
            raise _fail(name, value, f"one of {', '.join(map(str, known))}")
        return value

    return read


def _integer(low: int, high: int) -> Reader:
    def read(name: str, value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _fail(name, value, f"a whole number from {low} to {high}")
        return value

    return read


def _number(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) < 2**1023 or not math.isfinite(value):
        raise _fail(name, value, "a finite number")
    return float(value)


def _positive(name: str, value: Any) -> float:
    number = _number(name, value)
    if number <= 0:
        raise _fail(name, value, "a number above 0")
    return number


def _share(name: str, value: Any) -> float:
    if not 0 <= _number(name, value) <= 1:
        raise _fail(name, value, "a share from 0 to 1")
    return float(value)


def _not_negative(name: str, value: Any) -> float:
    number = _number(name, value)
    if number < 0:
        raise _fail(name, value, "0 or a number above")
    return number


def _flag(name: str, value: Any) -> bool:
    if type(value) is not bool:
        raise _fail(name, value, "true or false")
    return value


def _constant(name: str, value: Any) -> float | str | None:
    if value is None:
        return None
    return _text(MAX_CATEGORY_LETTERS)(name, value) if type(value) is str else _number(name, value)


def _list(limit: int, item: Reader) -> Reader:
    def read(name: str, value: Any) -> tuple[Any, ...]:
        if type(value) is not list or len(value) > limit:
            raise _fail(name, value, f"a list of at most {limit}")
        return tuple(item(f"{name}[{i}]", each) for i, each in enumerate(value))

    return read


def _far(name: str, value: Any) -> Far | None:
    return None if value is None else Far(**_fields(value, _FAR, name))


def _column(name: str, value: Any) -> Column:
    column = Column(**_fields(_LATER | value if type(value) is dict else value, _COLUMN, name))
    categorical = column.kind == "categorical"
    if categorical != isinstance(column.constant, str) and column.constant is not None:
        raise _fail(f"{name}, field constant", column.constant, "text if categorical, a number if numeric")
    if categorical != bool(column.categories) and not (categorical and column.constant is not None):
        raise _fail(f"{name}, field categories", column.categories, "categories if categorical, none if numeric")
    if len(set(column.categories)) < len(column.categories):
        raise _fail(f"{name}, field categories", column.categories, "no category twice")
    if column.low is not None and column.high is not None and column.low > column.high:
        raise _fail(f"{name}, fields low and high", (column.low, column.high), "low at most high")
    if column.dtype == "str" and not categorical:
        raise _fail(f"{name}, field dtype", column.dtype, "a type of numbers")
    return column


_FAR: dict[str, Reader] = {
    "count": _integer(1, 2**53),
    "value": _number,
    "times": _integer(1, 2**53),
    "low": _number,
    "high": _number,
    "bend": _positive,
}

_COLUMN: dict[str, Reader] = {
    "name": _text(_MAX_LETTERS),
    "kind": _one_of("numeric", "categorical"),
    "location": _number,
    "scale": _positive,
    "categories": _list(MAX_CATEGORIES, _text(MAX_CATEGORY_LETTERS)),
    "constant": _constant,
    "missing": _integer(0, 2**53),
    "whole": _flag,
    "dtype": _one_of("str", *NUMBERS),
    "far": _far,
    "new_share": _share,
    "empty": _flag,
    "low": lambda name, value: None if value is None else _number(name, value),
    "high": lambda name, value: None if value is None else _number(name, value),
    "step": _not_negative,
}

_ASIDE: dict[str, Reader] = {
    "name": _text(_MAX_LETTERS),
    "kind": _one_of("identifier", "date", "text", "empty", "nested"),
    "why": _text(_MAX_LETTERS),
}

_MARKS: dict[str, Reader] = {
    "decimal": _one_of(".", ","),
    "thousands": _one_of("", ",", ".", " ", "'"),
    "unit": _one_of("", *UNITS),
}

_CELLS: dict[str, Reader] = {
    "name": _text(_MAX_LETTERS),
    "kind": _one_of("whole", "real", "truth", "text"),
    "marks": lambda name, value: Marks(**_fields(value, _MARKS, name)),
    "odd": _list(100, _text(MAX_CATEGORY_LETTERS)),
}

_READING: dict[str, Reader] = {
    "columns": _list(MAX_COLUMNS, lambda name, value: Cells(**_fields(value, _CELLS, name))),
    "missing": _list(100, _text(MAX_CATEGORY_LETTERS)),
    "delimiter": _text(1),
    "encoding": _text(40),
}

_LATER = {"far": None, "new_share": 0.0, "empty": False, "low": None, "high": None, "step": 0.0}
"""Fields that files written before them lack, and what they mean by it."""

_SCHEMA: dict[str, Reader] = {
    "kind": _one_of(*KINDS),
    "row_shape": _list(8, _integer(1, MAX_ROW_VALUES)),
    "dtype": _one_of(*NUMBERS),
    "domain": _one_of(*DOMAINS),
    "low": _number,
    "high": _number,
    "levels": _integer(0, 65_536),
    "channel_axis": _one_of(None, -1, 0),
    "columns": _list(MAX_COLUMNS, _column),
    "location": _list(MAX_COLUMNS, _number),
    "scale": _list(MAX_COLUMNS, _positive),
    "frame": lambda name, value: None if value is None else _text(100)(name, value),
    "classes": _list(MAX_CLASSES, _text(_MAX_LETTERS)),
    "binarize": _flag,
    "missing": _integer(0, 2**53),
    "reading": lambda name, value: None if value is None else Reading(**_fields(value, _READING, name)),
    "aside": _list(MAX_COLUMNS, lambda name, value: Aside(**_fields(value, _ASIDE, name))),
}

_SCHEMA_LATER: dict[str, Any] = {"reading": None, "aside": []}


def _check_agreement(fields: dict[str, Any]) -> None:
    shape, columns = fields["row_shape"], fields["columns"]
    if not shape or math.prod(shape) > MAX_ROW_VALUES:
        raise _fail("schema, field row_shape", shape, f"1 to {MAX_ROW_VALUES} values")
    if not fields["low"] < fields["high"] or not math.isfinite(fields["high"] - fields["low"]):
        raise _fail("schema, fields low and high", (fields["low"], fields["high"]), "low below high")
    if fields["levels"] != _levels(fields):
        raise _fail("schema, field levels", fields["levels"], f"{_levels(fields)}, as the domain and its ends say")
    if bool(columns) != (fields["domain"] == "real" and (fields["kind"] == "table" or len(shape) == 1)):
        raise _fail("schema, field columns", f"{len(columns)} columns", "columns for tables and real features only")
    if columns:
        _check_columns(columns, shape)
    else:
        _check_channels(fields, shape)
    if fields["binarize"] and fields["domain"] != "binary":
        raise _fail("schema, field binarize", True, "false unless the domain is binary")


def _levels(fields: dict[str, Any]) -> int:
    if fields["domain"] == "levels":
        return int(min(fields["high"] - fields["low"], 65_536)) + 1
    return 2 if fields["domain"] == "binary" else 0


def _check_columns(columns: tuple[Column, ...], shape: tuple[int, ...]) -> None:
    if shape != (len(columns),):
        raise _fail("schema, field columns", f"{len(columns)} columns", f"as many as row_shape says: {shape}")
    names = [column.name for column in columns]
    if len(set(names)) < len(names):
        raise _fail("schema, field columns", names, "no name twice")
    if not 0 < sum(column.width for column in columns) <= MAX_ROW_VALUES:
        raise _fail("schema, field columns", f"{len(columns)} columns", "at least one that is not constant")


def _check_channels(fields: dict[str, Any], shape: tuple[int, ...]) -> None:
    axis, is_image = fields["channel_axis"], fields["kind"] == "image"
    if (is_image and len(shape) != (2 if axis is None else 3)) or (axis is not None and not is_image):
        raise _fail("schema, field channel_axis", axis, f"one that fits row_shape {shape}")
    n_channels = 1 if axis is None else shape[axis]
    expected = (n_channels, n_channels) if fields["domain"] == "real" else (0, 0)
    if (len(fields["location"]), len(fields["scale"])) != expected:
        raise _fail("schema, fields location and scale", len(fields["location"]), f"{n_channels} each if real, or none")
    if np.dtype(fields["dtype"]).kind == "b" and fields["domain"] != "binary":
        raise _fail("schema, field dtype", fields["dtype"], "numbers, as the domain is not binary")
