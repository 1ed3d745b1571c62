"""How the rows of this report look: as images, as tables or as curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from likely.report import pictures
from likely.report.contents import ReportData
from likely.report.words import column

MAX_COLUMNS = 24
"""More columns than this are no table to read: those that differ most are shown."""
MAX_NAMELESS_COLUMNS = 40
"""Rows of more values without names are drawn as curves."""


@dataclass(frozen=True)
class Line:
    """A line of a table: what it is, its cells, which of them to mark, and whether it belongs to the line above."""

    name: str
    cells: Sequence[str]
    marked: Sequence[bool]
    second: bool = False


@dataclass(frozen=True)
class Table:
    """Lines under column names, and how many columns there are that it does not show."""

    columns: Sequence[str]
    lines: Sequence[Line]
    left_out: int = 0


@dataclass(frozen=True)
class Look:
    """How one row is drawn.

    Attributes:
        style: "image", "table" or "curves".
        limits: the values that are black and white, or the bottom and top of a curve.
        channel_axis: of an image.
        columns: names, of a table.
        scales: of its columns: what counts as a large difference.
    """

    style: str
    limits: tuple[float, float] = (0.0, 1.0)
    channel_axis: int | None = None
    columns: tuple[str, ...] = ()
    scales: Mapping[str, float] | None = None

    def picture(self, row: np.ndarray, alt: str) -> Markup:
        """One row as an image or a curve."""
        if self.style == "image":
            return pictures.image(row, self.limits, self.channel_axis, alt)
        return pictures.curves([row], self.limits, alt)

    def table(self, rows: Sequence[tuple[str, np.ndarray]]) -> Table:
        """Rows under each other."""
        shown = list(range(min(len(self.columns), MAX_COLUMNS)))
        unmarked = [False] * len(shown)
        lines = [Line(name, cells, unmarked) for (name, _), cells in zip(rows, _cells(rows, shown), strict=True)]
        return Table([self.columns[i] for i in shown], lines, len(self.columns) - len(shown))

    def paired_table(self, pairs: Sequence[tuple[tuple[str, np.ndarray], tuple[str, np.ndarray]]]) -> Table:
        """Rows, each over the one it is compared with; cells that are more than a column's scale apart are marked."""
        gaps = [[self._gap(i, a[1], b[1]) for i in range(len(self.columns))] for a, b in pairs]
        shown = sorted(np.argsort(-np.array(gaps).sum(0), kind="stable")[:MAX_COLUMNS].tolist())
        cells = _cells([row for pair in pairs for row in pair], shown)
        lines = []
        for (row, other), gap, upper, lower in zip(pairs, gaps, cells[::2], cells[1::2], strict=True):
            lines.append(Line(row[0], upper, [False] * len(shown)))
            lines.append(Line(other[0], lower, [gap[i] > 1 for i in shown], second=True))
        return Table([self.columns[i] for i in shown], lines, len(self.columns) - len(shown))

    def _gap(self, i: int, a: np.ndarray, b: np.ndarray) -> float:
        """How far two cells are apart in scales of their column; names are 0 or 2 apart."""
        try:
            gap = abs(float(a[i]) - float(b[i])) / ((self.scales or {}).get(self.columns[i]) or 1.0)
        except (TypeError, ValueError):
            return 2.0 if a[i] != b[i] else 0.0
        return gap if np.isfinite(gap) else 0.0


def _cells(rows: Sequence[tuple[str, np.ndarray]], shown: Sequence[int]) -> list[Sequence[str]]:
    """The cells of each row, written column by column so that decimals line up."""
    return list(zip(*(column([row[i] for _, row in rows]) for i in shown), strict=True))


def look_of(data: ReportData) -> Look:
    """The look that fits the rows at hand, of which there may be none."""
    rows = _some_rows(data)
    columns = tuple(str(each["name"]) for each in data.data.get("columns", ()))
    if rows is None or data.data.get("kind") == "image":
        limits = (0.0, 1.0) if rows is None else pictures.display_range(rows, data.value_range)
        return Look("image", limits, data.channel_axis)
    if rows.ndim == 2 and (len(columns) == rows.shape[1] or rows.shape[1] <= MAX_NAMELESS_COLUMNS):
        if len(columns) != rows.shape[1]:
            columns = tuple(f"value {i}" for i in range(rows.shape[1]))
        return Look("table", columns=columns, scales=_scales(data.data.get("columns", ())))
    return Look("curves", pictures.display_range(rows, data.value_range))


def _some_rows(data: ReportData) -> np.ndarray | None:
    if data.reconstructions is not None:
        return data.reconstructions.originals
    if data.samples is not None:
        return data.samples.rows
    return None if data.interpolation is None else data.interpolation.rows


def _scales(columns: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {str(each["name"]): float(each["scale"]) for each in columns if each.get("scale")}
