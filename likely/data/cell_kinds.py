"""What the cells of one column of a text file are: numbers and how they are written, true and false, or text."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from likely.data.marks import UNITS, WAYS, Marks
from likely.data.reading import Cells, filled, plain_numbers
from likely.errors import option

MAX_WHOLE = 2**53
"""Whole numbers beyond are names, not quantities: float64 does not tell them apart."""
ODD_SHARE, MAX_ODD = 0.05, 5
"""So few different words, in at most this share of the cells, are taken for missing among numbers."""
FEW_NUMBERS = 20
"""More different numbers than these are no categories, however often a word that means missing stands among them."""
MISSING_WORDS = ("na", "n/a", "#n/a", "nan", "null", "none", "nil", "missing", "-", "--", "?", ".", "#null!", "#value!")
"""Words that mean missing where all else are numbers; in a column of text they are what they say."""

_SAMPLE = 1_000
_CODE = r"^[+\-]?0[0-9]+$"
"""Leading zeros: a code, not a number."""
_WHOLE = r"^[+\-]?[0-9]+$"


@dataclass(frozen=True)
class Found:
    """What one column is.

    Attributes:
        cells: how it is read, as far as it tells by itself.
        ways: the ways that its numbers can be written in, the likeliest first; several where it does not tell which.
        example: a number that these ways read otherwise.
        note: what a reader should know of it.
    """

    cells: Cells
    ways: tuple[Marks, ...] = ()
    example: str = ""
    note: str = ""


def find_kind(name: str, text: pa.ChunkedArray, missing: Sequence[str] = ()) -> Found:
    """What a column of text (n,) is.

    Args:
        name: of the column.
        text: its cells.
        missing: words that mean missing.
    """
    if (kind := _plain_kind(text)) is not None:
        return Found(Cells(name, kind), (Marks(),))
    numbers = plain_numbers(text, "whole")
    if numbers is None:
        text = filled(text, missing)
        numbers = plain_numbers(text, "whole")
    if numbers is None:
        return _Column(name, text).found()
    return Found(Cells(name, _kind_of(numbers, text)), (Marks(),))


def _plain_kind(text: pa.ChunkedArray) -> str | None:
    """ "whole" or "real" where each piece of a column shows it by itself; None where only the whole column tells."""
    kinds = set()
    for chunk in text.chunks if text.num_chunks > 1 else []:
        piece = pa.chunked_array([chunk])
        numbers = plain_numbers(piece, "whole")
        if numbers is None or (kind := _kind_of(numbers, piece)) == "text" or _beyond(numbers):
            return None
        kinds.add(kind)
    return max(kinds, key=("whole", "real").index) if kinds else None


def _beyond(numbers: pa.ChunkedArray) -> bool:
    return bool(pc.any(pc.greater(pc.abs(numbers.cast(pa.float64(), safe=False)), float(MAX_WHOLE))).as_py())


def _kind_of(numbers: pa.ChunkedArray, text: pa.ChunkedArray) -> str:
    """Of cells that all are numbers: "text" where they are codes, or whole numbers past what numbers can hold."""
    if numbers.null_count == len(numbers) or _holds_codes(text):
        return "text"
    ends = pc.min_max(numbers)
    if max(abs(ends["min"].as_py()), abs(ends["max"].as_py())) > MAX_WHOLE:
        beyond = pc.greater(pc.abs(numbers.cast(pa.float64(), safe=False)), float(MAX_WHOLE))
        whole = pc.and_(beyond, pc.match_substring_regex(text, _WHOLE))
        if pc.sum(whole).as_py() > ODD_SHARE * (len(numbers) - numbers.null_count):
            return "text"
    return "whole" if pa.types.is_integer(numbers.type) else "real"


def _holds_codes(text: pa.ChunkedArray) -> bool:
    if len(text) > _SAMPLE:  # a regular expression takes longer than all else here: it sees what begins as a code does
        starts = [pc.starts_with(text, start) for start in ("0", "-0", "+0")]
        text = text.filter(pc.or_(starts[0], pc.or_(starts[1], starts[2])))
    return pc.any(pc.match_substring_regex(text, _CODE)).as_py() is True


class _Column:
    """A column that does not hold numbers alone as programs write them: its different cells, and how often each."""

    def __init__(self, name: str, text: pa.ChunkedArray) -> None:
        self.name, self.text = name, text
        found = pc.value_counts(text.drop_null())
        self.values, self.counts = found.field("values"), found.field("counts").to_numpy()
        self._fits: dict[Marks, np.ndarray] = {}

    def found(self) -> Found:
        """What it is."""
        as_text = Found(Cells(self.name))
        if not len(self.values):
            return as_text
        if set(pc.utf8_lower(self.values).unique().to_pylist()[:3]) <= {"true", "false"} and len(self.values) <= 12:
            return Found(Cells(self.name, "truth"))
        some = self._some()
        units = [unit for unit in UNITS if pc.any(pc.match_substring(some, unit)).as_py()]
        likely = self._ways(some, [replace(way, unit=unit) for unit in ["", *units] for way in WAYS], 0.9)
        likely = [way for way in likely if way.may_occur(self.values)]
        ways = self._ways(self.values, likely) if likely else []
        if not ways:
            return as_text
        matched = self._matched(ways[0])
        share = self.counts[matched].sum() / self.counts.sum()
        if not self._mostly_numbers(matched, share):
            return replace(as_text, note=self._why_text(matched, share))
        return self._as_numbers(_different(ways, self.values), matched)

    def _some(self) -> pa.Array:
        """Enough different cells to tell that they are no numbers."""
        step = max(1, len(self.values) // _SAMPLE)
        return self.values.take(pa.array(np.arange(0, len(self.values), step)))

    def _ways(self, values: pa.Array, ways: Sequence[Marks], share: float = 1.0) -> list[Marks]:
        """Those of the ways that read most of some cells as numbers, or at least a share of that."""
        if values is self.values:
            fits = {way: int(self.counts[self._matched(way)].sum()) for way in ways}
        else:
            fits = {way: int(_flags(way.match(values)).sum()) for way in ways}
        best = max(fits.values())
        return [way for way, fit in fits.items() if best and fit >= share * best]

    def _matched(self, way: Marks) -> np.ndarray:
        if way not in self._fits:
            self._fits[way] = _flags(way.match(self.values))
        return self._fits[way]

    def _mostly_numbers(self, matched: np.ndarray, share: float) -> bool:
        """Whether what is no number is rare, or a word that means missing."""
        n_odd, n = int((~matched).sum()), int(self.counts.sum())
        if n_odd <= MAX_ODD and (share >= 1 - ODD_SHARE or (n >= 10 and self.counts[~matched].sum() == 1)):
            return True
        odd = self._odd(matched)
        known = n_odd <= len(MISSING_WORDS) and all(word.lower() in MISSING_WORDS for word in odd)
        return known and (int(matched.sum()) > FEW_NUMBERS or all(word.lower() == "nan" for word in odd))

    def _odd(self, matched: np.ndarray) -> list[str]:
        """Cells that are no numbers, the most frequent first; at most as many as can be remembered."""
        odd = np.flatnonzero(~matched)
        odd = odd[np.argsort(-self.counts[odd], kind="stable")][: len(MISSING_WORDS) + 1]
        words: list[str] = self.values.take(pa.array(odd)).to_pylist()
        return words

    def _as_numbers(self, ways: list[Marks], matched: np.ndarray) -> Found:
        numbers = self.values.filter(pa.array(matched))
        plain = pa.chunked_array([ways[0].plainly(numbers)])
        finite = plain_numbers(plain, "whole")
        kind = "real" if finite is None else _kind_of(finite, plain)
        if kind == "text":
            return Found(Cells(self.name))
        if len(ways) > 1 and pc.any(pc.match_substring_regex(numbers, "^[^.,]*[0-9]{4}")).as_py():
            ways = sorted(
                ways, key=lambda way: bool(way.thousands)
            )  # "1234" stands there: thousands are not told apart
        return Found(Cells(self.name, kind, ways[0], tuple(self._odd(matched))), tuple(ways), self._example(numbers))

    def _example(self, numbers: pa.Array) -> str:
        """A number with a mark in it."""
        marked = numbers.filter(pc.match_substring_regex(numbers, "[.,]"))
        return str(marked[0]) if len(marked) else ""

    def _why_text(self, matched: np.ndarray, share: float) -> str:
        """Of a column of text that holds numbers mostly: which words make it text."""
        if share < 0.5 or int(matched.sum()) <= FEW_NUMBERS:
            return ""
        odd = self._odd(matched)
        row = pc.index(self.text, odd[0]).as_py()
        shown = odd[0][:40]
        more = f" and {int((~matched).sum()) - 1:,} others" if len(odd) > 1 else ""
        found = f"{self.counts[matched].sum():,} of {self.counts.sum():,} cells are numbers, but not {shown!r}{more}"
        told = option(f'--missing "{shown}"', f"missing=[{shown!r}]")
        mend = f"{told} if that means missing, or correct the file"
        return f'column "{self.name}" is read as text: {found} (row {row}): {mend}'


def _different(ways: Sequence[Marks], values: pa.Array) -> list[Marks]:
    """One of the ways that read the same cells as the same numbers."""
    if len(ways) == 1:
        return [*ways]
    different: dict[bytes, Marks] = {}
    for way in ways:
        fit = _flags(way.match(values))
        different.setdefault(fit.tobytes() + _numbers(values.filter(pa.array(fit)), way).tobytes(), way)
    return list(different.values())


def _flags(found: pa.Array) -> np.ndarray:
    flags: np.ndarray = found.to_numpy(zero_copy_only=False).astype(bool)
    return flags


def _numbers(text: pa.Array, way: Marks) -> np.ndarray:
    numbers: np.ndarray = way.plainly(text).cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers
