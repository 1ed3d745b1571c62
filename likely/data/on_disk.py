"""Data that stays on the disk because it is too large to hold: it is read from there, a piece at a time.

Pages of a mapped file stay in memory after they were looked at, until something tells them to leave. Here they leave
as soon as they are many, so that what a process holds does not grow with the file.
"""

import mmap
import tempfile
from collections.abc import Iterable
from typing import IO

import numpy as np

from likely.contract import Shape
from likely.errors import UserError

LARGE_BYTES = 2**25
"""Data that takes more than this stays on the disk."""

KEPT_BYTES = 2**25
"""So much of a mapped file is looked at before its pages leave memory."""


BESIDE_BYTES = 2**16
"""What a system brings along with a page that is looked at: Linux maps sixteen at a time."""


class Pages:
    """What of a mapped file is in memory."""

    def __init__(self, mapped: mmap.mmap) -> None:
        """Takes charge of a file that nobody writes to through this map."""
        self._map = mapped
        self._seen = 0

    @classmethod
    def of(cls, array: np.ndarray) -> "Pages | None":
        """Of an array that lies in a file and is read only; None for others."""
        if isinstance(array, np.memmap) and array.mode == "r" and isinstance(array.base, mmap.mmap):
            return cls(array.base)
        return None

    def take(self, array: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Copies of the rows `ids` of an array in the file, in this order."""
        rows = np.empty((len(ids), *array.shape[1:]), array.dtype)
        at_once = max(1, KEPT_BYTES // BESIDE_BYTES)
        for start in range(0, len(ids), at_once):
            some = ids[start : start + at_once]
            array.take(some, axis=0, out=rows[start : start + at_once], mode="clip")  # else numpy copies twice
            self.looked_at(len(some), 0)
        return rows

    def looked_at(self, n_pieces: int, n_bytes: int) -> None:
        """Notes that pieces of the file were read, n_bytes in all; lets pages leave where they are many."""
        self._seen += n_bytes + n_pieces * BESIDE_BYTES
        if self._seen >= KEPT_BYTES:
            self.leave()

    def leave(self) -> None:
        """Lets all pages leave memory; what refers to them stays valid, and is read from the file again."""
        self._seen = 0
        if hasattr(self._map, "madvise") and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)


def scratch_file() -> IO[bytes]:
    """A file without a name where temporary files go; it is gone when nothing refers to it any more.

    Raises:
        UserError: if none can be made.
    """
    try:
        return tempfile.TemporaryFile(prefix="likely-")
    except OSError as error:
        raise _no_space(error) from error


def write_scratch(file: IO[bytes], pieces: Iterable[bytes | memoryview]) -> None:
    """Appends to a scratch file. Raises UserError if the disk is full."""
    for piece in pieces:
        try:
            file.write(piece)
        except OSError as error:
            raise _no_space(error) from error


class DiskRows:
    """Rows in a scratch file, read by their numbers.

    Args:
        blocks: the rows in turn, (m, *row_shape) each.
        row_shape: of a row.
        dtype: they are kept in it.
        n: how many there are.
    """

    def __init__(self, blocks: Iterable[np.ndarray], row_shape: Shape, dtype: np.dtype, n: int) -> None:
        with scratch_file() as file:
            write_scratch(
                file, (np.ascontiguousarray(block, dtype).reshape(-1).view(np.uint8).data for block in blocks)
            )
            file.flush()
            self._array = np.memmap(file, dtype, "r", shape=(n, *row_shape))
        self._pages = Pages(self._array.base)  # type: ignore[arg-type]

    def read(self, ids: np.ndarray) -> np.ndarray:
        """Copies of the rows of ids."""
        return self._pages.take(np.asarray(self._array), ids)


def _no_space(error: OSError) -> UserError:
    mend = "free some space there, or name another place by the environment variable TMPDIR"
    return UserError(f"data too large for memory cannot be kept in {tempfile.gettempdir()}: {error.strerror}; {mend}")
