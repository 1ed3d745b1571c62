"""Columns that say nothing to a model of what rows are like: identifiers, dates, free text, empty ones."""

import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from likely.data.column import MAX_CATEGORIES, MAX_CATEGORY_LETTERS
from likely.data.rounding import LARGEST_EXACT
from likely.data.tabular import as_text, is_text, number_of
from likely.errors import option, quoted

MIN_ROWS = 20
"""Of fewer values nobody can say that they differ in every row, and not by chance."""

ONCE_SHARE = 0.5
"""Text that stands there once in more rows than this share names rows, and no categories."""

DENSE = 1.2
"""Whole numbers, all different, are numbers of rows if they leave out at most a sixth of what lies between."""

BEYOND_SHARE = 0.05
"""Fewer whole numbers beyond what float64 tells apart are slips, or mean missing."""

LONG = 40
"""Text of more letters on average is free text."""

_NAMED = re.compile(
    r"(^|[^a-zA-Z])(?i:id|ids|uid|uuid|guid|key|idx|serial|no|nr|code)$|[a-z](ID|Id|Key|Code|No)$|(번호|아이디|식별자)$"
)
_CLOCK = r"([01]?[0-9]|2[0-4])[:시h] ?[0-5][0-9]([:분] ?[0-5][0-9]([.,][0-9]+)?초?)?( ?[AaPp]\.?[Mm]\.?)?"
_ZONE = r"( ?(Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?"
_MONTH = r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\.?"
_DAY, _OF_YEAR, _YEAR = "(0?[1-9]|[12][0-9]|3[01])", "(0?[1-9]|1[0-2])", "[12][0-9]{3}"
_DATES = (
    rf"{_YEAR}[-/]{_OF_YEAR}([-/]{_DAY})?",
    rf"{_YEAR}\. ?{_OF_YEAR}\. ?{_DAY}\.?",
    rf"({_DAY}[-/.]{_OF_YEAR}|{_OF_YEAR}[-/.]{_DAY})[-/.]({_YEAR}|[0-9]{{2}})",
    rf"{_DAY}[- ]{_MONTH},?[- ]({_YEAR}|[0-9]{{2}})",
    rf"{_MONTH} ({_DAY},? )?{_YEAR}",
    rf"{_YEAR}년 ?{_OF_YEAR}월( ?{_DAY}일)?",
    rf"{_YEAR}-?[Qq][1-4]",
    rf"{_YEAR}-W[0-9]{{2}}(-[1-7])?",
)
_WHEN = rf"^(({'|'.join(_DATES)})([T ]+{_CLOCK}{_ZONE})?|{_CLOCK}{_ZONE})$"
_NOT_YEAR = r"[-/.:년시h ]|[Qq]"
"""What a date has beside digits: 2024 alone is a number."""


@dataclass(frozen=True)
class Aside:
    """A column that no model sees. It goes as it is to where rows come back whole.

    Attributes:
        name: of the column.
        kind: "identifier", "date", "text", "empty" or "nested".
        why: in words.
    """

    name: str
    kind: str
    why: str


def set_aside(name: str, values: pa.ChunkedArray, ids: np.ndarray, n_rows: int) -> Aside | None:
    """Why a column is no part of what is learned; None where it is one.

    Args:
        name: of the column.
        values: (n,) of the rows that are learned from.
        ids: (n,) the numbers of these rows, rising.
        n_rows: how many rows there are in all.
    """
    if pc.all(pc.is_null(values, nan_is_null=True)).as_py():
        return Aside(name, "empty", "no value in any row")
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if is_text(kind) or (pa.types.is_dictionary(values.type) and pa.types.is_primitive(kind)):
        return _text_aside(name, as_text(values))
    if pa.types.is_temporal(kind):
        return Aside(name, "date", f"dates or times ({kind})")
    if pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        return _number_aside(name, values, ids, n_rows)
    if (
        pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
    ):
        return None
    return Aside(name, "nested", f"values of type {kind}, neither numbers nor text")


