"""Tables to the numbers a model sees, and back."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from likely.data.column import Column, cast
from likely.data.numeric import Cell, encode_numbers
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


def encode_table(columns: Sequence[Column], table: pa.Table, missing_ok: bool, unseen: Unseen) -> np.ndarray:
    """What a model sees of a table, of whose columns the known ones are read, in any order.

    Args:
        columns: what was seen at fit.
        table: n rows. A column that it lacks has no values; of constant ones nothing is said then.
        missing_ok: whether null and NaN mean missing.
        unseen: where values are written down that were not there at fit.

    Returns:
        (n, n_values) float64, NaN where missing. A category that is not known is missing where `missing_ok`, else
        none of those that are known.

    Raises:
        DataError: naming a column whose values are of a type that cannot be read as the one of fit.
    """
    there = set(table.column_names)
    columns = [column for column in columns if column.width or column.name in there]
    ends = np.cumsum([column.width for column in columns], dtype=np.int64)
    encoded = np.zeros((table.num_rows, int(ends[-1]) if len(ends) else 0))
    absent = pa.nulls(table.num_rows)
    cells = [table.column(each.name) if each.name in there else pa.chunked_array([absent]) for each in columns]
    numeric = [i for i, column in enumerate(columns) if column.kind == "numeric"]
    numbers, texts = _numbers([columns[i] for i in numeric], [cells[i] for i in numeric], table.num_rows)
    own = [columns[i] for i in numeric]
    x = encode_numbers(own, numbers, lambda i: f'column "{own[i].name}"', missing_ok, unseen, texts)
    encoded[:, [ends[i] - 1 for i in numeric if columns[i].width]] = x
    for i, column in enumerate(columns):
        if column.kind == "categorical":
            own_place = encoded[:, ends[i] - column.width : ends[i]]
            _encode_categories(column, cells[i], own_place, missing_ok, unseen)
    return encoded


def lacking_columns(columns: Sequence[Column], names: Sequence[str]) -> list[str]:
    """The columns that a model sees and a table lacks.

    Raises:
        DataError: if the table has more than one column of a name.
    """
    there = set(names)
    if len(there) < len(names):
        twice = [name for name, often in Counter(names).items() if often > 1]
        raise DataError(f"the table has more than one column of a name: {listed(sorted(twice))}; rename them")
    return [column.name for column in columns if column.width and column.name not in there]


def listed(names: Sequence[str]) -> str:
    """Columns by name, the first of them: "columns "a", "b" and 3 more"."""
    shown = ", ".join(f'"{name}"' for name in names[:5])
    rest = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{'column' if len(names) == 1 else 'columns'} {shown}{rest}"


def _numbers(
    columns: Sequence[Column], cells: Sequence[pa.ChunkedArray], n_rows: int
) -> tuple[np.ndarray, dict[Cell, object]]:
    """Numbers (n_rows, len(columns)), NaN where there is none, and infinite where there is what the second names."""
    numbers, texts = np.empty((n_rows, len(columns))), dict[Cell, object]()
    for i, (column, values) in enumerate(zip(columns, cells, strict=True)):
        if is_number(values.type) or pa.types.is_boolean(values.type) or pa.types.is_null(values.type):
            numbers[:, i] = as_numbers(values)
            continue
        for row, value in enumerate(_texts(column, values)):
            numbers[row, i] = number_of(value)
            if np.isinf(numbers[row, i]):
                texts[row, i] = value
    return numbers, texts


def _texts(column: Column, values: pa.ChunkedArray) -> list[str | None]:
    try:
        texts: list[str | None] = as_text(values).to_pylist()
    except pa.ArrowException:
        mend = "turn the column into numbers, or fit again"
        raise DataError(
            f'column "{column.name}": found values of type {values.type}, expected numbers; {mend}'
        ) from None
    return texts


def number_of(text: str | None) -> float:
    """The number that a text is; NaN where it is empty, and infinity where it is no number."""
    if text is None or not text.strip():
        return np.nan
    try:
        return float(text)
    except ValueError:
        return np.inf


def _encode_categories(
    column: Column, values: pa.ChunkedArray, encoded: np.ndarray, missing_ok: bool, unseen: Unseen
) -> None:
    name = f'column "{column.name}"'
    try:
        text = as_text(_like_fit(column, values))
    except pa.ArrowException:
        raise DataError(f"{name}: found values of type {values.type}, expected text or categories") from None
    known = column.categories if column.constant is None else (str(column.constant),)
    found = pc.index_in(text, value_set=pa.array(known, pa.string()))
    codes = found.fill_null(-1).to_numpy().astype(np.int64)
    absent = text.is_null().to_numpy()
    unknown = np.flatnonzero((codes < 0) & ~absent)
    if len(unknown):
        more = f" and {len(known) - 5} more" if len(known) > 5 else ""
        only = ", the only value that was there at fit" if column.constant is not None else ""
        expected = f"one of {', '.join(known[:5])}{more}" if len(known) > 1 else f"{known[0]}{only}"
        cells = text.take(pa.array(unknown)).to_pylist()
        unseen.note(unknown, cells, expected, name, novel=not column.new_is_usual)
    if not missing_ok and not (column.constant is not None and column.missing):
        lost = np.flatnonzero(absent)
        unseen.note(lost, [None] * len(lost), "a category", name, missing=column.constant is None)
    if column.constant is None:
        np.equal(codes[:, None], np.arange(len(known)), out=encoded, casting="unsafe")
        if missing_ok:
            encoded[codes < 0] = np.nan


def _like_fit(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values that say the same as the categories of fit in another type: 1 and "True" for true, 2.0 for 2."""
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if column.dtype == "str" and not is_text(kind):
        return _by_meaning(column, as_text(values))
    if column.dtype == "str" or not (is_text(kind) or pa.types.is_floating(kind) or pa.types.is_integer(kind)):
        return values
    text = as_text(values)
    if column.dtype == "bool":
        same = {"true": "true", "false": "false", "1": "true", "0": "false", "1.0": "true", "0.0": "false"}
        return pa.chunked_array([[same.get(str(each).strip().lower(), each) for each in text.to_pylist()]], pa.string())
    if pa.types.is_floating(kind) and np.dtype(column.dtype).kind in "iu":
        return pc.replace_substring_regex(text, r"\.0$", "")
    return values


