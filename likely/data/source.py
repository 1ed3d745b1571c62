"""What every source of rows can do: tell how many there are, and hand out any of them by id."""

import abc
import hashlib
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pyarrow

    from likely.data.augmentation import Augmentation
    from likely.data.given import Given
    from likely.data.reading import Reading

Rows: TypeAlias = "np.ndarray | pyarrow.Table"
"""Raw rows in the caller's own terms: (n, *row_shape), or a table of n rows."""

Expected: TypeAlias = tuple[tuple[int, ...], np.dtype | str]
"""What a row is like that a model takes: its shape, and the type of its values."""

BLOCK_BYTES = 32 * 2**20
BLOCK_ROWS = 8192
"""How much `Source.blocks` reads at once, at most: the memory of a pass over all rows does not grow with them."""


class Source(abc.ABC):
    """Rows with random access by id, from 0 to len(source) - 1.

    Labels serve evaluation only: no model sees them unless the caller says so.
    """

    kind: ClassVar[str]
    """ "array", "image" or "table"."""
    in_memory: ClassVar[bool] = True
    """False where `read` decodes files."""
    mapped: bool = False
    """Whether rows lie in a file that is too large to hold, and are read from there."""
    name: str
    """What the user typed, or "array", "DataFrame"."""
    labels: np.ndarray | None = None
    """(n,), int64 or str."""
    parts: Mapping[str, np.ndarray] = {}
    """The official parts, by id, where the data has them: {"validation": ids, "test": ids}."""
    frame: str | None = None
    """The DataFrame library that the rows came from: "pandas", "polars", "pyarrow"; None for all else."""
    skipped: tuple[str, ...] = ()
    """Files that were there and are no rows."""
    reading: "Reading | None" = None
    """How the cells of a text file were read; None for all else."""
    notes: tuple[str, ...] = ()
    """What a reader should know of how the data was read, one line each."""
    groups: np.ndarray | None = None
    """(n,) integers: rows with the same one belong together, and no split comes between them."""
    augmentation: tuple["Augmentation", ...] = ()
    """What happens to rows that train, in this order; `read` hands them out as they are."""
    row_bytes: int
    """About how much memory a row takes."""

    @property
    def given(self) -> "Given | None":
        """The table as it was handed in, columns that no model sees and all; None where the rows are no table."""
        return None

    @abc.abstractmethod
    def __len__(self) -> int: ...

    @abc.abstractmethod
    def read(self, ids: np.ndarray) -> Rows:
        """The rows with these ids, in this order.

        Args:
            ids: (m,) integers from 0 to len(self) - 1.

        Returns:
            (m, *row_shape), or a table of m rows. It may be a view of the data: do not write to it.

        Raises:
            DataError: if a file cannot be decoded, or is of another size than the others.
        """

    def read_some(self, ids: np.ndarray, expected: Expected | None = None) -> tuple[Rows, dict[int, str]]:
        """The rows with these ids as far as they can be read: one broken file is no reason to refuse the others.

        Args:
            ids: (m,) integers from 0 to len(self) - 1.
            expected: what rows of fit were like; by default all are held against the first.

        Returns:
            As `read`; and why some could not be read, by their position from 0 to m - 1. In place of those rows
            there is something that says nothing.
        """
        return self.read(ids), {}

    def column(self, name: str, ids: np.ndarray) -> "pyarrow.ChunkedArray":
        """One column of the rows of a table."""
        rows = self.read(ids)
        assert not isinstance(rows, np.ndarray)
        return rows.column(name)

    @abc.abstractmethod
    def place(self, id: int) -> str:
        """Names a row in a message: "row 12" (counted from 0), "cats/0001.png"."""

    @abc.abstractmethod
    def digest(self) -> str:
        """The identity of the content, labels and parts; the same data has the same digest in the next process."""

    def blocks(self, ids: np.ndarray | None = None) -> Iterator[tuple[np.ndarray, Rows]]:
        """Goes once through some rows in constant memory.

        Args:
            ids: which rows, in this order; all of them where None.

        Yields:
            Pairs of ids (m,) and their rows.
        """
        ids = np.arange(len(self)) if ids is None else np.asarray(ids)
        size = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, self.row_bytes)))
        for start in range(0, len(ids), size):
            some = ids[start : start + size]
            yield some, self.read(some)

    def warn(self) -> None:
        """Says what a reader should know of how the data was read.

        Warns:
            UserWarning: each of `notes`.
        """
        for note in self.notes:
            warnings.warn(note, UserWarning, stacklevel=3)

    def _finish_digest(self, content: "hashlib.blake2b") -> str:
        if self.labels is not None:
            content.update(np.ascontiguousarray(self.labels).tobytes())
        for part in sorted(self.parts):
            content.update(part.encode())
            content.update(np.ascontiguousarray(self.parts[part]).tobytes())
        return content.hexdigest()


def digest_of(*arrays: np.ndarray) -> str:
    """The identity of some arrays: of their shapes, types and every value."""
    content = hashlib.blake2b(digest_size=16)
    for array in arrays:
        content.update(f"{array.shape} {array.dtype}".encode())
        content.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return content.hexdigest()


def as_slice(ids: np.ndarray) -> slice | None:
    """The slice that consecutive, rising ids are; None for all others."""
    if len(ids) == 0:
        return slice(0, 0)
    first, last = int(ids[0]), int(ids[-1])
    if first < 0 or last - first != len(ids) - 1 or (len(ids) > 2 and not (np.diff(ids) == 1).all()):
        return None
    return slice(first, last + 1)
