"""Values that were not there at fit: which rows hold them, what was found, and what was expected."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from likely.data.checks import show


@dataclass(frozen=True)
class Found:
    """One kind of unseen value in some rows of a block: `values[i]` stands in row `rows[i]`."""

    name: str
    rows: np.ndarray
    values: Sequence[object]
    expected: str


class Unseen:
    """What a block of n rows holds that the rows of fit did not.

    A new value is no reason to refuse a row: the model sees what it can of it, and the row is novel by definition.
    """

    def __init__(self, n: int) -> None:
        self.rows = np.zeros(n, dtype=bool)
        """(n,) whether a row holds such a value."""
        self.found: list[Found] = []

    def note(self, name: str, rows: np.ndarray, values: Sequence[object], expected: str) -> None:
        """Writes down that `rows` (k,) hold `values` (k,) in what is called `name`, where `expected` was expected."""
        self.rows[rows] = True
        self.found.append(Found(name, rows, values, expected))

    def reasons(self) -> dict[int, str]:
        """In words, by row: "column "city": found 'Ulm', expected one of Bonn, Kiel"; the first of each row."""
        told: dict[int, str] = {}
        for each in self.found:
            for row, value in zip(each.rows.tolist(), each.values, strict=True):
                told.setdefault(row, f"{each.name}: found {show(value)}, expected {each.expected}")
        return told
