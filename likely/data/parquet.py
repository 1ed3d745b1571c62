"""Parquet files that nobody vouches for: what they unpack to is known before it is there."""

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from likely.data.delimited import duplicates_text
from likely.data.unpacking import check_unpacked
from likely.errors import DataError

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
"""Bytes of a value, by its physical type; texts have lengths of their own."""


def read_parquet(path: Path, name: str) -> pa.Table:
    """All of a Parquet file.

    Raises:
        DataError: if it cannot be read, or unpacks to more than `check_unpacked` allows.
    """
    try:
        n_bytes = path.stat().st_size
        with pq.ParquetFile(path, memory_map=False) as file:
            check_unpacked(name, n_bytes, _n_unpacked(file.metadata))
            texts = _repeated_texts(file)
        if texts:
            with pq.ParquetFile(path, memory_map=False, read_dictionary=texts) as file:
                _check_texts(file, texts, name, n_bytes)
        return pq.read_table(path, memory_map=False)
    except DataError:
        raise
    except MemoryError:
        raise DataError(f"{name} holds more than the memory does; split it into smaller files") from None
    except Exception as error:  # decoders of foreign bytes raise whatever they like
        raise _unreadable(name, error) from None


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


def _unreadable(name: str, error: Exception) -> DataError:
    text = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"{name} cannot be read as Parquet ({error.strerror}); save it again")
    twice = re.findall(r"[Dd]uplicate field \(name: '?([^')]*)", text)
    reason = duplicates_text(twice) if twice else f"cannot be read as Parquet ({text})"
    return DataError(f"{name}: {reason}; save it again")