def _by_meaning(column: Column, text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Numbers, true and false as the categories of text that say the same: 1 for "1.0", true for "True"."""
    known = column.categories if column.constant is None else (str(column.constant),)
    same = {each: each for each in known}
    for each in known:
        same.setdefault(each.lower() if each.lower() in ("true", "false") else f"{number_of(each):g}", each)
    return pa.chunked_array([[same.get(str(each), each) for each in text.to_pylist()]], pa.string())


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
    return pa.array(cast(column.possible(numbers), np.dtype(column.dtype)))


def _decode_categories(column: Column, values: np.ndarray, draws: bool) -> pa.Array:
    if column.constant is not None:
        text = pa.repeat(pa.scalar(str(column.constant)), len(values))
    else:
        unknown = np.isnan(values).any(1)  # where the model said nothing
        text = pa.array(column.categories, pa.string()).take(pa.array(values.argmax(1), mask=unknown))
    return text if column.dtype == "str" else text.cast(pa.from_numpy_dtype(np.dtype(column.dtype)))


def in_frame(table: pa.Table, frame: str | None, like: Any = None) -> object:
    """A table in the DataFrame library that the data came in, where it can be imported; as it is otherwise.

    Args:
        table: n rows.
        frame: the name of the library that the rows of fit came in.
        like: a DataFrame of n rows whose library, and index, it takes instead.
    """
    if like is not None:
        frame = type(like).__module__.partition(".")[0]
    try:
        match frame:
            case "pandas" if like is not None:
                return table.to_pandas().set_axis(like.index)
            case "pandas":
                return table.to_pandas()
            case "polars":
                import polars

                return polars.from_arrow(table)
    except ImportError:
        pass
    return table
