"""What was not there at fit: which rows hold it, what was found, and what was expected."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from likely.data.checks import Place, show
from likely.data.source import Source
from likely.errors import DataError, option

N_LISTED, N_WARNED = 20, 3
"""A refusal lists so many cells, a warning so many rows."""

MEND = "correct them, fit again with rows like these, or leave {} out"
MEND_MISSING = "fill in what is missing, or choose a model that takes missing values (`likely models` lists them)"


@dataclass(frozen=True)
class Found:
    """Cells of one kind in some rows of a block: the i-th of them stands in row `rows[i]` and holds `values[i]`.

    Attributes:
        rows: (k,), rising.
        values: k of them; None where there is no value.
        expected: what was there at fit, in words.
        name: names the place of the i-th cell within its row.
        missing: whether the model lacks a value there that it cannot do without.
    """

    rows: np.ndarray
    values: Sequence[object]
    expected: str
    name: Callable[[int], str]
    missing: bool

    def reason(self, i: int) -> str:
        """What is new about a cell: "column "city": found 'Ulm', expected one of Bonn, Kiel"."""
        value = self.values[i]
        return f"{self.name(i)}: " + ("no value" if value is None else f"found {show(value)}, expected {self.expected}")

    def told(self, i: int) -> str:
        """A cell in a list of what is refused."""
        value = self.values[i]
        found = "no value" if value is None else show(value)
        return f"{self.name(i)}: found {found}, expected {self.expected}"


@dataclass(frozen=True)
class Unreadable(Found):
    """Rows that cannot be read: `values[i]` says why."""

    def reason(self, i: int) -> str:
        """Such as "is damaged or cut short; replace or remove it"."""
        return str(self.values[i])

    def told(self, i: int) -> str:
        """The same."""
        return str(self.values[i])


class Unseen:
    """What a block of n rows holds that the rows of fit did not.

    It is no reason to refuse a row: the model sees what it can of it, and the row is novel by definition.
    """

    def __init__(self, n: int) -> None:
        self.rows = np.zeros(n, dtype=bool)
        """(n,) whether a row holds such a value."""
        self.unanswerable = np.zeros(n, dtype=bool)
        """(n,) whether the model lacks a value of a row that it cannot do without, so that it has no answer."""
        self.unreadable = np.zeros(n, dtype=bool)
        """(n,) whether a row cannot be read at all; it is unanswerable, too."""
        self.found: list[Found] = []

    def note(
        self,
        rows: np.ndarray,
        values: Sequence[object],
        expected: str,
        name: str | Callable[[int], str],
        *,
        missing: bool = False,
        novel: bool = True,
    ) -> None:
        """Writes down what `rows` (k,), rising, hold: `values` (k,), where `expected` was expected.

        Args:
            rows: which; one may be there more than once.
            values: None where there is no value.
            expected: what was there at fit, in words.
            name: the column, or what names the place of the i-th of these cells within its row.
            missing: whether the model lacks a value there that it cannot do without.
            novel: whether such a value makes a row novel by itself; else it is but told.
        """
        if not len(rows):
            return
        if novel:
            self.rows[rows] = True
        if missing:
            self.unanswerable[rows] = True
        self.found.append(Found(rows, values, expected, name if callable(name) else lambda i: name, missing))

    def note_unreadable(self, reasons: Mapping[int, str]) -> None:
        """Writes down which rows cannot be read, and why: the model has no answer for them."""
        rows = np.array(sorted(reasons), np.int64)
        self.rows[rows] = self.unanswerable[rows] = self.unreadable[rows] = True
        self.found.append(Unreadable(rows, [reasons[row] for row in rows.tolist()], "", lambda i: "", True))

    def reasons(self) -> dict[int, str]:
        """What is new, in words, by row: the first of each row, what the model cannot do without before all else."""
        told: dict[int, str] = {}
        for each in sorted(self.found, key=lambda found: not found.missing):
            rows, firsts = np.unique(each.rows, return_index=True)
            for row, i in zip(rows.tolist(), firsts.tolist(), strict=True):
                if row not in told:
                    told[row] = each.reason(i)
        return told

    @property
    def n_cells(self) -> int:
        """How many cells there are."""
        return sum(len(each.rows) for each in self.found)

    def cells(self) -> Iterator[tuple[int, str]]:
        """The row of each cell and what it holds, in words, in the order of the rows."""
        found = [(row, kind, i) for kind, each in enumerate(self.found) for i, row in enumerate(each.rows.tolist())]
        for row, kind, i in sorted(found):
            yield row, self.found[kind].told(i)


class Refusal:
    """Cells that are refused: the first of them in words, and how many there are in all.

    Args:
        columns: what is refused of columns, in words.
    """

    def __init__(self, columns: Sequence[str] = ()) -> None:
        self.columns = list(columns)
        self.listed: list[str] = []
        self.n = self.n_missing = 0

    def add(self, unseen: Unseen, place: Place) -> None:
        """Adds the cells of a block whose row i is called place(i)."""
        self.n += unseen.n_cells
        self.n_missing += sum(sum(value is None for value in each.values) for each in unseen.found)
        for row, text in unseen.cells():
            if len(self.listed) == N_LISTED:
                return
            self.listed.append(f"{place(row)}, {text}")

    def check(self) -> None:
        """Raises a DataError that names the cells and columns, where there are any."""
        told = list(self.columns)
        if self.n:
            cells = "1 cell differs" if self.n == 1 else f"{self.n:,} cells differ"
            more = f"; and {self.n - len(self.listed):,} more" if self.n > len(self.listed) else ""
            told.append(f"{cells} from what was there at fit: {'; '.join(self.listed)}{more}")
        if told:
            strict = MEND.format(option("--strict", "strict=True"))
            mend = [MEND_MISSING] * (self.n_missing > 0) + [strict] * (self.n > self.n_missing or bool(self.columns))
            raise DataError("; ".join([*told, *mend]))


class Told:
    """What a warning says of rows that hold what was not there at fit: the first of them, and how many there are."""

    def __init__(self, seen_as: str = "the model answers by what it can see") -> None:
        self.kinds = [
            _Kind("is NaN, for it cannot be read", "are NaN, for they cannot be read"),
            _Kind("is NaN, for the model takes no missing values", "are NaN, for the model takes no missing values"),
            _Kind(f"holds what was not there at fit; {seen_as}", f"hold what was not there at fit; {seen_as}"),
        ]

    def add(self, unseen: Unseen, ids: np.ndarray, source: Source) -> None:
        """Adds a block of rows of a source, whose ids are `ids`."""
        if not unseen.found:
            return
        of_row = np.where(unseen.unreadable, 0, np.where(unseen.unanswerable, 1, 2))
        for row, reason in sorted(unseen.reasons().items()):
            kind = self.kinds[of_row[row]]
            kind.n += 1
            if len(kind.listed) < N_WARNED:
                kind.listed.append(f"{source.place(int(ids[row]))}, {reason}")

    def warn(self) -> None:
        """Warns of them, where there are any."""
        if told := [kind.told for kind in self.kinds if kind.n]:
            warnings.warn("; ".join(told), UserWarning, stacklevel=2)


@dataclass
class _Kind:
    """Rows of which the same is said: `one` of a single one, `more` of several."""

    one: str
    more: str
    n: int = 0
    listed: list[str] = field(default_factory=list)

    @property
    def told(self) -> str:
        rows = f"{self.n:,} row {self.one}" if self.n == 1 else f"{self.n:,} rows {self.more}"
        left = self.n - len(self.listed)
        return f"{rows}: {'; '.join(self.listed)}" + (f"; and {left:,} more" if left else "")
