"""Workbooks of spreadsheet programs: the first sheet as a table."""

import datetime
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from likely.data.delimited import check_header, column_names
from likely.data.inferred_reading import infer_reading
from likely.data.reading import Reading, typed_table
from likely.data.unpacking import MAX_BYTES
from likely.errors import DataError

_SHOWN = 10


def read_workbook(path: Path, name: str, like: Reading) -> tuple[pa.Table, tuple[str, ...]]:
    """The first sheet of an .xlsx file: names in its first row, values below; formulas are what they came to.

    Numbers, text, dates, and true and false stay so. A column that mixes them is read as text files are.

    Args:
        path: the file.
        name: what the user typed.
        like: how columns are read that mix numbers and text.

    Returns:
        The table, and what a reader should know of it.

    Raises:
        DataError: if it is no workbook, has no row, or cells stand beside the named columns; or if openpyxl, which
            reads workbooks, is not installed.
    """
    header, rows, notes = _cells(path, name)
    while header and header[-1] is None and all(len(row) < len(header) or row[len(header) - 1] is None for row in rows):
        header = header[:-1]
    texts = ["" if each is None else str(each) for each in header]
    check_header(texts, name)
    _check_rows(rows, len(header), name)
    columns, mixed = {}, {}
    for i, column in enumerate(column_names(texts)):
        values = [row[i] if i < len(row) else None for row in rows]
        array = _typed(values)
        if array is None:
            mixed[column] = pa.array(["" if value is None else _text(value) for value in values], pa.string())
        columns[column] = array
    if mixed:
        cells = pa.table(mixed)
        reading, more = infer_reading(cells, like)
        typed = typed_table(cells, reading)
        columns |= {each: typed.column(each) for each in mixed}
        notes = (*notes, *more)
    return pa.table(columns), notes


def _cells(path: Path, name: str) -> tuple[list[Any], list[list[Any]], tuple[str, ...]]:
    """The first row that holds something, all below it without the empty ones, and what else there is."""
    try:
        import openpyxl
    except ImportError:
        mend = "pip install 'likely[excel]', or save it as .csv in UTF-8"
        raise DataError(f"{name} is a workbook, and what reads it (openpyxl) is not installed; {mend}") from None
    _check_size(path, name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions, which no table has
            book = openpyxl.load_workbook(path, read_only=True, data_only=True, keep_links=False)
            try:
                sheet, others = book.worksheets[0], [each.title for each in book.worksheets[1:]]
                sheet.reset_dimensions()  # what a file says of them may be wrong
                rows = [row for row in _rows(sheet) if row]
            finally:
                book.close()
    except Exception as error:  # whatever a damaged file does to a reader of zip and XML
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise DataError(f"{name} cannot be read as a workbook ({reason}); save it again as .xlsx") from None
    if not rows:
        raise DataError(f"{name} is empty; expected names of columns in the first row, then rows")
    notes: tuple[str, ...] = ()
    if others:
        shown = ", ".join(repr(each) for each in others[:5]) + (", ..." if len(others) > 5 else "")
        notes = (f"read is the first sheet, {sheet.title!r}; left out are {shown}: save a sheet as a file of its own",)
    return rows[0], rows[1:], notes


def _check_size(path: Path, name: str) -> None:
    try:
        with zipfile.ZipFile(path) as packed:
            size = sum(each.file_size for each in packed.infolist())
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from None
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        other = "an older .xls, or protected by a password"
        raise DataError(f"{name} is no .xlsx workbook (it may be {other}); save it as .xlsx without one") from None
    if size > MAX_BYTES:
        raise DataError(
            f"{name} unpacks to {size / 2**20:,.0f} MiB, expected at most {MAX_BYTES / 2**20:,.0f}; split it"
        )


def _rows(sheet: Any) -> Iterator[list[Any]]:
    """Values without the empty cells at the end; errors such as #N/A are no values."""
    for cells in sheet.iter_rows():
        row = [None if cell.data_type == "e" or cell.value == "" else cell.value for cell in cells]
        while row and row[-1] is None:
            row.pop()
        yield row


def _check_rows(rows: Sequence[Sequence[Any]], n_columns: int, name: str) -> None:
    long = [i for i, row in enumerate(rows) if len(row) > n_columns]
    if long:
        shown = ", ".join(map(str, long[:_SHOWN])) + (f" and {len(long) - _SHOWN:,} more" if len(long) > _SHOWN else "")
        found = f"{name}, row {shown} below the names: found values beside the {n_columns} named columns"
        raise DataError(f"{found}; name these columns in the first row, or clear the cells")


def _typed(values: Sequence[Any]) -> pa.Array | None:
    """Values of one type as such; None where they mix numbers, text or dates."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        whole = all(value is None or float(value).is_integer() for value in values) and kinds
        return pa.array([None if value is None else float(value) for value in values], pa.float64()).cast(
            pa.int64() if whole and all(value is None or abs(value) < 2**53 for value in values) else pa.float64()
        )
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds == {str}:
        return pa.array(values, pa.string())
    if kinds <= {datetime.datetime, datetime.date}:
        return pa.array(values, pa.timestamp("us") if datetime.datetime in kinds else pa.date32())
    for kind, arrow in ((datetime.time, pa.time64("us")), (datetime.timedelta, pa.duration("us"))):
        if kinds == {kind}:
            return pa.array(values, arrow)
    return None


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return repr(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
