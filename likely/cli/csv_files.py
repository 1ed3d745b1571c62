"""CSV files, written some rows at a time, so that whoever reads them finds the same cells in the same rows."""

import codecs
import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np

Columns = Mapping[str, Sequence[Any] | np.ndarray | Any]
"""By name: sequences of one length, or columns of Arrow."""

BLOCK_ROWS = 16_384
"""So many rows are text at a time."""

_STARTS_FORMULA = tuple("=+-@\t\r\n＝＋－＠")
_PLAIN_NUMBER = re.compile(r"[+-]?[\d.,'\s]++(?:[eE][+-]?\d+)?%?")


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written."""

    delimiter: str = ","
    encoding: str = "utf-8-sig"
    """As Python calls it; the mark in front tells Excel that it is UTF-8."""
    harmless: bool = True
    """Whether text that a spreadsheet would run as a formula gets an apostrophe in front. Not in a person's own table,
    which comes back as it was."""


def write_csv(
    file: BinaryIO, columns: Columns, dialect: Dialect = Dialect(), names: Sequence[str] | None = None
) -> None:
    """Writes named columns.

    Args:
        file: open for writing.
        columns: of one length.
        dialect: how; text that the encoding cannot hold makes all of it UTF-8.
        names: the header, where it is another than the names.
    """
    try:
        _write(file, columns, dialect, names or list(columns))
    except UnicodeEncodeError:
        file.seek(0)
        file.truncate()
        _write(file, columns, replace(dialect, encoding="utf-8-sig"), names or list(columns), "backslashreplace")


def _write(file: BinaryIO, columns: Columns, dialect: Dialect, names: Sequence[str], errors: str = "strict") -> None:
    lines, encoder = _Lines(), codecs.getincrementalencoder(dialect.encoding)(errors)
    writer = csv.writer(lines, delimiter=dialect.delimiter, lineterminator="\r\n")
    writer.writerow([_cell(name, dialect.harmless) for name in names])
    for block in blocks(columns):
        cells = ([_cell(each, dialect.harmless) for each in values] for values in block)
        writer.writerows(zip(*cells, strict=True))
        file.write(encoder.encode(lines.taken()))
    file.write(encoder.encode(lines.taken(), final=True))


class _Lines:
    """Takes what csv writes, a row at a time.

    The writer quotes whatever its line end holds, so that is CR LF: of a bare CR in a cell many readers end a row.
    """

    def __init__(self) -> None:
        self.rows: list[str] = []

    def write(self, row: str) -> None:
        self.rows.append(row[:-2])

    def taken(self) -> str:
        """The rows since the last time, each with the line feed that ends it."""
        text = "".join(f"{row}\n" for row in self.rows)
        self.rows.clear()
        return text


def blocks(columns: Columns, size: int = BLOCK_ROWS) -> Iterator[list[list[Any]]]:
    """Some rows at a time: a list of plain values for each column."""
    n_rows = len(next(iter(columns.values()), ()))
    for start in range(0, n_rows, size):
        yield [_plain(values, start, size) for values in columns.values()]


def _plain(values: Any, start: int, size: int) -> list[Any]:
    if isinstance(values, np.ndarray):
        return list(values[start : start + size].tolist())
    if hasattr(values, "to_pylist"):
        return list(values.slice(start, size).to_pylist())
    return list(values[start : start + size])


def _cell(value: Any, harmless: bool) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace("\0", "\N{REPLACEMENT CHARACTER}") if "\0" in value else value
    return f"'{text}" if harmless and is_formula(text) else text


def is_formula(text: str) -> bool:
    """Whether a spreadsheet may run a cell of this text: it begins with = + - @ or a control code, and is no number."""
    return len(text) > 1 and text.startswith(_STARTS_FORMULA) and not _PLAIN_NUMBER.fullmatch(text)
