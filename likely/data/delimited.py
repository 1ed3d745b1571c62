"""CSV files: text of unknown encoding to a table, with the line named where it goes wrong."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from likely.errors import DataError

ENCODINGS = ("utf-8-sig", "cp949")
_BLOCK_BYTES = 2**24


def read_csv(path: Path, name: str) -> pa.Table:
    """A table from a CSV file with a header line, in UTF-8 (with or without BOM) or CP949.

    The delimiter is the one of comma, semicolon and tab that the header line has most of.

    Raises:
        DataError: if it is empty, of another encoding, or a row has more or fewer values than the header.
    """
    text = _decoded(path, name)
    header_line = text.lstrip("\r\n").split("\n", 1)[0]
    delimiter = max(",;\t", key=header_line.count)
    header = next(csv.reader([header_line], delimiter=delimiter), [])
    _check_header(header, name)
    try:
        return pa.csv.read_csv(
            _arrow_buffer(text),
            read_options=pa.csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values='"' in text),
            convert_options=pa.csv.ConvertOptions(strings_can_be_null=True),
        )
    except pa.ArrowInvalid as error:
        raise _explained(text, delimiter, len(header), name, error) from None


def _arrow_buffer(text: str) -> pa.Buffer:
    """The text in memory of Arrow's own: its last reader may be a thread that outlives the interpreter, and then
    letting go of Python's memory would abort the process (apache/arrow#34314)."""
    sink = pa.BufferOutputStream()
    sink.write(text.encode())
    return sink.getvalue()


def _decoded(path: Path, name: str) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}") from None
    for encoding in ENCODINGS:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise DataError(f"{name}, line {line}: found a NUL byte, expected text; save it as CSV in UTF-8")
        return text
    raise DataError(f"{name} is neither UTF-8 nor CP949; save it as CSV in UTF-8")


def _check_header(header: list[str], name: str) -> None:
    if not header:
        raise DataError(f"{name} is empty; expected a header line with the names of the columns, then rows")
    if all(_is_number(cell) for cell in header) and not _is_count(header):
        first = ", ".join(header[:3])
        raise DataError(f"{name}, line 1: found numbers ({first}), expected names; add a header line on top")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_count(header: list[str]) -> bool:
    """Whether the names just count the columns, as those of a DataFrame that was given none do."""
    return header in ([str(i + start) for i in range(len(header))] for start in (0, 1))


def _explained(text: str, delimiter: str, n_columns: int, name: str, error: pa.ArrowInvalid) -> DataError:
    for line, n_values in _row_lengths(text, delimiter):
        if n_values != n_columns:
            found = f"{name}, line {line}: found {n_values} values, expected {n_columns} as in the header"
            return DataError(f"{found}; mend that line (a value that holds {delimiter!r} needs quotes)")
    return DataError(f"{name} cannot be read as CSV ({str(error).splitlines()[0]}); mend it or save it again")


def _row_lengths(text: str, delimiter: str) -> Iterator[tuple[int, int]]:
    """The number of the line and of its values, row by row, blank lines left out."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        yield from ((reader.line_num, len(row)) for row in reader if row)
    except csv.Error:  # a field without end: no row after it can be told
        return
