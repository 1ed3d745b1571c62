"""Tables to the numbers a model sees, and back."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from likely.data.checks import MEND_MISSING, Place, check_finite, refuse
from likely.data.column import Column, cast
from likely.data.rounding import is_same
from likely.data.unseen import Unseen
from likely.errors import DataError


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_number(kind: pa.DataType) -> bool:
    """Whether a type holds numbers that are no categories."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def as_numbers(column: pa.ChunkedArray) -> np.ndarray:
    """(n,) float64 of a column of numbers or bool, NaN where there is none."""
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    numbers: np.ndarray = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Categories as text: bool as "true" and "false", numbers as they print; null stays."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return column.cast(pa.string())


def encode_table(
    columns: Sequence[Column], table: pa.Table, missing_ok: bool, place: Place, unseen: Unseen | None = None
) -> np.ndarray:
    """What a model sees of a table whose columns are the known ones, in any order.

    Args:
        columns: what was seen at fit.
        table: n rows.
        missing_ok: whether null and NaN mean missing.
        place: names a row in messages.
        unseen: where categories and changed constants are written down; they are refused where None.

    Returns:
        (n, n_values) float64, NaN where missing. A category that is not known is missing where `missing_ok`, else
        none of those that are known.

    Raises:
        DataError: naming columns that are missing or unknown, or row and column of a value that cannot be.
    """
    check_column_names(columns, table.column_names)
    encoded = np.empty((table.num_rows, sum(column.width for column in columns)))
    start = 0
    for column in columns:
        encode = _encode_numbers if column.kind == "numeric" else _encode_categories
        encode(column, table.column(column.name), encoded[:, start : start + column.width], missing_ok, place, unseen)
        start += column.width
    return encoded


def check_column_names(columns: Sequence[Column], names: Sequence[str]) -> None:
    """Refuses a table that lacks columns, or has some that nobody knows."""
    known = [column.name for column in columns]
    absent = [name for name in known if name not in set(names)]
    if absent:
        raise DataError(f"the table lacks {_listed(absent)}, which the model was fitted on; add it")
    extra = [name for name in names if name not in set(known)]
    if extra:
        mend = f"--drop {extra[0]} (drop={extra!r}), or --label {extra[0]} (label={extra[0]!r}) where it holds labels"
        raise DataError(f"the table has {_listed(extra)}, which the model was not fitted on; leave it out with {mend}")
    twice = {name for name in names if list(names).count(name) > 1} if len(set(names)) < len(names) else set()
    if twice:
        raise DataError(f"the table has more than one column of a name: {_listed(sorted(twice))}; rename them")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:5])
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{'column' if len(names) == 1 else 'columns'} {shown}{rest}"


def _encode_numbers(
    column: Column,
    values: pa.ChunkedArray,
    encoded: np.ndarray,
    missing_ok: bool,
    place: Place,
    unseen: Unseen | None,
) -> None:
    if not (is_number(values.type) or pa.types.is_boolean(values.type) or pa.types.is_null(values.type)):
        _refuse_type(column, values, place)
    numbers = as_numbers(values)
    check_finite(numbers[:, None], [f'column "{column.name}"'], missing_ok, place)
    if column.constant is None:
        encoded[:, 0] = column.standardized(numbers)
        return
    check_constant(numbers, float(column.constant), f'column "{column.name}"', place, unseen)


def check_constant(numbers: np.ndarray, constant: float, name: str, place: Place, unseen: Unseen | None) -> None:
    """Refuses, or writes down, numbers other than the one that a column always held, but for rounding; NaN is none."""
    changed = np.flatnonzero(~is_same(numbers, constant) & ~np.isnan(numbers))
    if not len(changed):
        return
    found = float(numbers[changed[0]])
    digits = "g" if f"{found:g}" != f"{constant:g}" else ".17g"
    expected = f"{constant:{digits}}, the only value that was there at fit"
    if unseen is None:
        at = f"{place(int(changed[0]))}, {name}"
        raise DataError(f"{at}: found {found:{digits}}, expected {expected}; correct it, or fit again with it")
    unseen.note(name, changed, numbers[changed].tolist(), expected)


