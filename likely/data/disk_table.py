"""Tables too large to hold: their rows lie in a scratch file in Arrow's own format, and are read from there."""

import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import cast

import numpy as np
import pyarrow as pa

from likely.data.on_disk import Pages, scratch_file

ROWS_AT_ONCE = 2**16
"""Pieces of so many rows are written."""


class DiskTable:
    """A table in a scratch file. It has of `pyarrow.Table` what is asked of a table whose rows are read in turn."""

    def __init__(self, table: pa.Table, pages: Pages) -> None:
        """Of a table whose columns lie in a mapped file, all cut into pieces at the same rows."""
        self.whole, self.pages = table, pages
        lengths = [len(chunk) for chunk in table.column(0).chunks] if table.num_columns else []
        self._starts = np.cumsum([0, *lengths])
        self._row_bytes = table.nbytes // max(1, table.num_rows)

    @classmethod
    def of(cls, blocks: Iterable[pa.Table], schema: pa.Schema) -> "DiskTable":
        """Rows that come in blocks.

        Raises:
            UserError: if there is no space for them.
        """
        with scratch_file() as file:
            with pa.ipc.new_file(pa.PythonFile(file, "w"), schema) as writer:
                for block in blocks:
                    writer.write_table(block, max_chunksize=ROWS_AT_ONCE)
            file.flush()
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return cls(pa.ipc.open_file(pa.py_buffer(mapped)).read_all(), Pages(mapped))

    @property
    def schema(self) -> pa.Schema:
        """Names and types."""
        return self.whole.schema

    @property
    def column_names(self) -> list[str]:
        """In order."""
        return cast(list[str], self.whole.column_names)

    @property
    def num_columns(self) -> int:
        """How many."""
        return int(self.whole.num_columns)

    @property
    def num_rows(self) -> int:
        """How many."""
        return int(self.whole.num_rows)

    def column(self, name: str) -> pa.ChunkedArray:
        """A whole column, read where it is looked at."""
        self.pages.leave()
        return self.whole.column(name)

    def select(self, names: Sequence[str]) -> "DiskTable":
        """Some of the columns."""
        return DiskTable(self.whole.select(list(names)), self.pages)

    def blocks(self) -> Iterator[pa.Table]:
        """All rows, some at a time."""
        for start, stop in zip(self._starts[:-1].tolist(), self._starts[1:].tolist(), strict=True):
            yield self.slice(start, stop - start)

    def slice(self, start: int, n: int) -> pa.Table:
        """n rows that follow each other."""
        self.pages.looked_at(n * self._row_bytes)
        return self.whole.slice(start, n)

    def take(self, ids: np.ndarray) -> pa.Table:
        """Copies of the rows `ids`, in this order."""
        if not len(ids):
            return self.whole.slice(0, 0)
        rising = np.argsort(ids, kind="stable")
        pieces = np.split(rising, np.searchsorted(ids[rising], self._starts[1:-1]))
        taken = []
        for start, n, piece in zip(self._starts.tolist(), np.diff(self._starts).tolist(), pieces, strict=False):
            if len(piece):
                taken.append(self.whole.slice(start, n).take(pa.array(ids[piece] - start)))
                self.pages.looked_at(n * self._row_bytes)
        place = np.empty(len(ids), np.int64)
        place[rising] = np.arange(len(ids))
        return pa.concat_tables(taken).combine_chunks().take(pa.array(place))


class _Wider(Exception):
    """A block holds what the types of those before it cannot."""

    def __init__(self, schema: pa.Schema) -> None:
        self.schema = schema


def converted(table: "pa.Table | DiskTable", convert: Callable[[pa.Table], pa.Table]) -> "pa.Table | DiskTable":
    """A table whose rows were changed, some at a time where it is on the disk: then types may differ by block, and
    those that hold all are taken: real numbers for whole ones, text for anything else."""
    if not isinstance(table, DiskTable):
        return convert(table)
    schema = convert(next(table.blocks())).schema
    while True:
        try:
            return DiskTable.of(_of_types(map(convert, table.blocks()), schema), schema)
        except _Wider as found:
            schema = found.schema


def _of_types(blocks: Iterable[pa.Table], schema: pa.Schema) -> Iterator[pa.Table]:
    for block in blocks:
        wider = pa.schema([_wider(a, b) for a, b in zip(schema, block.schema, strict=True)])
        if not wider.equals(schema.remove_metadata()):
            raise _Wider(wider)
        yield block.cast(schema)


def _wider(a: pa.Field, b: pa.Field) -> pa.Field:
    if a.type == b.type or pa.types.is_null(b.type):
        return pa.field(a.name, a.type)
    if pa.types.is_null(a.type):
        return pa.field(a.name, b.type)
    numbers = all(pa.types.is_integer(each.type) or pa.types.is_floating(each.type) for each in (a, b))
    return pa.field(a.name, pa.float64() if numbers else pa.string())
