"""Time for an evaluation: what is not done when it is over is left out, and named."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")


class TimeIsUp(BaseException):
    """The time for something is over. As an interrupt, it passes by whoever catches what can go wrong."""


class Budget:
    """Until when parts of an evaluation may run.

    Attributes:
        left_out: the names of the parts that were not done in time.
    """

    def __init__(self, until: float | None = None) -> None:
        """`until` is a time of `time.monotonic`; None for ever."""
        self.until = until
        self.left_out: list[str] = []

    def part(self, name: str, work: Callable[[], T], otherwise: T) -> T:
        """What `work` gives; `otherwise`, where time is over before it is done."""
        try:
            with stopped_at(self.until):
                return work()
        except TimeIsUp:
            self.left_out.append(name)
            return otherwise


@contextlib.contextmanager
def stopped_at(until: float | None) -> Iterator[None]:
    """Inside, TimeIsUp is raised at a time of `time.monotonic`, whatever is under way.

    Where there is no alarm (in threads beside the main one, on systems without it) it is raised at the start only.
    """
    if until is None:
        yield
        return
    left = until - time.monotonic()
    if left <= 0:
        raise TimeIsUp
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeIsUp

    before: Any = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, left)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if before is None else before)
