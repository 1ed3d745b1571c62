"""Rows of named columns: a DataFrame of any library, a CSV or a Parquet file, held as one pyarrow.Table."""

import dataclasses
import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from likely.data import endings, on_disk
from likely.data.arrays import checked_labels
from likely.data.columnar import read_arrow, read_parquet
from likely.data.delimited import Delimited, duplicates_text, open_delimited
from likely.data.disk_table import DiskTable, converted
from likely.data.encoding_guess import NAMES
from likely.data.frames import read_frame
from likely.data.given import Given
from likely.data.inferred_reading import infer_reading
from likely.data.json_lines import read_json_lines
from likely.data.reading import Reading, blanked, retyped, typed_table
from likely.data.source import Source, as_slice
from likely.data.spreadsheets import read_workbook
from likely.data.tabular import as_text
from likely.errors import DataError


class TableSource(Source):
    """Rows of a table, in memory or on the disk."""

    kind: ClassVar[str] = "table"

    def __init__(
        self,
        table: pa.Table | DiskTable,
        *,
        name: str = "table",
        label: str | None = None,
        drop: Sequence[str] = (),
        frame: str | None = None,
        original: pa.Table | DiskTable | None = None,
        reading: Reading | None = None,
        notes: Sequence[str] = (),
        header: Sequence[str] | None = None,
        labels_may_lack: bool = False,
        native: Any = None,
    ) -> None:
        """Sets labels and dropped columns aside.

        Args:
            table: unique column names; an index that pandas left behind is dropped.
            name: what the user typed.
            label: the column that holds labels.
            drop: columns to leave out.
            frame: the DataFrame library that the table came from.
            original: the same columns with every cell as it was read; `table` where None.
            reading: how the cells of a text file were read.
            notes: what a reader should know of how it was read.
            header: the names of the columns of `original` as they are written in a text file, blanks and all.
            labels_may_lack: whether rows may be without a label, which is then empty text.
            native: the DataFrame, as its owner has it.

        Raises:
            DataError: if column names are not unique, `label` or `drop` names no column, or no column is left.
        """
        self.name, self.frame, self.reading, self.notes = name, frame, reading, tuple(notes)
        self.original = table if original is None else original
        self.header = tuple(self.original.column_names if header is None else header)
        self.native, self._values = native, table
        self._typed = table = _without_index(table)
        _check_names(table.column_names, [*drop, *([] if label is None else [label])], name)
        if label is not None:
            self.labels = _labels(table.column(label), label, name, labels_may_lack)
        unwanted = {label, *drop}
        table = table.select([each for each in table.column_names if each not in unwanted])
        if not table.num_columns:
            raise DataError(f"{name}: no column is left to learn from; expected at least one besides label and drop")
        self.mapped = isinstance(table, DiskTable)
        self.table = table if isinstance(table, DiskTable) else table.combine_chunks()
        self.row_bytes = 16 * self.table.num_columns

    def setting_aside(self, label: str | None, drop: Sequence[str], *, labels_may_lack: bool = False) -> "TableSource":
        """The same rows with another label, and other columns left out."""
        return TableSource(
            self._values,
            name=self.name,
            label=label,
            drop=drop,
            frame=self.frame,
            original=self.original,
            reading=self.reading,
            notes=self.notes,
            header=self.header,
            labels_may_lack=labels_may_lack,
            native=self.native,
        )

    @property
    def given(self) -> Given:
        """As `Source.given`."""
        original, values = (
            each.whole if isinstance(each, DiskTable) else each for each in (self.original, self._values)
        )
        if self.reading is None:
            return Given(original, self.native)
        return Given(values, None, original, self.header, self.reading)

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def read(self, ids: np.ndarray) -> pa.Table:
        """As `Source.read`; consecutive ids give a view."""
        ids = np.asarray(ids)
        span = as_slice(ids)
        if span is not None and span.stop <= len(self):
            return self.table.slice(span.start, span.stop - span.start)
        return self.table.take(ids if isinstance(self.table, DiskTable) else pa.array(ids))

    def column(self, name: str, ids: np.ndarray) -> pa.ChunkedArray:
        """As `Source.column`; no other column is looked at."""
        return self.table.column(name).take(pa.array(ids))

    def place(self, id: int) -> str:
        """As `Source.place`: "row 12", counted from 0 and without the header."""
        return f"row {id}"

    def digest(self) -> str:
        """As `Source.digest`: of names, types and every value."""
        content = hashlib.blake2b(digest_size=16)
        schema = self.table.schema.remove_metadata()
        content.update("\0".join(f"{field.name}\0{field.type}" for field in schema).encode())
        with pa.ipc.new_stream(pa.PythonFile(_Hashed(content), "w"), schema) as writer:
            for block in self.table.blocks() if isinstance(self.table, DiskTable) else [self.table]:
                writer.write_table(block.replace_schema_metadata(None))
        return self._finish_digest(content)


class _Hashed(io.RawIOBase):
    """A file that goes into a hash, and nowhere else."""

    def __init__(self, content: "hashlib.blake2b") -> None:
        self.content = content

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.content.update(data)
        return len(data)


