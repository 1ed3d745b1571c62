"""How a command ends: an exit code, and one line on stderr where it did not do what it was asked to."""

import contextlib
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import typer

from likely.cli.screen import remark
from likely.cli.streams import lost_words
from likely.errors import UserError, commanded

DONE, OURS, YOURS, INTERRUPTED = 0, 1, 2, 130

# typer has brought its own click since 0.29: BadParameter is a UsageError is a ClickException, of either.
ClickError: Any = typer.BadParameter.__mro__[2]


def outcome(work: Callable[[], None], args: Sequence[str], *, debug: bool = False) -> int:
    """Runs a command; says what went wrong in one line, and returns the exit code."""
    debug = debug or os.environ.get("LIKELY_DEBUG", "") not in ("", "0")
    try:
        with commanded(), _quiet_warnings(debug), _terminated_like_interrupted():
            work()
        return DONE
    except typer.Exit as end:
        return end.exit_code
    except BaseException as error:
        if debug and sys.stderr is not None:
            traceback.print_exc()
        return _ended_by(error, args)


def said(code: int, args: Sequence[str]) -> int:
    """The exit code, once more: where words are all that a command makes, they have to be out.

    A reader who had enough (`likely models | head`) is no fault, and a file that was written is worth more than
    what would have been said of it.
    """
    if sys.stdout is not None:
        sys.stdout.flush()
    lost = lost_words()
    if code != DONE or lost is None:
        return code
    remark(f"likely: note: what it says could not be written: {lost.strerror or lost}")
    return DONE if _makes_a_file(args) else YOURS


def _makes_a_file(args: Sequence[str]) -> bool:
    plain = [each for each in args if not each.startswith("-")]
    words_only = not plain or plain[0] in ("data", "models") or {"--help", "-h", "--version"} & set(args)
    return not words_only and (plain[0] != "score" or any(each.startswith(("-o", "--out")) for each in args))


def _ended_by(error: BaseException, args: Sequence[str]) -> int:
    match error:
        case KeyboardInterrupt():
            return _fail(INTERRUPTED, str(error) or "interrupted; nothing was written")
        case ClickError():
            verb = next((each for each in args if not each.startswith("-")), "")
            return _fail(YOURS, f"{_plain(error)}; see likely {verb + ' ' if _is_verb(error) else ''}--help")
        case UserError():
            return _fail(YOURS, str(error))
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return _fail(
                YOURS, f"{where}{error.strerror or error}; check the path, its permissions and the space there"
            )
        case Exception():
            return _fail(OURS, f"a fault of ours, not yours: {_shown(error)}; please report it, with what --debug says")
    raise error


def _fail(code: int, message: str) -> int:
    remark(f"likely: {message}")
    return code


def _plain(error: Any) -> str:
    return str(error.format_message()).strip().rstrip(".")


def _is_verb(error: Any) -> bool:
    return getattr(error, "ctx", None) is not None and error.ctx.parent is not None


def _shown(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


@contextlib.contextmanager
def _quiet_warnings(debug: bool) -> Iterator[None]:
    """Warnings for the user come as one line each, those for programmers only when looking for faults."""

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if category is UserWarning or category.__module__.startswith("likely.") or debug:
            remark(f"likely: note: {message}")

    if not debug:  # of a home that cannot be written to, and of images that are refused anyway
        logging.getLogger("matplotlib").setLevel(logging.ERROR)
        logging.getLogger("PIL").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.showwarning = show
        yield


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Inside, SIGTERM ends things in the same good order as Ctrl-C."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not in the main thread
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
