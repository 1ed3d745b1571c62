"""Data that stays on the disk because it is too large to hold: it is read from there, a piece at a time.

Pages of a mapped file stay in memory after they were looked at, until something tells them to leave. Here they leave
as soon as they are many, so that what a process holds does not grow with the file.
"""

import contextlib
import errno
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO

import numpy as np

from likely.contract import Shape
from likely.errors import UserError

LARGE_BYTES = 2**25
"""Data that takes more than this stays on the disk."""

KEPT_BYTES = 2**26
"""So much of a mapped file is looked at before its pages leave memory."""

BESIDE_BYTES = 2**16
"""What a system brings along with a page that is looked at: Linux maps sixteen at a time."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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
        rising = np.argsort(ids)  # neighbors come with the same page: five times as fast
        for start in range(0, len(ids), KEPT_BYTES // BESIDE_BYTES):
            some = rising[start : start + KEPT_BYTES // BESIDE_BYTES]
            rows[some] = array.take(ids[some], axis=0)
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


@contextlib.contextmanager
def scratch_file() -> Iterator[IO[bytes]]:
    """A file to be filled, without a name, where temporary files go; it is gone when nothing maps it any more.

    Raises:
        UserError: if none can be made, or there is no space for it.
    """
    try:
        with _unnamed() as file:
            yield file
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise _no_space(error) from error


def _unnamed() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile(prefix="likely-")
    except OSError as error:
        raise _no_space(error) from error


def _no_space(error: OSError) -> UserError:
    found = f"data too large for memory cannot be kept in {tempfile.gettempdir()}: {error.strerror or error}"
    return UserError(f"{found}; free some space there, or name another place by the environment variable TMPDIR")


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
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype).reshape(-1).view(np.uint8).data)
            file.flush()
            self._array = np.memmap(file, dtype, "r", shape=(n, *row_shape))
        self._pages = Pages(self._array.base)  # type: ignore[arg-type]

    def read(self, ids: np.ndarray) -> np.ndarray:
        """Copies of the rows of ids."""
        return self._pages.take(np.asarray(self._array), ids)
