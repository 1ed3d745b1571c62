"""Data that stays on the disk because it is too large to hold: it is read from there, a piece at a time.

Rows of numbers are read from their file where they are asked for. Tables are mapped: pages stay in memory after they
were looked at, until something tells them to leave, and with one page some systems bring along megabytes. Here they
leave as soon as they are many, so that what a process holds does not grow with the file.
"""

import contextlib
import errno
import mmap
import os
import tempfile
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import IO

import numpy as np

from likely.contract import Shape
from likely.errors import UserError

LARGE_BYTES = 2**25
"""Data that takes more than this stays on the disk."""

KEPT_BYTES = 2**26
"""So much of a mapped file is looked at before its pages leave memory."""

_ROWS = 2**16
"""So many rows of an array are turned at a time that lies in its file column by column."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Pages:
    """What of a mapped file is in memory."""

    def __init__(self, mapped: mmap.mmap) -> None:
        """Takes charge of a file that nobody writes to through this map."""
        self._map = mapped
        self._seen = 0

    def looked_at(self, n_bytes: int) -> None:
        """Notes that so much of the file was looked at; lets pages leave where they are many."""
        self._seen += n_bytes
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
    """Rows of numbers that lie in a file one after the other, read by their numbers.

    Args:
        file: where they are; it is held.
        start: where in the file the first one begins, in bytes.
        row_shape: of a row.
        dtype: of the numbers.
    """

    def __init__(self, file: IO[bytes], start: int, row_shape: Shape, dtype: np.dtype) -> None:
        self._file, self._start, self.row_shape, self.dtype = file, start, row_shape, dtype

    @classmethod
    def of_blocks(cls, blocks: Iterable[np.ndarray], row_shape: Shape, dtype: np.dtype) -> "DiskRows":
        """Rows that come in blocks (m, *row_shape), kept in a scratch file.

        Raises:
            UserError: if there is no space for them.
        """
        with scratch_file() as file:
            for block in blocks:
                file.write(np.ascontiguousarray(block, dtype).reshape(-1).view(np.uint8).data)
            file.flush()
            return cls(os.fdopen(os.dup(file.fileno()), "rb"), 0, row_shape, dtype)

    @classmethod
    def of(cls, array: np.ndarray) -> "DiskRows | None":
        """Those of an array that was mapped to be read only, and is no view of another one; None of others."""
        if not isinstance(array, np.memmap) or array.mode != "r" or not isinstance(array.base, mmap.mmap):
            return None
        if array.filename is None or not hasattr(os, "preadv"):
            return None
        if array.flags.c_contiguous:
            return cls(open(array.filename, "rb"), array.offset, array.shape[1:], array.dtype)
        return cls.of_blocks(_in_turn(array, Pages(array.base)), array.shape[1:], array.dtype)

    def read(self, ids: np.ndarray) -> np.ndarray:
        """Copies of the rows `ids`, in this order; those that follow each other are read at once."""
        rows = np.empty((len(ids), *self.row_shape), self.dtype)
        if not rows.size:
            return rows
        size, view = rows[:1].nbytes, rows.reshape(-1).view(np.uint8).data
        cuts = [0, *(np.flatnonzero(np.diff(ids) != 1) + 1).tolist(), len(ids)]
        for (first, end), id in zip(pairwise(cuts), ids[cuts[:-1]].tolist(), strict=True):
            self._fill(view[first * size : end * size], self._start + id * size)
        return rows

    def _fill(self, left: memoryview, place: int) -> None:
        while left:
            n = os.preadv(self._file.fileno(), [left], place)
            if not n:
                raise OSError(errno.EIO, "a file became shorter while it was read")
            place, left = place + n, left[n:]


def _in_turn(array: np.ndarray, pages: Pages) -> Iterator[np.ndarray]:
    """The rows of an array whose columns lie one after the other."""
    for start in range(0, len(array), _ROWS):
        yield array[start : start + _ROWS]
        pages.leave()
