"""Standard streams that no command stumbles over: closed, full, without a reader, or unable to show a letter.

The work goes on and its files are written, whoever listens. What is said is lost then, and nothing else.
"""

import codecs
import contextlib
import io
import os
import select
import sys
import unicodedata
from collections.abc import Iterator
from typing import Any, TextIO

from likely.errors import printable

LETTERS = "likely.letters"
"""The error handler of encodings that lack a letter."""

_SIMPLER = {"✓": "x", "×": "x", "±": "+-", "≤": "<=", "≥": ">=", "…": "...", "–": "-", "—": "-", "−": "-", "·": "*"}


class Lasting(io.RawIOBase):
    """A raw stream that a fault of the system does not end: what cannot be written is forgotten.

    Args:
        stream: of text; what lies lowest in it is written to.

    Attributes:
        lost: why, after the first fault; None while all is well.
    """

    def __init__(self, stream: Any) -> None:
        self.raw = getattr(stream.buffer, "raw", stream.buffer)  # unbuffered (-u) it has no other below it
        self._owner = stream  # it closes the raw one when nobody knows it any more
        self.lost: OSError | None = None

    def writable(self) -> bool:
        """Always."""
        return True

    def fileno(self) -> int:
        """Of the stream below."""
        return int(self.raw.fileno())

    def isatty(self) -> bool:
        """Whether the stream below is a terminal."""
        return bool(self.raw.isatty())

    def write(self, data: Any) -> int:
        """All of it goes out, or nowhere."""
        size = memoryview(data).nbytes
        if self.lost is None:
            try:
                return self._written(data)
            except OSError as error:
                self.lost = error
        return size

    def _written(self, data: Any) -> int:
        while True:
            n = self.raw.write(data)
            if n is not None:
                return int(n)
            select.select([], [self.raw], [])  # somebody set it not to wait: node does, for terminals


class Shown(io.TextIOWrapper):
    """Text on its way to a person: nothing in it commands a terminal, and every letter can be written somehow."""

    def write(self, text: str) -> int:
        """As of any stream; `draw` is for those who mean to command."""
        self.draw("\n".join(map(printable, text.split("\n"))))
        return len(text)

    def draw(self, text: str) -> None:
        """Writes colors and moves of the cursor as they are."""
        super().write(text)


class Canvas:
    """What is drawn on: a stream that is handed colors and moves of the cursor, where it is one of ours."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Past the cleaning of `Shown`."""
        getattr(self.stream, "draw", self.stream.write)(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def lasting_streams() -> Iterator[None]:
    """Inside, whatever is written to stdout and stderr does no harm, be they closed, full or without a reader."""
    hold_descriptors()
    with _replaced("stdout"), _replaced("stderr"):
        yield


def hold_descriptors() -> None:
    """Takes those of the standard streams that are closed, or an answer's file would get one, and what C prints."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest that is free, so this one


def lost_words() -> OSError | None:
    """Why stdout took no more; None where it did, and where whoever read had enough."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    lost = raw.lost if isinstance(raw, Lasting) else None
    return None if isinstance(lost, BrokenPipeError) else lost


@contextlib.contextmanager
def _replaced(name: str) -> Iterator[None]:
    before = getattr(sys, name)
    setattr(sys, name, lasting(before))
    try:
        yield
    finally:
        getattr(sys, name).flush()  # and it stays: the interpreter itself flushes once more


def lasting(stream: TextIO | None) -> Shown:
    """A stream to the same place, in the same encoding."""
    codecs.register_error(LETTERS, _simpler)
    if stream is None:
        return Shown(io.BufferedWriter(open(os.devnull, "wb", buffering=0)), encoding="utf-8", errors=LETTERS)
    way: Any = stream
    how = {"line_buffering": way.line_buffering, "write_through": way.write_through}
    return Shown(io.BufferedWriter(Lasting(way)), encoding=way.encoding, errors=LETTERS, **how)


def _simpler(error: UnicodeError) -> tuple[str, int]:
    """Letters that an encoding lacks, in ASCII: e for é, and \\ubc88 where there is no such neighbor."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(letter: str) -> str:
    bare = unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() if letter.isalpha() else ""
    return _SIMPLER.get(letter) or bare or letter.encode("ascii", "backslashreplace").decode()
