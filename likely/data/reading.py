"""How the cells of a text file are read: learned once at fit, kept with the schema, and used for every later file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from likely.data.marks import Marks

_SAMPLE = 100
TRUTH = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
"""What stands for true and false in a column of them, in small letters."""


@dataclass(frozen=True)
class Cells:
    """How the cells of one column are read."""

    name: str
    kind: str = "text"
    """ "whole", "real", "truth" (true and false) or "text"; "number" where only that is known."""
    marks: Marks = Marks()
    """How its numbers are written."""
    odd: tuple[str, ...] = ()
    """Words that stood among its numbers and are taken for missing."""

    @property
    def is_number(self) -> bool:
        """Whether it holds numbers."""
        return self.kind in ("whole", "real", "number")


@dataclass(frozen=True)
class Reading:
    """How a text file was read."""

    columns: tuple[Cells, ...] = ()
    """Of all columns of the file, those too that no model sees."""
    missing: tuple[str, ...] = ()
    """Words that mean that a cell is empty, in any column."""
    delimiter: str = ","
    encoding: str = "utf-8"

    @property
    def by_name(self) -> Mapping[str, Cells]:
        """The columns by name."""
        return {cells.name: cells for cells in self.columns}


@dataclass(frozen=True)
class Typed:
    """Cells of a column as values.

    Attributes:
        values: null where missing; numbers, true and false, or text; text, too, where a cell is not of the column's
            kind: then numbers stand as "-1234.5", true and false as "true" and "false", and such cells as they are.
        fits: whether all cells are of the column's kind.
    """

    values: pa.ChunkedArray
    fits: bool = True


def typed_table(cells: pa.Table, reading: Reading) -> pa.Table:
    """A table of text as a table of values.

    Args:
        cells: n rows of text.
        reading: of all of its columns.

    Returns:
        n rows with the same names.
    """
    known = reading.by_name
    columns = [typed(cells.column(name), known[name], reading.missing).values for name in cells.column_names]
    return pa.table(columns, names=cells.column_names)


def retyped(table: pa.Table, reading: Reading) -> pa.Table:
    """A table that has types of its own, its columns of text as values where they are known to be no text."""
    known = reading.by_name
    for i, column in enumerate(table.schema):
        cells = known.get(column.name)
        if cells is not None and cells.kind != "text" and _is_text(column.type):
            values = typed(table.column(i).cast(pa.string()), cells, reading.missing).values
            table = table.set_column(i, column.name, values)
    return table


def blanked(table: pa.Table, missing: Sequence[str]) -> pa.Table:
    """A table without the words, and the numbers, that mean missing."""
    if not missing:
        return table
    numbers = [float(word) for word in missing if _is_number(word)]
    for i, column in enumerate(table.schema):
        values = table.column(i)
        if _is_text(column.type):
            found = pc.is_in(
                pc.utf8_trim_whitespace(values.cast(pa.string())), value_set=pa.array(missing, pa.string())
            )
        elif numbers and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
            found = pc.is_in(values.cast(pa.float64(), safe=False), value_set=pa.array(numbers, pa.float64()))
        else:
            continue
        table = table.set_column(i, column, pc.if_else(found, pa.scalar(None, column.type), values))
    return table


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def typed(text: pa.ChunkedArray, cells: Cells, missing: Sequence[str] = ()) -> Typed:
    """The cells (n,) of a column as values."""
    # Where decimals have a point, what programs read as a number is that number, thousands told apart or not.
    plain = cells.is_number and cells.marks.decimal == "." and not cells.marks.unit
    if plain and (numbers := plain_numbers(text, cells.kind)) is not None:
        return Typed(numbers)
    text = filled(text, [*missing, *(cells.odd if cells.is_number else ())])
    if cells.kind == "truth":
        return _truths(text)
    return _numbers(text, cells) if cells.is_number else Typed(text)


def filled(text: pa.ChunkedArray, missing: Sequence[str] = ()) -> pa.ChunkedArray:
    """Cells without blanks around them; null where nothing stands, or a word that means missing."""
    trimmed = pc.utf8_trim_whitespace(text)
    words = pa.array(["", *missing], pa.string())
    return pc.if_else(pc.is_in(trimmed, value_set=words), pa.scalar(None, pa.string()), trimmed)


def plain_numbers(text: pa.ChunkedArray, kind: str = "real") -> pa.ChunkedArray | None:
    """Cells as numbers where each is a finite one, as programs write it, or empty; None else."""
    text = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    if kind == "whole" and (whole := _as(pa.int64(), text)) is not None:
        return whole
    numbers = _as(pa.float64(), text)
    return numbers if numbers is not None and pc.all(pc.is_finite(numbers)).as_py() is not False else None


def _as(kind: pa.DataType, text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Cells as numbers of a type; None where one is none."""
    try:
        text.slice(0, _SAMPLE).cast(kind)  # Arrow tries all cells, and takes long for each that is none
        return text.cast(kind)
    except pa.ArrowInvalid:
        return None


def _truths(text: pa.ChunkedArray) -> Typed:
    small = pc.utf8_lower(text)
    found = pc.index_in(small, value_set=pa.array(list(TRUTH)))
    values = pa.array(list(TRUTH.values())).take(found.combine_chunks())
    if values.null_count == text.null_count:
        return Typed(pa.chunked_array([values]))
    words = pc.if_else(values, "true", "false")
    return Typed(pa.chunked_array([pc.coalesce(words, text.combine_chunks())]), fits=False)


def _numbers(text: pa.ChunkedArray, cells: Cells) -> Typed:
    marks = cells.marks
    matched = marks.match(text)
    if not marks.thousands and pc.all(matched).as_py() is False:
        marks = _with_thousands(marks, text)
        matched = marks.match(text)
    plain = marks.plainly(text)
    if pc.all(matched).as_py() is not False:
        return Typed(_cast(plain, cells.kind))
    return Typed(pc.if_else(matched, plain, text), fits=False)


def _with_thousands(marks: Marks, text: pa.ChunkedArray) -> Marks:
    """The marks with one between thousands, where a cell can be nothing else: "1.234,5" beside a decimal comma."""
    more = replace(marks, thousands="," if marks.decimal == "." else ".")
    certain = pc.match_substring_regex(text, rf"[{more.thousands}][0-9]{{3}}[,.][0-9]")
    return more if pc.any(pc.and_(certain, more.match(text))).as_py() else marks


def _cast(plain: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    whole = _as(pa.int64(), plain) if kind == "whole" else None  # a later file may hold fractions
    return plain.cast(pa.float64()) if whole is None else whole


def as_written(numbers: np.ndarray, cells: Cells) -> list[str]:
    """Numbers (n,) as this column writes them: the inverse of `typed`, but for what stands between thousands."""
    texts = [f"{number:.0f}" if number == np.rint(number) else repr(float(number)) for number in numbers]
    texts = [text.replace(".", cells.marks.decimal) for text in texts]
    return [text + "%" for text in texts] if cells.marks.unit == "%" else texts
