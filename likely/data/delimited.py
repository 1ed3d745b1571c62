"""Delimited text files (CSV and its kin): bytes to cells of text, with every line named that does not fit."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from likely.data.column import MAX_COLUMNS
from likely.data.encodings import Text, decoded, read_text
from likely.data.endings import has_tabs
from likely.data.unpacking import unpacked
from likely.errors import DataError

DELIMITERS = ",;\t|"
"""In the order in which they are taken where several fit as well."""

BLOCK_BYTES = 2**24
_SAMPLE_LETTERS, _SAMPLE_ROWS = 2**16, 50
_SHOWN = 10


@dataclass(frozen=True)
class Delimited:
    """A text file of rows of cells.

    Attributes:
        name: what the user typed.
        text: of the file.
        delimiter: what stands between cells.
        header: the names of the columns as they are written.
        before: how many lines stand before the header: blank ones, and Excel's `sep=;`.
    """

    name: str
    text: Text
    delimiter: str
    header: tuple[str, ...]
    before: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """As `column_names` of the header."""
        return column_names(self.header)

    @property
    def schema(self) -> pa.Schema:
        """The names, and that all cells are text."""
        return pa.schema([(name, pa.string()) for name in self.names])

    def blocks(self) -> Iterator[pa.Table]:
        """The rows, some at a time: every cell as the text it is, "" where nothing stands.

        Raises:
            DataError: naming the lines that have more or fewer cells than the header, or a quote that is never closed.
        """
        odd = False

        def skip(row: object) -> str:
            nonlocal odd
            odd = True
            return "skip"

        numbers = [str(i) for i in range(len(self.header))]
        try:
            reader = pa.csv.open_csv(
                self.text.open(),
                read_options=pa.csv.ReadOptions(
                    column_names=numbers, skip_rows=self.before, skip_rows_after_names=1, block_size=BLOCK_BYTES
                ),
                parse_options=pa.csv.ParseOptions(
                    delimiter=self.delimiter,
                    newlines_in_values=self.text.quoted,
                    ignore_empty_lines=len(numbers) > 1,
                    invalid_row_handler=skip,
                ),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(numbers, pa.string()), null_values=[], strings_can_be_null=False
                ),
            )
            for batch in reader:
                if not odd:
                    yield pa.table(batch.columns, names=list(self.names))
        except pa.ArrowInvalid as error:
            self._check_rows(str(error).splitlines()[0])
        if odd:
            self._check_rows("rows of other lengths")

    def cells(self) -> pa.Table:
        """All rows; as `blocks`."""
        return pa.concat_tables([self.schema.empty_table(), *self.blocks()])

    def _check_rows(self, reason: str) -> None:
        """Names the lines that do not fit, the first ten by number; Arrow's reason where there is none."""
        expected, odd, open_at, n_rows = len(self.header), [], 0, 0
        for line, n_cells in row_lengths(self.text.lines(), self.delimiter):
            if line <= self.before + 1:
                continue
            n_rows += 1
            if n_cells is None:
                open_at = line
            elif n_cells != expected:
                odd.append((line, n_cells))
        problems = []
        if odd:
            shown = ", ".join(f"line {line}: found {_values(n)}" for line, n in odd[:_SHOWN])
            more = f" and {len(odd) - _SHOWN:,} more lines" if len(odd) > _SHOWN else ""
            mend = f"mend {'that line' if len(odd) == 1 else 'those lines'}"
            quotes = f"a value that holds {self.delimiter!r} needs quotes"
            problems.append(f"{shown}{more}, expected {expected} as in the header; {mend} ({quotes})")
        if open_at:
            problems.append(f"line {open_at}: found a quote that is never closed; close it, or write two for one")
        if problems:
            raise DataError(f"{self.name}, {'; '.join(problems)}")
        if n_rows:  # a header alone is no rows, and no fault
            raise DataError(f"{self.name} cannot be read as CSV ({reason}); save it again")


def column_names(header: Sequence[str]) -> tuple[str, ...]:
    """Names without blanks around them; a column without a name is called by its number, from 1."""
    return tuple(each.strip() or f"column {i}" for i, each in enumerate(header, 1))


