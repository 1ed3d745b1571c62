"""How a text file is to be read, told from all of its columns: what one does not tell, others may."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from likely.data.cell_kinds import Found, find_kind
from likely.data.marks import CURRENCIES, Marks
from likely.data.reading import Cells, Reading, filled
from likely.errors import option

_SHOWN = 5
_GROUPED = r"^[+\-]?(?:[1-9][0-9]{0,2}(?:\.[0-9]{3})+|[0-9]{1,3})$"
"""Numbers that may have points between thousands."""
_NO_CENTS = "₩￦원¥￥円"
"""Money that is counted in whole numbers: what stands before three digits tells thousands apart."""


def infer_reading(cells: pa.Table, like: Reading = Reading()) -> tuple[Reading, tuple[str, ...]]:
    """How a table of text is to be read.

    Args:
        cells: n rows of text.
        like: what is known already: words that mean missing, the delimiter, and columns that are read as before; one
            of kind "number" holds numbers, however they are written.

    Returns:
        The reading, and what a reader should know of it, one line each.
    """
    known = {each.name: each for each in like.columns if each.kind != "number"}
    numeric = {each.name for each in like.columns if each.kind == "number"}
    found = {
        name: find_kind(name, cells.column(name), like.missing) for name in cells.column_names if name not in known
    }
    settled, guesses = _settled(found, cells, like.delimiter)
    notes = [*_told(settled.values()), *guesses, *(each.note for each in found.values() if each.note)]
    notes += [_odd_told(each, cells.column(each.name), like.missing) for each in settled.values() if each.odd]
    for name in numeric & settled.keys():
        settled[name] = settled[name] if settled[name].is_number else Cells(name, "real")
    settled = _with_thousands(settled)
    columns = tuple(known.get(name) or settled[name] for name in cells.column_names)
    return replace(like, columns=columns), tuple(notes)


def _settled(found: Mapping[str, Found], cells: pa.Table, delimiter: str) -> tuple[dict[str, Cells], list[str]]:
    """The columns, each with one way to write its numbers, and the guesses among them in words."""
    evidence, doubtful = _evidence(found, cells)
    settled, guesses = {}, []
    for name, each in found.items():
        ways = (Marks(), Marks(",", ".")) if name in doubtful else (Marks(),) if Marks() in each.ways else each.ways
        if each.cells.is_number and len(ways) > 1:
            usual = _usual_decimal(ways[0].unit, delimiter)
            chosen = max(ways, key=lambda way: (_support(way, evidence), way.decimal == usual))
            kind = "whole" if chosen != each.cells.marks else each.cells.kind
            each = replace(each, cells=replace(each.cells, marks=chosen, kind=kind))
            if chosen.unit not in _NO_CENTS or not chosen.unit:
                guesses.append(_guess_told(each, chosen, cells.column(name)))
        settled[name] = each.cells
    return settled, guesses


def _usual_decimal(unit: str, delimiter: str) -> str:
    """The mark of decimals where nothing else tells: commas are not told apart from those between cells; of money,
    three digits stand after a mark of thousands."""
    return "." if delimiter == "," or (unit and unit in CURRENCIES) else ","


def _evidence(found: Mapping[str, Found], cells: pa.Table) -> tuple[Counter[tuple[str, str]], set[str]]:
    """How many columns tell which marks, and which columns of points might have them between thousands."""
    numbers = {name: each for name, each in found.items() if each.cells.is_number}
    evidence: Counter[tuple[str, str]] = Counter()
    for each in numbers.values():
        if len(each.ways) == 1 and not each.ways[0].plain:
            evidence["decimal", each.ways[0].decimal] += 1
            evidence["thousands", each.ways[0].thousands] += 1
    pointed = {name for name, each in numbers.items() if Marks() in each.ways and each.cells.kind == "real"}
    others_say = evidence["decimal", ","] > 0
    doubtful = {name for name in pointed if others_say and _grouped(cells.column(name), numbers[name].cells.odd)}
    evidence["decimal", "."] += len(pointed - doubtful)
    return evidence, doubtful


def _support(way: Marks, evidence: Mapping[tuple[str, str], int]) -> int:
    """How many columns are written this way, less those that use its marks otherwise."""
    against = evidence["thousands", way.decimal] + evidence["decimal", way.thousands]
    return evidence["decimal", way.decimal] + (evidence["thousands", way.thousands] if way.thousands else 0) - against


def _grouped(text: pa.ChunkedArray, odd: Sequence[str]) -> bool:
    fits = pc.match_substring_regex(filled(text, odd), _GROUPED)
    return pc.all(fits).as_py() is True


def _with_thousands(settled: Mapping[str, Cells]) -> dict[str, Cells]:
    """What stands between thousands in one column may do so in another, whose numbers are small until now."""
    marks = Counter((each.marks.decimal, each.marks.thousands) for each in settled.values() if each.marks.thousands)
    usual = {decimal: thousands for (decimal, thousands), _ in reversed(marks.most_common())}
    result = {}
    for name, each in settled.items():
        thousands = usual.get(each.marks.decimal, "") if each.is_number else ""
        small = not each.marks.thousands and thousands
        result[name] = replace(each, marks=replace(each.marks, thousands=thousands)) if small else each
    return result


def _told(settled: Iterable[Cells]) -> list[str]:
    """Which columns hold numbers that are not written plainly."""
    columns: dict[str, list[str]] = {}
    for each in settled:
        if each.is_number and each.marks.told():
            columns.setdefault(each.marks.told(), []).append(each.name)
    return [f"{_listed(names)}: {told}" for told, names in columns.items()]


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f'"{name}"' for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"{'column' if len(names) == 1 else 'columns'} {shown}{more}"


def _guess_told(found: Found, chosen: Marks, text: pa.ChunkedArray) -> str:
    example = found.example or next(each for each in filled(text).to_pylist() if each and "." in each)
    other = next(
        way for way in (Marks(",", "."), Marks(".", ","), Marks(","), Marks()) if _differs(way, chosen, example)
    )
    read, else_ = (_plain(way, example) for way in (chosen, other))
    longer = re.sub(r"([0-9])([^0-9]*)$", r"\g<1>0\2", example)
    mend = f"if it means {else_}, write it as {longer if '.' in else_ else else_!r} in the file"
    return f'column "{found.cells.name}": {example!r} is read as {read}, which is a guess; {mend}'


def _differs(way: Marks, chosen: Marks, example: str) -> bool:
    way = replace(way, unit=chosen.unit)
    return bool(way.match(pa.array([example]))[0].as_py()) and _plain(way, example) != _plain(chosen, example)


def _plain(way: Marks, example: str) -> str:
    return str(way.plainly(pa.array([example]))[0])


def _odd_told(cells: Cells, text: pa.ChunkedArray, missing: Sequence[str]) -> str:
    text = filled(text, missing)
    told = []
    for word in cells.odd:
        rows = pc.sum(pc.equal(text, word)).as_py()
        more = f" (and {rows - 1:,} more)" if rows > 1 else ""
        told.append(f"{word[:40]!r} in row {pc.index(text, word).as_py()}{more}")
    is_no = "is no number and is" if len(told) == 1 else "are no numbers and are"
    words = " ".join(f'--missing "{word[:40]}"' for word in cells.odd[:3])
    mend = f"{option(words, f'missing={list(cells.odd[:3])!r}')} says the same, or correct the file"
    return f'column "{cells.name}": {", ".join(told)} {is_no} taken for missing; {mend}'
