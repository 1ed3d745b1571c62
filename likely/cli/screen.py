"""What a person sees: calm text on stdout, progress on stderr; without control codes where it is no terminal."""

import contextlib
import io
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from likely.cli.streams import Canvas
from likely.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

FIRST_LINE, EVERY = 1.0, 5.0
"""Seconds until the first line of progress, and between two lines, where there is no terminal to draw on."""

MIN_WIDTH, MAX_WIDTH = 40, 100
"""In columns: a narrower terminal wraps, and on a wider one lines would be too long to read."""


def console() -> "Console":
    """Where tables are drawn: as wide as the terminal within limits, 80 columns where there is none."""
    from rich.console import Console

    made = Console(file=_canvas(sys.stdout), highlight=False, markup=False, emoji=False)
    made.width = max(MIN_WIDTH, min(made.width, MAX_WIDTH))
    return made


def _canvas(stream: Any) -> Any:
    return Canvas(stream or io.StringIO())


def remark(text: str) -> None:
    """One line on stderr."""
    if sys.stderr is not None:  # to print, None is stdout
        with contextlib.suppress(OSError):
            print(" ".join(clean(text).split()), file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Prints a text as it is, however long its lines; nothing in it commands the terminal."""
    print(clean(text))


def title(text: str) -> None:
    """Starts a section."""
    say(f"\n{text}")


def facts(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and what there is to say of each, aligned; long texts hang below their beginning."""
    table([(clean(name), clean(text)) for name, text in pairs], fixed=1)


def table(
    rows: Sequence[Sequence[str]],
    *,
    head: Sequence[str] = (),
    fixed: int = 0,
    right: Sequence[int] = (),
    gap: int = 2,
) -> None:
    """Rows in aligned columns.

    Args:
        rows: of equal length.
        head: a name for each column.
        fixed: how many columns are never wrapped.
        right: which columns are numbers, and stand to the right.
        gap: blanks between two columns.
    """
    from rich.table import Table

    drawn = Table(box=None, show_header=bool(head), header_style="bold", pad_edge=False, padding=(0, gap, 0, 0))
    drawn.add_column(" " * (2 - gap))  # with the gap two blanks, that set a table off from its title
    for i in range(len(rows[0]) if rows else len(head)):
        name = head[i] if head else ""
        drawn.add_column(name, no_wrap=i < fixed, overflow="fold", justify="right" if i in right else "left")
    for row in rows:
        drawn.add_row("", *map(clean, row))
    if rows:
        draw(drawn)


def draw(what: Any) -> None:
    """Prints a table, or a text to be wrapped, without blanks at the ends of lines."""
    screen = console()
    with screen.capture() as captured:
        screen.print(clean(what) if isinstance(what, str) else what)
    for line in captured.get().split("\n")[:-1]:
        print(line.rstrip(), file=screen.file)


def clean(text: str) -> str:
    """Text that no terminal takes for a command: what cannot be printed is written out; lines stay lines."""
    return "\n".join(map(printable, text.split("\n")))


def duration(seconds: float) -> str:
    """Such as "0.4 s", "8 s", "3 min", "2.5 h"."""
    if seconds < 0.95:
        return f"{seconds:.1f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5940 else f"{seconds / 3600:.1f} h"


class Bar(Protocol):
    """Shows how far something is."""

    def update(
        self, done: float, total: float | None, note: str = "", *, doing: str = "", left: float | None = None
    ) -> None:
        """`done` of `total`, None where nobody knows; `left` in seconds, where that is known better than from both."""


@contextlib.contextmanager
def progress(doing: str) -> Iterator[Bar]:
    """Shows on stderr that something is under way, how far it is and how long it will take."""
    terminal = sys.stderr is not None and sys.stderr.isatty()
    with _drawn(doing) if terminal else _written(doing) as bar:
        yield bar


@contextlib.contextmanager
def _drawn(doing: str) -> Iterator[Bar]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    # A name such as [link=...] is no markup here either.
    what, note = (TextColumn(text, markup=False) for text in ("{task.description}", "{task.fields[note]}"))
    columns = (what, BarColumn(bar_width=20), note)
    screen = Console(file=_canvas(sys.stderr), highlight=False, markup=False, emoji=False)
    with Progress(*columns, console=screen, transient=True, refresh_per_second=4) as shown:
        yield _Drawing(shown, shown.add_task(clean(doing), total=None, note=""))


class _Drawing:
    def __init__(self, shown: Any, task: Any) -> None:
        self.shown, self.task, self.start = shown, task, time.monotonic()

    def update(
        self, done: float, total: float | None, note: str = "", *, doing: str = "", left: float | None = None
    ) -> None:
        named = {"description": clean(doing)} if doing else {}
        text = ", ".join(filter(None, (remaining(self.start, done, total, left), note)))
        self.shown.update(self.task, completed=done, total=total, note=clean(text), **named)


@contextlib.contextmanager
def _written(doing: str) -> Iterator[Bar]:
    yield _Lines(doing)


class _Lines:
    def __init__(self, doing: str) -> None:
        self.doing, self.start = doing, time.monotonic()
        self.next, self.silent = self.start + FIRST_LINE, True

    def update(
        self, done: float, total: float | None, note: str = "", *, doing: str = "", left: float | None = None
    ) -> None:
        now = time.monotonic()
        self.doing = doing or self.doing
        if now < self.next and not (total is None and self.silent):
            return
        self.next, self.silent = now + EVERY, False
        far = "" if not total else f"{done:,.0f} of {total:,.0f}"
        text = ", ".join(filter(None, (far, remaining(self.start, done, total, left), note)))
        remark(f"{self.doing}: {text}".rstrip(": "))


def remaining(start: float, done: float, total: float | None, left: float | None) -> str:
    """How long it still takes: as given, or as the part that is done took; nothing while there is no telling."""
    if left is None and total and 0 < done < total:
        left = (time.monotonic() - start) * (total - done) / done
    return "" if left is None else f"{duration(left)} left"