def _refuse_type(column: Column, values: pa.ChunkedArray, place: Place) -> None:
    mend = "turn the column into numbers, or fit again"
    if not is_text(values.type):
        raise DataError(f'column "{column.name}": found values of type {values.type}, expected numbers; {mend}')
    for row, text in enumerate(values.to_pylist()):
        try:
            float(text if text is not None else "nan")
        except ValueError:
            refuse(f'{place(row)}, column "{column.name}"', text, "a number", mend)
    raise DataError(f'column "{column.name}": found numbers written as text, expected numbers; {mend}')


def _encode_categories(
    column: Column,
    values: pa.ChunkedArray,
    encoded: np.ndarray,
    missing_ok: bool,
    place: Place,
    unseen: Unseen | None,
) -> None:
    name = f'column "{column.name}"'
    try:
        text = as_text(values)
    except pa.ArrowException:
        raise DataError(f"{name}: found values of type {values.type}, expected text or categories") from None
    known = column.categories if column.constant is None else (str(column.constant),)
    found = pc.index_in(text, value_set=pa.array(known, pa.string()))
    codes = found.fill_null(-1).to_numpy().astype(np.int64)
    absent = text.is_null().to_numpy()
    if not missing_ok and absent.any():
        refuse(f"{place(int(np.argmax(absent)))}, {name}", "no value", "a category", MEND_MISSING)
    unknown = np.flatnonzero((codes < 0) & ~absent)
    if len(unknown):
        row = int(unknown[0])
        expected = f"one of {', '.join(known[:5])}" + (f" and {len(known) - 5} more" if len(known) > 5 else "")
        if unseen is None:
            mend = "correct it, or fit again with rows that hold it"
            refuse(f"{place(row)}, {name}", text[row].as_py(), expected, mend)
        unseen.note(name, unknown, text.take(pa.array(unknown)).to_pylist(), expected)
    if column.constant is None:
        np.equal(codes[:, None], np.arange(len(known)), out=encoded, casting="unsafe")
        encoded[(codes < 0) if missing_ok else absent] = np.nan


def decode_table(columns: Sequence[Column], values: np.ndarray, draws: bool) -> pa.Table:
    """The table that a model means; the inverse of `encode_table`.

    Args:
        columns: what was seen at fit.
        values: (n, n_values) float64.
        draws: whether to round to what the columns can hold; means stay float64 otherwise.

    Returns:
        n rows of all columns; a category is the one of the largest value.
    """
    decoded = {}
    start = 0
    for column in columns:
        decode = _decode_numbers if column.kind == "numeric" else _decode_categories
        decoded[column.name] = decode(column, values[:, start : start + column.width], draws)
        start += column.width
    return pa.table(decoded)


def _decode_numbers(column: Column, values: np.ndarray, draws: bool) -> pa.Array:
    if column.constant is not None:
        numbers = np.full(len(values), float(column.constant))
        return pa.array(cast(numbers, np.dtype(column.dtype)) if draws else numbers)
    numbers = column.in_units(values[:, 0])
    if not draws:
        return pa.array(numbers)
    if column.far is not None:
        numbers = numbers.clip(column.far.low, column.far.high)
    return pa.array(cast(np.rint(numbers) if column.whole else numbers, np.dtype(column.dtype)))


def _decode_categories(column: Column, values: np.ndarray, draws: bool) -> pa.Array:
    if column.constant is not None:
        text = pa.repeat(pa.scalar(str(column.constant)), len(values))
    else:
        text = pa.array(column.categories, pa.string()).take(pa.array(values.argmax(1)))
    return text if column.dtype == "str" else text.cast(pa.from_numpy_dtype(np.dtype(column.dtype)))


def in_frame(table: pa.Table, frame: str | None) -> object:
    """A table in the DataFrame library that the data came in, where it can be imported; as it is otherwise."""
    try:
        match frame:
            case "pandas":
                return table.to_pandas()
            case "polars":
                import polars

                return polars.from_arrow(table)
    except ImportError:
        pass
    return table
