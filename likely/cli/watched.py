"""Rows that tell how many of them were read: what every long look at data shows its progress by."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from likely.cli.screen import progress
from likely.data import Rows, Source
from likely.data.source import Expected

if TYPE_CHECKING:
    import pyarrow

    from likely.data.given import Given


class Watched(Source):
    """Another source, that calls `tell` with the number of rows read so far."""

    def __init__(self, source: Source, tell: Callable[[int], None]) -> None:
        self.source, self.tell, self.n_read = source, tell, 0
        self.kind, self.in_memory = source.kind, source.in_memory  # type: ignore[misc]
        self.mapped = source.mapped
        self.name, self.frame, self.row_bytes = source.name, source.frame, source.row_bytes
        self.labels, self.parts, self.skipped = source.labels, source.parts, source.skipped
        self.groups, self.augmentation = source.groups, source.augmentation
        self.reading, self.notes = source.reading, source.notes

    @property
    def given(self) -> "Given | None":
        """As the other source."""
        return self.source.given

    def __len__(self) -> int:
        return len(self.source)

    def read(self, ids: np.ndarray) -> Rows:
        """As the other source; then tells."""
        rows = self.source.read(ids)
        self.n_read += len(ids)
        self.tell(self.n_read)
        return rows

    def read_some(self, ids: np.ndarray, expected: Expected | None = None) -> tuple[Rows, dict[int, str]]:
        """As the other source; then tells."""
        found = self.source.read_some(ids, expected)
        self.n_read += len(ids)
        self.tell(self.n_read)
        return found

    def column(self, name: str, ids: np.ndarray) -> "pyarrow.ChunkedArray":
        """As the other source."""
        return self.source.column(name, ids)

    def place(self, id: int) -> str:
        """As the other source names it."""
        return self.source.place(id)

    def digest(self) -> str:
        """As the other source."""
        return self.source.digest()


@contextlib.contextmanager
def watched(source: Source, doing: str) -> Iterator[Source]:
    """The source, its reading shown on the screen."""
    with progress(doing) as bar:
        yield Watched(source, lambda n_read: bar.update(min(n_read, len(source)), len(source)))
