"""What would be read from a source, and what is wrong with it, in words."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from likely.contract import Shape
from likely.data.column import Column
from likely.data.folders import skipped_told
from likely.data.schema import Schema
from likely.data.source import Source

FEW_ROWS = 200
_SHOWN = 5


@dataclass(frozen=True)
class ColumnSummary:
    """One column in a few words."""

    name: str
    kind: str
    """ "numeric", "categorical", or set aside: "constant", "identifier", "date", "text", "empty" or "nested"."""
    values: str
    """Such as "mean 3.2, standard deviation 0.5" or "3 categories: a, b, c"."""
    missing: int


@dataclass(frozen=True)
class Description:
    """What `likely data SOURCE` says."""

    name: str
    rows: int
    kind: str
    row_shape: Shape
    domain: str
    """In words, such as "levels: whole numbers from 0 to 255"."""
    columns: tuple[ColumnSummary, ...]
    missing: int
    """How many values are missing, in all."""
    labels: str
    """Such as "10 classes: 0 (178 rows), 1 (182 rows), ..."; "none" where there are none."""
    parts: dict[str, int]
    """Rows in each official part."""
    problems: tuple[str, ...]
    """One line each."""
    groups: int = 0
    """How many groups of rows there are that a split keeps whole, such as the images of patches; 0 without any."""

    def to_json(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return dataclasses.asdict(self)


def describe(source: Source, schema: Schema, *, n_learned: int | None = None) -> Description:
    """What would be read from a source.

    Args:
        source: the rows.
        schema: what `infer_schema` says of it.
        n_learned: how many rows the schema was learned from; all where None.

    Returns:
        The description; its `problems` are what a reader should know before fitting.
    """
    return Description(
        name=source.name,
        rows=len(source),
        kind=schema.kind,
        row_shape=schema.row_shape,
        domain=f"{schema.domain}: {schema.values_text}",
        columns=_summaries(source, schema),
        missing=schema.missing,
        labels=_labels_text(source.labels),
        parts=_part_sizes(source),
        problems=tuple(_problems(source, schema, len(source) if n_learned is None else n_learned)),
        groups=0 if source.groups is None else len(np.unique(source.groups)),
    )


def _summaries(source: Source, schema: Schema) -> tuple[ColumnSummary, ...]:
    """Of all columns, in the order of the source."""
    found = {column.name: _summary(column) for column in schema.columns}
    found |= {each.name: ColumnSummary(each.name, each.kind, each.why, 0) for each in schema.aside}
    if not schema.aside:
        return tuple(found.values())
    order = getattr(source.read(np.arange(0)), "column_names", [])
    return tuple(found[name] for name in [*(name for name in order if name in found)])


def _summary(column: Column) -> ColumnSummary:
    if column.empty:
        return ColumnSummary(column.name, "empty", "no value in any row", column.missing)
    if column.constant is not None:
        return ColumnSummary(column.name, "constant", f"always {column.always}", column.missing)
    if column.kind == "numeric":
        values = f"mean {column.location:.4g}, standard deviation {column.scale:.4g}"
        values += ", whole" if column.whole else ""
        values += f", without {_counted(column.far.count, 'far value')}" if column.far is not None else ""
        return ColumnSummary(column.name, "numeric", values, column.missing)
    shown = ", ".join(column.categories[:_SHOWN]) + (", ..." if len(column.categories) > _SHOWN else "")
    return ColumnSummary(column.name, "categorical", f"{len(column.categories)} categories: {shown}", column.missing)


def _labels_text(labels: np.ndarray | None) -> str:
    if labels is None:
        return "none"
    classes, counts = np.unique(labels, return_counts=True)
    shown = ", ".join(f"{name} ({count:,} rows)" for name, count in zip(classes[:10], counts[:10], strict=True))
    return f"{len(classes)} classes: {shown}" + (", ..." if len(classes) > 10 else "")


def _part_sizes(source: Source) -> dict[str, int]:
    if not source.parts:
        return {}
    sizes = {part: len(ids) for part, ids in source.parts.items()}
    return {"train": len(source) - sum(sizes.values()), **sizes}


def _problems(source: Source, schema: Schema, n_learned: int) -> list[str]:
    problems = []
    if len(source) < FEW_ROWS:
        problems.append(f"only {len(source)} rows: little to learn from, and wide uncertainty in every figure")
    if source.skipped:
        problems.append(skipped_told(source.skipped))
    problems += source.notes
    if schema.missing:
        share = schema.missing / (n_learned * max(1, int(np.prod(schema.row_shape))))
        problems.append(
            f"{_counted(schema.missing, 'value')} missing ({share:.1%}): only models that take missing values fit"
        )
    if source.labels is not None and len(np.unique(source.labels)) == 1:
        problems.append("all labels are the same: nothing can be evaluated with them")
    mixed = [] if source.reading else [line for column in schema.columns for line in _mixed(column)]
    problems += [f'column "{each.name}" is set aside ({each.kind}): {each.why}' for each in schema.aside]
    return problems + mixed + [line for column in schema.columns for line in _column_problems(column, n_learned)]


def _mixed(column: Column) -> list[str]:
    """Of categories that are numbers mostly: what the others are."""
    if column.kind != "categorical" or not _mostly_numbers(column.categories):
        return []
    odd = next(text for text in column.categories if not _is_number(text))
    name = f'column "{column.name}"'
    return [f"{name} holds numbers and {odd!r}, so it is read as categories: leave {odd!r} empty if missing"]


def _column_problems(column: Column, n_rows: int) -> list[str]:
    name = f'column "{column.name}"'
    if column.empty:
        return [f"{name} holds no value: set aside"]
    if column.constant is not None:
        return [f"{name} is always {column.always}: set aside"]
    problems = []
    if column.missing:
        problems.append(f"{name}: {column.missing:,} of {n_rows:,} values missing")
    if column.far is not None:
        problems.append(f"{name}: {far_in_words(column)}")
    if column.kind == "numeric" and _counts_rows(column, n_rows):
        problems.append(f'{name} seems to number the rows: leave it out with --drop "{column.name}"')
    return problems


def far_in_words(column: Column) -> str:
    """What lies far from all other values of a column that has such, and what mends it."""
    far = column.far
    assert far is not None
    others = f"all others (mean {column.location:.4g}, standard deviation {column.scale:.4g})"
    if far.times == far.count:
        found = f"{_counted(far.count, 'value')} of {far.value:g}" if far.count > 1 else f"a value of {far.value:g}"
    else:
        often = f" ({far.times:,} times)" if far.times > 1 else ""
        found = f"{far.count:,} values such as {far.value:g}{often}"
    if far.count == 1:
        return f"{found}, far from {others}: correct it, or leave the cell empty if it means missing"
    return f"{found}, far from {others}: correct them, or leave the cells empty if they mean missing"


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}" + ("s" if n > 1 else "")


def _mostly_numbers(categories: tuple[str, ...]) -> bool:
    numbers = sum(map(_is_number, categories))
    return len(categories) > 2 and len(categories) / 2 < numbers < len(categories)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _counts_rows(column: Column, n_rows: int) -> bool:
    """Whether mean and spread are those of n consecutive numbers from 0 or 1, as an id's are."""
    if n_rows < 3 or not column.whole:
        return False
    spread = math.sqrt((n_rows**2 - 1) / 12)
    means = ((n_rows - 1) / 2, (n_rows + 1) / 2)
    return math.isclose(column.scale, spread) and any(math.isclose(column.location, mean) for mean in means)
