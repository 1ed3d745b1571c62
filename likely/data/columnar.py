"""Parquet and Arrow files that nobody vouches for: what they unpack to is known first, and what is in them checked."""

import os
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from likely.data import on_disk
from likely.data.delimited import duplicates_text
from likely.data.disk_table import ROWS_AT_ONCE, DiskTable
from likely.data.unpacking import check_unpacked, decoding
from likely.errors import DataError

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
"""Bytes of a value, by its physical type; texts have lengths of their own."""


def read_parquet(path: Path, name: str) -> pa.Table | DiskTable:
    """All of a Parquet file, on the disk where it is large.

    Raises:
        DataError: if it cannot be read, or unpacks to more than `check_unpacked` allows.
    """
    with decoding(name, partial(_unreadable, name, "Parquet")):
        n_bytes = path.stat().st_size
        with _opened(path) as file:
            n_unpacked = _n_unpacked(file.metadata)
            check_unpacked(name, n_bytes, n_unpacked)
            texts = _repeated_texts(file)
        if texts:
            with _opened(path, read_dictionary=texts) as file:
                _check_texts(file, texts, name, n_bytes)
        if n_unpacked <= on_disk.LARGE_BYTES:
            with pa.OSFile(os.fsencode(path)) as opened:
                return _sound(pq.read_table(opened))
        with _opened(path) as file:
            return _by_group(file)


def _opened(path: Path, **options: Any) -> pq.ParquetFile:
    """A Parquet file, whatever its name: Arrow takes bytes for a name that is no UTF-8."""
    return pq.ParquetFile(pa.OSFile(os.fsencode(path)), **options)


def _by_group(file: pq.ParquetFile) -> DiskTable:
    """A column that has a dictionary is written out: that of later rows may be another."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in file.schema_arrow
    ]
    schema = pa.schema(fields, file.schema_arrow.metadata)
    batches = file.iter_batches(ROWS_AT_ONCE, use_threads=False)
    return DiskTable.of((_sound(pa.Table.from_batches([batch])).cast(schema) for batch in batches), schema)


def read_arrow(path: Path, name: str) -> pa.Table:
    """All of a file of Arrow's own format, which Feather is, too. Raises DataError as `read_parquet`."""
    with decoding(name, partial(_unreadable, name, "an Arrow or Feather file")), pa.OSFile(os.fsencode(path)) as file:
        n_bytes = path.stat().st_size
        try:
            with pa.ipc.open_file(file) as reader:
                groups = (reader.get_batch(i) for i in range(reader.num_record_batches))
                return _sound(_gathered(groups, reader.schema, name, n_bytes))
        except pa.ArrowInvalid:
            file.seek(0)
            with pa.ipc.open_stream(file) as stream:
                return _sound(_gathered(stream, stream.schema, name, n_bytes))


def _gathered(groups: Iterable[pa.RecordBatch], schema: pa.Schema, name: str, n_bytes: int) -> pa.Table:
    kept, total = [], 0
    for group in groups:
        total += group.nbytes
        check_unpacked(name, n_bytes, total)
        kept.append(group)
    return pa.Table.from_batches(kept, schema)


def _sound(table: pa.Table) -> pa.Table:
    """The table; raises what Arrow raises where its parts do not fit each other, which would end the process later."""
    table.validate(full=True)
    if not all(isinstance(each, str) for each in table.column_names):  # asking reads them, as UTF-8
        raise ValueError("columns without a name")
    return table


def _n_unpacked(metadata: pq.FileMetaData) -> int:
    """Bytes of all pages, or of all values where a page says one value many times; texts are counted later."""
    total = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for each in range(row_group.num_columns):
            column = row_group.column(each)
            width = _WIDTHS.get(column.physical_type, metadata.schema.column(each).length or 1)
            plain = width * column.num_values
            total += max(column.total_uncompressed_size, plain)
    return total


def _repeated_texts(file: pq.ParquetFile) -> list[str]:
    """Columns at the top whose texts are kept once and named by number: a short file can hold a long one often."""
    metadata, found = file.metadata, set()
    schema = file.schema_arrow
    for group in range(metadata.num_row_groups):
        for each in range(metadata.num_columns):
            column = metadata.row_group(group).column(each)
            name = column.path_in_schema
            kept_once = any("DICTIONARY" in encoding for encoding in column.encodings)
            if kept_once and name in schema.names and _is_text(schema.field(name).type):
                found.add(name)
    return sorted(found)


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    texts = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_kind(kind) for is_kind in texts)


def _check_texts(file: pq.ParquetFile, texts: list[str], name: str, n_bytes: int) -> None:
    """How long the texts are, told while each is still there once."""
    total = 0
    for number in range(file.metadata.num_row_groups):
        group = file.read_row_group(number, columns=texts)
        total += sum(_n_letters(chunk) for column in group.columns for chunk in column.chunks)
        check_unpacked(name, n_bytes, total)


def _n_letters(chunk: pa.Array) -> int:
    if not pa.types.is_dictionary(chunk.type):
        return int(chunk.nbytes)
    lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
    return int(pc.sum(lengths.take(chunk.indices)).as_py() or 0)


def _unreadable(name: str, kind: str, error: Exception) -> DataError:
    text = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"{name} cannot be read as {kind} ({error.strerror}); save it again")
    twice = re.findall(r"[Dd]uplicate field \(name: '?([^')]*)", text)
    reason = duplicates_text(twice) if twice else f"cannot be read as {kind} ({text})"
    return DataError(f"{name}: {reason}; save it again")
