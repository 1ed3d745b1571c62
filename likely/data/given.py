"""A table as it was handed in: what comes back to its owner with some cells changed, and all else as it was.

Text files, Parquet files and DataFrames come back as they came: every column in its place, every cell that is there in
its own type and text, and with the index of pandas.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from likely.data.reading import Cells, Reading, as_written


@dataclass(frozen=True)
class Change:
    """New values of some cells of a column."""

    name: str
    rows: np.ndarray
    """(k,) the numbers of the rows."""
    values: pa.Array
    """(k,) of them."""
    in_own_type: bool = True
    """Whether they take the type of the column; the column takes theirs where False, and they are numbers."""


@dataclass(frozen=True)
class Given:
    """A table of n rows as its owner has it."""

    table: pa.Table
    """Every column, in order, as values; of text files as they were read, else exactly as they were."""
    frame: Any = None
    """The DataFrame; None where the table came from a file."""
    cells: pa.Table | None = None
    """Of text files: every column, each cell as the text that stands there."""
    header: tuple[str, ...] = ()
    """Of text files: the names as they are written."""
    reading: Reading | None = None
    """Of text files: how they were read."""

    def take(self, ids: np.ndarray) -> "Given":
        """The rows with these ids, in this order."""
        cells = None if self.cells is None else self.cells.take(pa.array(ids))
        frame = None if self.frame is None else _frame_rows(self.frame, ids)
        return dataclasses.replace(self, table=self.table.take(pa.array(ids)), cells=cells, frame=frame)

    def with_changes(self, changes: Sequence[Change]) -> Any:
        """The table with other values in some of its cells; columns that it lacks come last.

        Returns:
            A DataFrame of the library that it came in, with its index and types; a pyarrow.Table of files.
        """
        table = self.table
        for change in changes:
            if change.name not in table.column_names:
                table = table.append_column(change.name, _whole(change, table.num_rows))
            elif len(change.rows):
                i = table.column_names.index(change.name)
                column = _changed(table.column(i), change)
                table = table.set_column(i, table.field(i).with_type(column.type), column)
        return table if self.frame is None else _in_frame_of(self.frame, table, changes)

    def column(self, name: str) -> pa.ChunkedArray:
        """The cells of a column, text where the file is text."""
        return (self.table if self.cells is None else self.cells).column(name)

    def as_text(self, table: pa.Table) -> pa.Table:
        """Such a table as the text file would hold it, under the names that stand there.

        Args:
            table: n rows, of `with_changes`. A cell that has not changed stands as it stood.
        """
        assert self.cells is not None
        known = {} if self.reading is None else self.reading.by_name
        columns = []
        for name, cells in zip(self.cells.column_names, self.cells.columns, strict=True):
            if name in table.column_names:
                cells = _rewritten(cells, self.table.column(name), table.column(name), known.get(name))
            columns.append(cells)
        new = [name for name in table.column_names if name not in self.cells.column_names]
        columns += [pa.chunked_array([pa.array(_texts(table.column(name), None), pa.string())]) for name in new]
        return pa.table(columns, names=[*(self.header or self.cells.column_names), *new])


def _changed(column: pa.ChunkedArray, change: Change) -> pa.ChunkedArray:
    """A column with other values in some cells."""
    values = change.values
    if not change.in_own_type and not pa.types.is_floating(column.type):
        column = _as_loose(column, values.type)
    if pa.types.is_dictionary(column.type):
        return _changed_categories(column, change)
    if pa.types.is_null(column.type):
        column = column.cast(values.type)
    where = np.zeros(len(column), bool)
    where[change.rows] = True
    return pc.replace_with_mask(column, pa.array(where), as_type(values, column.type))


def _as_loose(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """A column in a type that holds means: floats of whole numbers, text of text."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_floating(kind):
        column = column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column
        loose = column.cast(pa.float64(), safe=False) if _is_numeric(column.type) else pa.nulls(len(column), kind)
        return loose if isinstance(loose, pa.ChunkedArray) else pa.chunked_array([loose])
    return column


