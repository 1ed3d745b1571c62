"""What can go wrong, in the words of the person who can mend it.

A `UserError` is one line: what was found, where, what was expected, and the command or argument
that mends it. The command line prints it and exits with 2; any other exception is a fault of ours.
"""

import contextlib
import shlex
from collections.abc import Iterator

_HARMLESS = "\u200c\u200d\u3000"
"""Persian words, Indian letters and many emoji need the first two, Chinese and Japanese the blank; none commands."""


def printable(text: str) -> str:
    """Text that no terminal takes for a command: what cannot be printed is written out, such as \\x1b.

    Control codes, marks that turn the direction of writing, separators of lines, and bytes that are no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() or letter in _HARMLESS else repr(letter)[1:-1] for letter in text)


def quoted(word: str) -> str:
    """A word as a shell reads it back, for commands that a person copies; on one line, and printable."""
    if printable(word) == word:
        return shlex.quote(word)
    return "$'" + "".join(map(_in_shell, word)) + "'"


def quoted_path(path: str) -> str:
    """A path as `quoted`; one that begins like an option is still a path."""
    return quoted(f"./{path}" if path.startswith("-") else path)


def _in_shell(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if printable(letter) == letter:
        return letter
    escaped = "\udc80" <= letter <= "\udcff"  # a byte of a name that is no UTF-8
    data = letter.encode("utf-8", "surrogateescape" if escaped else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in data)


_commanded = False
"""Whether it is the command line that shows what is said."""


@contextlib.contextmanager
def commanded() -> Iterator[None]:
    """Inside, messages advise options of the command line, in all threads; else arguments, as Python takes them."""
    global _commanded
    before, _commanded = _commanded, True
    try:
        yield
    finally:
        _commanded = before


def option(typed: str, argument: str) -> str:
    """One piece of advice in the words of who is asked: `--channels 1`, or in Python `channels=1`."""
    return typed if _commanded else argument


class UserError(ValueError):
    """A mistake in what the caller gave. Its text is printable, whatever the names in it are."""

    def __str__(self) -> str:
        return "\n".join(map(printable, super().__str__().split("\n")))


class DataError(UserError):
    """Data that cannot be read, or that differs from what a model learned."""


class Unsupported(UserError):
    """A task that the model at hand cannot do; the message names models that can."""


class UnknownName(UserError):
    """A model, preset, part or argument that nobody knows; the message names the nearest ones."""


class ModelFileError(UserError):
    """A fitted directory that is damaged, incomplete, foreign or newer than this library."""


class Diverged(UserError):
    """Training met a loss that is not finite, and stopped with the last good weights kept."""


class Interrupted(KeyboardInterrupt):
    """Training was asked to stop (SIGINT, SIGTERM); its state was saved first where there was a place for it."""