def file_source(
    path: Path,
    name: str,
    label: str | None = None,
    drop: Sequence[str] = (),
    missing: Sequence[str] = (),
    like: Reading | None = None,
) -> TableSource:
    """Rows of a file whose name `likely.data.endings` knows.

    Args:
        path: the file.
        name: what the user typed.
        label: as in `TableSource`.
        drop: as in `TableSource`.
        missing: words that mean missing.
        like: how text is to be read, where that is known.
    """
    like = _with_missing(like, missing)
    notes: tuple[str, ...] = ()
    ending = path.name.lower()
    if ending.removesuffix(".gz").endswith(endings.JSON_LINES):
        table = read_json_lines(path, name)
    elif ending.endswith(endings.WORKBOOKS):
        table, notes = read_workbook(path, name, like)
    elif ending.endswith(endings.ARROW):
        table = read_arrow(path, name)
    elif ending.endswith(endings.PARQUET):
        table = read_parquet(path, name)
    else:
        return delimited_source(open_delimited(path, name, like.encoding), like).setting_aside(label, drop)
    return _typed_source(table, like, name, label, drop, notes=notes)


def delimited_source(file: Delimited, like: Reading) -> TableSource:
    """Rows of a delimited text file; every cell is read as `like` says, or as all cells of its column tell."""
    cells = DiskTable.of(file.blocks(), file.schema) if file.text.n_bytes > on_disk.LARGE_BYTES else file.cells()
    like = dataclasses.replace(like, delimiter=file.delimiter, encoding=file.text.encoding)
    reading, notes = infer_reading(cells, like)
    if file.text.guessed:
        notes = (
            f"read as {NAMES[file.text.encoding]}, which is a guess: if letters are wrong, save it in UTF-8",
            *notes,
        )
    table = converted(cells, lambda block: blanked(typed_table(block, reading), reading.missing))
    unnamed = {name for name, written in zip(file.names, file.header, strict=True) if not written.strip()}
    gone = {name for name in unnamed if table.column(name).null_count == table.num_rows}
    table = table.select([name for name in table.column_names if name not in gone])
    return TableSource(table, name=file.name, original=cells, reading=reading, notes=notes, header=file.header)


def _typed_source(
    table: pa.Table | DiskTable,
    like: Reading,
    name: str,
    label: str | None,
    drop: Sequence[str],
    frame: str | None = None,
    notes: Sequence[str] = (),
    native: Any = None,
) -> TableSource:
    """Rows of a table that has types; where it has text, and numbers stood at fit, they are read as they were then."""
    typed = blanked(retyped(table, like), like.missing)
    return TableSource(
        typed, name=name, label=label, drop=drop, frame=frame, original=table, notes=notes, native=native
    )


def _with_missing(like: Reading | None, missing: Sequence[str]) -> Reading:
    like = like or Reading()
    return dataclasses.replace(like, missing=tuple(dict.fromkeys([*like.missing, *missing])))


def frame_source(
    data: Any,
    label: str | None = None,
    drop: Sequence[str] = (),
    missing: Sequence[str] = (),
    like: Reading | None = None,
) -> TableSource:
    """Rows of a pyarrow.Table or of any DataFrame that narwhals knows; arguments as of `file_source`."""
    like = _with_missing(like, missing)
    if isinstance(data, pa.Table):
        return _typed_source(data, like, "table", label, drop, "pyarrow", native=data)
    table, library = read_frame(data)
    return _typed_source(table, like, "DataFrame", label, drop, library, native=data)


def _without_index(table: Any) -> Any:
    """Without the columns that pandas writes its index to: to its users they are no columns."""
    try:
        known = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    except (ValueError, AttributeError):  # metadata that somebody else wrote
        return table
    index = {each for each in known if isinstance(each, str)}
    return table.select([each for each in table.column_names if each not in index]) if index else table


def _check_names(names: Sequence[str], wanted: Sequence[str], name: str) -> None:
    twice = [each for each, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"{name}: {duplicates_text(twice)}")
    for each in wanted:
        if each not in names:
            held = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
            raise DataError(f'{name} has no column "{each}" to use as label or to drop; it has {held}')


def _labels(column: pa.ChunkedArray, label: str, name: str, may_lack: bool) -> np.ndarray | None:
    if column.null_count and may_lack:
        return _labels_with_gaps(column)
    if column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        found = f'{name}, row {row}, column "{label}": found no label'
        raise DataError(f"{found}, expected a class in each row; fill it in or remove the row")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return np.array(column.to_pylist(), dtype=np.str_)
    return checked_labels(column.to_numpy(), len(column), f'{name}, column "{label}"')


def _labels_with_gaps(column: pa.ChunkedArray) -> np.ndarray | None:
    """Labels as text, empty where there is none; None where there are none at all."""
    if column.null_count == len(column):
        return None
    if pa.types.is_floating(column.type) and pc.all(pc.equal(column, pc.round(column))).as_py():
        column = column.cast(pa.int64())
    return np.array(pc.fill_null(as_text(column), "").to_pylist(), dtype=np.str_)
