"""Some rows of a source as a source of their own."""

from typing import TYPE_CHECKING

import numpy as np

from likely.data.source import Expected, Rows, Source
from likely.rng import some_of

if TYPE_CHECKING:
    import pyarrow

    from likely.data.given import Given


class Subset(Source):
    """The rows `ids` of another source, numbered from 0; messages name them as the other source does."""

    def __init__(self, source: Source, ids: np.ndarray) -> None:
        self.source, self.ids = source, ids
        self.kind, self.in_memory = source.kind, source.in_memory  # type: ignore[misc]
        self.mapped = source.mapped
        self.name, self.frame, self.row_bytes = source.name, source.frame, source.row_bytes
        self.labels = None if source.labels is None else source.labels[ids]
        self.groups = None if source.groups is None else source.groups[ids]
        self.augmentation, self.reading, self.notes = source.augmentation, source.reading, source.notes

    @property
    def given(self) -> "Given | None":
        """As `Source.given`."""
        whole = self.source.given
        return None if whole is None else whole.take(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def read(self, ids: np.ndarray) -> Rows:
        """As `Source.read`."""
        return self.source.read(self.ids[ids])

    def read_some(self, ids: np.ndarray, expected: Expected | None = None) -> tuple[Rows, dict[int, str]]:
        """As `Source.read_some`."""
        return self.source.read_some(self.ids[ids], expected)

    def column(self, name: str, ids: np.ndarray) -> "pyarrow.ChunkedArray":
        """As the other source."""
        return self.source.column(name, self.ids[ids])

    def place(self, id: int) -> str:
        """As the other source names it."""
        return self.source.place(int(self.ids[id]))

    def digest(self) -> str:
        """Of the other source and of which rows."""
        import hashlib

        content = hashlib.blake2b(self.source.digest().encode(), digest_size=16)
        content.update(np.ascontiguousarray(self.ids).tobytes())
        return content.hexdigest()


def some_rows(source: Source, most: int) -> Source:
    """At most so many rows of a source, drawn at random, the same at each call; the source itself if it has no more."""
    return source if len(source) <= most else Subset(source, some_of(len(source), most, "some rows"))