def _is_numeric(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _changed_categories(column: pa.ChunkedArray, change: Change) -> pa.ChunkedArray:
    """The same of a dictionary, whose words stay in their order; new ones come behind them."""
    kind = column.type
    plain = _changed(column.cast(kind.value_type), dataclasses.replace(change, in_own_type=True))
    words = column.combine_chunks()
    words = (words.chunk(0) if isinstance(words, pa.ChunkedArray) else words).dictionary if len(column) else None
    known = [] if words is None else words.to_pylist()
    known += [each for each in plain.unique().to_pylist() if each is not None and each not in set(known)]
    dictionary = pa.array(known, kind.value_type)
    codes = pc.index_in(plain.combine_chunks(), value_set=dictionary)
    codes = codes.cast(kind.index_type) if len(known) <= np.iinfo(kind.index_type.to_pandas_dtype()).max else codes
    return pa.chunked_array([pa.DictionaryArray.from_arrays(codes, dictionary, ordered=kind.ordered)])


def as_type(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Values in the type of the column that they go to: whole numbers rounded and inside its limits, text as text."""
    if pa.types.is_integer(kind) and _is_numeric(values.type):
        numbers = np.rint(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
        limits = np.iinfo(kind.to_pandas_dtype())
        return pa.array([int(min(max(int(each), limits.min), limits.max)) for each in numbers], kind)
    if pa.types.is_boolean(kind) and _is_numeric(values.type):
        return pc.greater_equal(values, 0.5)
    if pa.types.is_decimal(kind):
        limited = [f"{each:.{kind.scale}f}" for each in values.cast(pa.float64(), safe=False).to_pylist()]
        return pa.array(limited).cast(kind)
    if _is_string(kind) and not _is_string(values.type):
        return pa.array(_texts(values, None), kind)
    return values.cast(kind, safe=False)


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _whole(change: Change, n_rows: int) -> pa.ChunkedArray:
    """A column that was not there."""
    return _changed(pa.chunked_array([pa.nulls(n_rows, change.values.type)]), change)


# Text.


def _rewritten(
    cells: pa.ChunkedArray, before: pa.ChunkedArray, after: pa.ChunkedArray, known: Cells | None
) -> pa.ChunkedArray:
    """The text of a column whose values were `before` and are `after`."""
    same = _same(before, after)
    if same.all():
        return cells
    rows = np.flatnonzero(~same)
    texts = _texts(after.take(pa.array(rows)), known, _decimals(cells))
    return pc.replace_with_mask(cells, pa.array(~same), pa.array(texts, pa.string()))


def _same(before: pa.ChunkedArray, after: pa.ChunkedArray) -> np.ndarray:
    """Which values are the same, missing ones too: (n,) bool."""
    if before.type != after.type and not (_is_numeric(before.type) and _is_numeric(after.type)):
        before = before.cast(pa.string())
        after = after.cast(pa.string())
    equal = pc.fill_null(pc.equal(before, after), False)
    both: np.ndarray = pc.or_(equal, pc.and_(pc.is_null(before), pc.is_null(after))).to_numpy()
    return both


def _decimals(cells: pa.ChunkedArray) -> int | None:
    """How many decimals all numbers of a column are written with, where it is one number of them; None else."""
    found = pc.extract_regex(pc.utf8_trim_whitespace(cells), r"^[^.,eE]*[.,](?P<decimals>[0-9]+)%?$")
    written = pc.not_equal(pc.utf8_trim_whitespace(cells), "")
    lengths = pc.utf8_length(pc.struct_field(found, "decimals"))
    if not pc.all(pc.equal(pc.is_valid(found), written)).as_py():
        return None
    ends = pc.min_max(lengths).as_py()
    return ends["min"] if ends["min"] == ends["max"] else None


def _texts(values: pa.ChunkedArray | pa.Array, known: Cells | None, decimals: int | None = None) -> list[str]:
    """Values as cells of text."""
    if not _is_numeric(values.type):
        return ["" if each is None else str(each) for each in values.to_pylist()]
    if pa.types.is_integer(values.type):
        return ["" if each is None else str(each) for each in values.to_pylist()]
    numbers = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    texts = as_written(numbers, known or Cells("", "real"))
    if decimals is None:
        return ["" if np.isnan(number) else text for number, text in zip(numbers, texts, strict=True)]
    mark = "." if known is None else known.marks.decimal
    return [_padded(text, mark, decimals) for text in texts]


def _padded(text: str, mark: str, decimals: int) -> str:
    """ "1.5" as "1.50" where all numbers of the column have two decimals."""
    number, unit = (text[:-1], "%") if text.endswith("%") else (text, "")
    whole, _, rest = number.partition(mark)
    if "e" in number or not decimals or len(rest) > decimals:
        return text
    return f"{whole}{mark}{rest.ljust(decimals, '0')}{unit}"


# DataFrames.


def _in_frame_of(frame: Any, table: pa.Table, changes: Sequence[Change]) -> Any:
    """A DataFrame like that of the owner, with the columns of a table that were changed."""
    names = list(dict.fromkeys(change.name for change in changes))
    kind = type(frame).__module__.partition(".")[0]
    if kind == "pyarrow":
        return table
    if kind == "pandas":
        return _in_pandas(frame, table, changes)
    if kind == "polars":
        return _in_polars(frame, table, names)
    import narwhals as nw

    own = nw.from_native(frame, eager_only=True)
    new = [nw.new_series(name, table.column(name).to_pylist(), backend=own.implementation) for name in names]
    return own.with_columns(*new).to_native()


def _in_pandas(frame: Any, table: pa.Table, changes: Sequence[Change]) -> Any:
    """Columns that nothing was changed in are the very columns of the owner, as is the index."""
    import pandas

    result = frame.copy()
    for change in changes:
        i = table.column_names.index(change.name)
        values = table.column(i)
        if i >= frame.shape[1]:
            result[change.name] = values.to_pandas().to_numpy()
        elif len(change.rows):
            old = frame.iloc[:, i]
            if change.in_own_type:
                new = old.copy()
                own = values.take(pa.array(change.rows)).to_pylist()
                if isinstance(old.dtype, pandas.CategoricalDtype):
                    unknown = [each for each in dict.fromkeys(own) if each not in set(old.cat.categories)]
                    new = new.cat.add_categories(unknown) if unknown else new
                new = _set(new, change.rows, own)
            else:
                new = pandas.Series(values.to_pandas().to_numpy(), index=frame.index, name=old.name)
            result.isetitem(i, new)
    return result


def _set(series: Any, rows: np.ndarray, values: list[Any]) -> Any:
    """A column with other values, in its own type where that can hold them."""
    try:
        series.iloc[rows] = values
    except (TypeError, ValueError):
        series = series.astype(object)
        series.iloc[rows] = values
    return series


def _in_polars(frame: Any, table: pa.Table, names: Sequence[str]) -> Any:
    import polars

    new = []
    for name in names:
        series = polars.Series(name, polars.from_arrow(table.column(name)))
        own = frame.schema.get(name)
        if own is not None and own != series.dtype and not series.dtype.is_numeric():
            try:
                series = series.cast(own)
            except polars.exceptions.PolarsError:
                series = series.cast(polars.String)
        new.append(series)
    return frame.with_columns(new)


def _frame_rows(frame: Any, ids: np.ndarray) -> Any:
    import narwhals as nw

    return nw.from_native(frame, eager_only=True)[ids].to_native()