def _values(n: int) -> str:
    return f"{n} value" + ("s" if n != 1 else "")


def open_delimited(path: Path, name: str, usual: str = "") -> Delimited:
    """A file of cells, packed or not; `usual` is the encoding that such files were in before.

    Raises:
        DataError: naming all that is wrong with encoding and header.
    """
    packed = name.lower().endswith(".gz") or path.suffix.lower() == ".gz"
    text = decoded(unpacked(path, name), name, usual) if packed else read_text(path, name, usual)
    return as_delimited(text, name)


def as_delimited(text: Text, name: str) -> Delimited:
    """The same of text: its delimiter is what Excel's line `sep=;` says, or what fits the first rows best."""
    sample = text.lines().read(_SAMPLE_LETTERS)
    before = re.match(r'\n*(?:"?sep=(.)"?\n+)?', sample)
    assert before is not None  # it matches nothing, too
    n_before = before[0].count("\n")
    rows = sample[before.end() :]
    delimiter = before[1] or ("\t" if has_tabs(name) and "\t" in rows.split("\n", 1)[0] else _fitting(rows))
    try:
        header = next(csv.reader(islice(text.lines(), n_before, None), delimiter=delimiter), [])
    except csv.Error as error:
        raise DataError(f"{name}, line 1: the header cannot be read ({error}); mend it or save it again") from None
    check_header(header, name)
    if len(header) > MAX_COLUMNS:
        raise DataError(f"{name}: found {len(header):,} columns, expected at most {MAX_COLUMNS:,}; leave some out")
    return Delimited(name, text, delimiter, tuple(header), n_before)


def _fitting(sample: str) -> str:
    """The delimiter that most rows hold as often as the first does; if several, the one it holds most often."""
    rows = {each: _first_rows(sample, each) for each in DELIMITERS}

    def fit(delimiter: str) -> tuple[bool, float, int]:
        sizes = [len(row) for row in rows[delimiter]]
        n = sizes[0] if sizes else 0
        return n > 1, sizes.count(n) / max(1, len(sizes)), n

    return max(DELIMITERS, key=fit)


def _first_rows(sample: str, delimiter: str) -> list[list[str]]:
    lines = [f"{line}\n" for line in sample.split("\n")]  # splitlines breaks them at U+2028 and form feeds, too
    lines = lines[:-1] if len(sample) >= _SAMPLE_LETTERS and len(lines) > 1 else lines
    try:
        return list(islice((row for row in csv.reader(lines, delimiter=delimiter) if row), _SAMPLE_ROWS))
    except csv.Error:
        return []


def row_lengths(lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, int | None]]:
    """The number of the first line of each row, and how many cells it has; None of one that never ends.

    Blank lines are left out. Lines are counted as an editor does, from 1.
    """
    row, start = "", 0
    for number, line in enumerate(lines, 1):
        if not row:
            start = number
        row += line
        if row.count('"') % 2 == 0:
            if row != "\n":
                yield start, re.sub(r'"[^"]*"', "", row).count(delimiter) + 1
            row = ""
    if row:
        yield start, None


def check_header(header: Sequence[str], name: str) -> None:
    """All that is wrong with the names of the columns, at once."""
    if not header:
        raise DataError(f"{name} is empty; expected a header line with the names of the columns, then rows")
    if all(_is_number(cell) for cell in header) and not _is_count(header):
        first = ", ".join(header[:3])
        raise DataError(f"{name}, line 1: found numbers ({first}), expected names; add a header line on top")
    twice = [each for each, count in Counter(cell.strip() for cell in header).items() if count > 1 and each]
    if twice:
        raise DataError(f"{name}: {duplicates_text(twice)}")


def duplicates_text(names: Sequence[str]) -> str:
    """That columns share a name, and what mends it."""
    shown = ", ".join(f'"{each}"' for each in names[:5])
    more = f" and {len(names) - 5:,} others" if len(names) > 5 else ""
    return f"found more than one column named {shown}{more}, expected unique names; rename them"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_count(header: Sequence[str]) -> bool:
    """Whether the names just count the columns, as those of a DataFrame that was given none do."""
    return list(header) in ([str(i + start) for i in range(len(header))] for start in (0, 1))
