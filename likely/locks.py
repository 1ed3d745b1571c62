"""Locks between processes, which a crash frees: `flock` on a file that is kept open.

A lock belongs to one opening of a file, so that two threads exclude each other as two processes do. It ends when the
process does, however it ends: programs that it starts do not inherit it, and a child that is forked gives it up. On
NFS it holds among all machines, where the server keeps locks. Where the system has no such locks nothing is excluded,
and what writes relies on renames alone: old or new, but the later of two writers may be refused at its end.
"""

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

WAITING = 0.005
"""Seconds between two tries to get a lock that is held for a moment."""

PATIENCE = 10.0
"""Seconds after which who writes goes on without its turn: whoever has it is stopped, and may be for good."""

_OURS: set[int] = set()
"""The descriptors of this process that hold locks."""


class Held(Exception):
    """Somebody else has the lock; `str` of it says who, where that is known."""


class Lock:
    """A lock that this process holds, on a file that is there only as long. Made by `claim`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor

    def release(self) -> None:
        """Removes the file and frees the lock. In a forked child, which has no part in it, nothing happens."""
        if self._descriptor in _OURS:
            with contextlib.suppress(OSError):
                self.path.unlink()
            _close(self._descriptor)


def claim(path: Path) -> Lock:
    """Takes the lock that a file stands for; makes the file, and writes into it whose it is.

    Args:
        path: of the file, in a directory that is there.

    Raises:
        Held: if somebody else has it.
        OSError: if the file cannot be made.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        if not _locked(descriptor):
            holder = os.read(descriptor, 200).decode("utf-8", "replace").strip()
            os.close(descriptor)
            raise Held(holder)
        _OURS.add(descriptor)
        if _is_at(path, descriptor):  # and was not removed by who had it before
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            return Lock(path, descriptor)
        _close(descriptor)


@contextlib.contextmanager
def in_turn(directory: Path) -> Iterator[None]:
    """Inside, nobody else is who asks for a turn in this directory; for what takes milliseconds."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # it may be written to and not be read
        yield
        return
    _OURS.add(descriptor)
    try:
        until = time.monotonic() + PATIENCE
        while not _locked(descriptor) and time.monotonic() < until:
            time.sleep(WAITING)
        yield
    finally:
        _close(descriptor)


def mark_live(descriptor: int) -> bool:
    """Says of an open file that somebody writes it, until it is closed; False if it was removed meanwhile."""
    _OURS.add(descriptor)
    while not _locked(descriptor):
        time.sleep(WAITING)  # whoever removes it is about to
    return os.fstat(descriptor).st_nlink > 0


def close(descriptor: int) -> None:
    """Closes a file that `mark_live` was told of."""
    _close(descriptor)


def remove_dead(path: Path) -> None:
    """Removes a file that nobody writes any more, and no other."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if _locked(descriptor, without_locks=False):
            path.unlink(missing_ok=True)
    finally:
        os.close(descriptor)


def _locked(descriptor: int, *, without_locks: bool = True) -> bool:
    """Whether the lock is ours now; `without_locks` is what to say where the system has none."""
    if fcntl is None:
        return without_locks
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EAGAIN, errno.EACCES) else without_locks
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _close(descriptor: int) -> None:
    _OURS.discard(descriptor)
    os.close(descriptor)


def _give_up_in_child() -> None:
    """After a fork: closing frees nothing as long as the parent has the file open."""
    for descriptor in _OURS:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _OURS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_give_up_in_child)
