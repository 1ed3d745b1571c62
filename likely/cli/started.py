"""When the command began: what a time limit is counted from."""

import time

_begun: list[float] = [time.monotonic()]
_counted: list[bool] = []


def begin() -> None:
    """A command begins: the first of a process when this file was imported, before all that takes time."""
    if _counted:
        _begun[0] = time.monotonic()
    _counted.append(True)


def seconds_so_far() -> float:
    """How long the command has been running."""
    return time.monotonic() - _begun[0]
