"""Faults put in the way of code that writes files: every call of the system can fail, be cut short, or be the last."""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

CHANGES = ("write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir")
"""The calls that change what is on the disk, or when."""


@contextlib.contextmanager
def intercepted(act: Callable[[str, Callable[..., Any], tuple[Any, ...]], Any], names=CHANGES) -> Iterator[None]:
    """Inside, `act(name, real, arguments)` stands for each of these functions of `os`."""
    real = {name: getattr(os, name) for name in names}

    def stand_in(name):
        return lambda *args, **options: act(name, lambda *a: real[name](*a, **options), args)

    for name in names:
        setattr(os, name, stand_in(name))
    try:
        yield
    finally:
        for name in names:
            setattr(os, name, real[name])


def failing_at(k: int, error: BaseException, names=CHANGES):
    """The k-th call raises instead of doing anything; all others do their work."""
    left = k

    def act(name, real, args):
        nonlocal left
        left -= 1
        if left == 0:
            raise error
        return real(*args)

    return intercepted(act, names)


def dies_at(k: int, work: Callable[[], object]) -> bool:
    """Does `work` in a process that is gone, without any cleaning up, at its k-th call; False if it needs fewer.

    A write that is the k-th call leaves half of its bytes.
    """
    child = os.fork()
    if child:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 9), f"the work itself failed: {status}"
        return status == 9
    left = k

    def act(name, real, args):
        nonlocal left
        left -= 1
        if left == 0:
            if name == "write":
                real(args[0], bytes(args[1])[: len(args[1]) // 2])
            os._exit(9)
        return real(*args)

    try:
        with intercepted(act):
            work()
        os._exit(0)
    finally:
        os._exit(1)