def _number_aside(name: str, values: pa.ChunkedArray, ids: np.ndarray, n_rows: int) -> Aside | None:
    """Of numbers: whether they name rows. Numbers that measure may well be all different, and are none."""
    there = values.drop_null()
    numbers: np.ndarray = there.to_numpy()
    if len(numbers) < MIN_ROWS or (numbers[: 2 * MIN_ROWS] != np.rint(numbers[: 2 * MIN_ROWS])).any():
        return None
    if not (numbers == np.rint(numbers)).all():  # NaN is none, either
        return None
    beyond = (numbers > LARGEST_EXACT) | (numbers < -LARGEST_EXACT)
    if pa.types.is_integer(values.type) and beyond.mean() > BEYOND_SHARE:
        return Aside(name, "identifier", f"whole numbers such as {numbers[0]}, beyond what numbers can tell apart")
    if len(np.unique(numbers)) < len(numbers):
        return None
    if pa.types.is_integer(values.type) and (why := _numbering(numbers, ids, n_rows)):
        return Aside(name, "identifier", why)
    named = _NAMED.search(name.strip())
    return Aside(name, "identifier", "by its name, and different in every row") if named else None


def _numbering(numbers: np.ndarray, ids: np.ndarray, n_rows: int) -> str:
    """How whole numbers (n,), all different, number the rows; empty where they do not."""
    steps = np.diff(numbers.astype(np.float64)) / np.diff(ids[: len(numbers)])
    if len(ids) == len(numbers) and (steps == steps[0]).all():
        return f"numbers the rows, in steps of {abs(steps[0]):g}"
    low, high = float(numbers.min()), float(numbers.max())
    step = np.gcd.reduce((numbers.astype(np.float64) - low).astype(np.int64))
    return f"numbers the rows, from {low:g} to {high:g}" if (high - low) / step + 1 <= DENSE * n_rows else ""


def _text_aside(name: str, text: pa.ChunkedArray) -> Aside | None:
    """Of text: whether it is dates, names rows, or is written freely."""
    counted = pc.value_counts(text.drop_null())
    different, counts = counted.field("values"), counted.field("counts").to_numpy()
    n = int(counts.sum())
    if is_when(different):
        return Aside(name, "date", f"dates or times such as {different[0].as_py()!r}")
    letters = pc.utf8_length(different).to_numpy()
    once = int((counts == 1).sum())
    odd = _odd_word(different, counts)
    if letters.max() > MAX_CATEGORY_LETTERS or (
        letters @ counts > LONG * n and once > ONCE_SHARE * n and n >= MIN_ROWS
    ):
        return Aside(name, "text", "free text")
    if n >= MIN_ROWS and once > ONCE_SHARE * n:
        every = "every row" if once == n else "most rows"
        return Aside(name, "text" if odd else "identifier", f"different in {every}{odd}")
    if len(different) > MAX_CATEGORIES:
        found = f"{len(different):,} different values, more than the {MAX_CATEGORIES:,} that can be categories"
        return Aside(name, "text", f"{found}{odd}")
    return None


def is_when(different: pa.Array) -> bool:
    """Whether all of some texts are dates or times."""
    if not len(different):
        return False
    head = different.slice(0, 10)
    for some in (head, different):
        fits = pc.and_(pc.match_substring_regex(some, _WHEN), pc.match_substring_regex(some, _NOT_YEAR))
        if not pc.all(fits).as_py():
            return False
    return True


def _odd_word(different: pa.Array, counts: np.ndarray) -> str:
    """Of text that is numbers mostly: what is not, so that nothing vanishes without a word."""
    step = max(1, len(different) // 2_000)
    texts, weights = different.to_pylist()[::step], counts[::step]
    odd = np.array([bool(np.isinf(number_of(text))) for text in texts])
    if not odd.any() or weights[odd].sum() > weights.sum() / 2:
        return ""
    word = texts[int(np.argmax(odd))][:40]
    mend = option(f"give --missing {quoted(word)}", f"pass missing=[{word!r}]")
    return f"; most cells are numbers, but not {word!r}: correct it, or {mend}"
