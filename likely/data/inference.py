"""Learns a schema from a source: one pass over its rows."""

import dataclasses
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from likely.contract import Shape
from likely.data.aside import Aside, set_aside
from likely.data.checks import Place, check_finite
from likely.data.column import MAX_COLUMNS, Column
from likely.data.description import far_in_words
from likely.data.extremes import Others, find_far
from likely.data.schema import Schema
from likely.data.schema_json import MAX_CLASSES
from likely.data.source import Rows, Source
from likely.data.statistics import Statistics
from likely.data.tabular import as_numbers, as_text, is_number, is_text, listed
from likely.errors import DataError, option

MAX_CHANNELS = 4
MAX_FEW_LEVELS = 31
"""Whole values up to this are not out of 256 levels but out of as many as there are."""
UNIT_SHARE = 0.25
"""Features in [0, 1] are pixels if at least this share is exactly 0 or 1, and all are steps of one size."""
PIXEL_STEPS = (*range(1, MAX_FEW_LEVELS + 1), 63, 127, 255, 65_535)
"""Pixels that were scaled to [0, 1] are multiples of one of these parts. Columns that were scaled each by its own range
are no multiples of one number: of these new rows may well lie beyond 0 and 1, and be ordinary."""
N_STEPPED = 200_000
"""So many values tell."""
MAX_WARNED = 10
"""So many columns that are set aside are named."""
MIN_ONCE = 3
"""Of fewer categories that stand there once nobody can tell how many new ones there are to come."""
N_LISTED = 20
"""Of what is wrong with a table so much is listed at once."""


def infer_schema(
    source: Source, *, binarize: bool = False, domain: str | None = None, ids: np.ndarray | None = None
) -> Schema:
    """What the rows of a source are.

    Bits are "binary"; 8-bit images, and whole numbers up to 255 in arrays of images, are "levels"; images of floats in
    [0, 1], 16-bit images, and features in [0, 1] of which a quarter is exactly 0 or 1, and all are multiples of one
    number as pixels are, are "unit"; all else is "real" and standardized: by column, by channel, or as a whole. Tables
    are always real.

    Args:
        source: at least two rows.
        binarize: reads gray values as probabilities of a 1 (dynamic binarization).
        domain: "real" to standardize data that would be read as bits, levels or a unit interval.
        ids: the rows to learn from; all where None.

    Returns:
        The schema.

    Raises:
        DataError: naming the row and column that no model could learn from, and what mends it.

    Warns:
        UserWarning: of what its files do not tell for certain, naming columns that are set aside (identifiers, dates,
            free text, empty and constant ones), and those with few values far from all others.
    """
    ids = np.arange(len(source)) if ids is None else np.asarray(ids)
    if domain not in (None, "real"):
        raise DataError(f"found domain={domain!r}, expected 'real', or None to tell it from the data")
    if len(ids) < 2:
        found = f"found {len(source):,} row" + ("s" if len(source) != 1 else "")
        left = f", of which {len(ids)} would be learned from" if len(source) > len(ids) else ""
        raise DataError(f"{source.name}: {found}{left}, expected at least 2 to learn from; add rows")
    schema = _table_schema(source, ids) if source.kind == "table" else _array_schema(source, ids, domain)
    schema = dataclasses.replace(schema, frame=source.frame, classes=_classes(source, ids), reading=source.reading)
    if schema.columns and not len(schema.kept_columns):
        others = f" but {listed([each.name for each in schema.aside])}, set aside" if schema.aside else ""
        found = f"{source.name}: every column is constant{others}"
        raise DataError(f"{found}, expected one that is not; there is nothing to learn")
    if source.kind == "table":  # of images each note was told when it was found
        source.warn()
    _warn_of_aside(schema)
    _warn_of_constants(schema)
    _warn_of_far(schema)
    return _binarized(schema, source) if binarize else schema


def _classes(source: Source, ids: np.ndarray) -> tuple[str, ...]:
    if source.labels is None:
        return ()
    classes = np.unique(source.labels[ids])
    if len(classes) > MAX_CLASSES:
        found = f"{source.name}: found {len(classes)} different labels"
        raise DataError(f"{found}, expected at most {MAX_CLASSES}: a label names a class; choose another label")
    return tuple(str(each) for each in classes)


def _binarized(schema: Schema, source: Source) -> Schema:
    if schema.domain == "real":
        expected = "bits, levels or numbers in [0, 1]"
        raise DataError(f"{source.name}: found real numbers, expected {expected} to binarize; leave binarize out")
    if schema.domain == "binary":
        return schema
    return dataclasses.replace(schema, domain="binary", levels=2, binarize=True)


def _warn_of_aside(schema: Schema) -> None:
    if not schema.aside:
        return
    shown = ", ".join(f'"{each.name}" ({each.kind}: {each.why})' for each in schema.aside[:MAX_WARNED])
    rest = f" and {len(schema.aside) - MAX_WARNED} more" if len(schema.aside) > MAX_WARNED else ""
    which = "column" if len(schema.aside) == 1 else "columns"
    warnings.warn(f"{which} set aside, which no model sees: {shown}{rest}", UserWarning, stacklevel=3)


def _warn_of_constants(schema: Schema) -> None:
    constant = [column for column in schema.columns if column.constant is not None]
    if not constant:
        return
    shown = ", ".join(f'"{column.name}" (always {column.always})' for column in constant[:5])
    rest = f" and {len(constant) - 5} more" if len(constant) > 5 else ""
    which = "column" if len(constant) == 1 else "columns"
    warnings.warn(f"constant {which} set aside: {shown}{rest}", UserWarning, stacklevel=3)


def _warn_of_far(schema: Schema) -> None:
    found = [column for column in schema.columns if column.far is not None]
    if not found:
        return
    shown = "; ".join(f'column "{column.name}": {far_in_words(column)}' for column in found[:5])
    rest = f"; and {len(found) - 5} more columns" if len(found) > 5 else ""
    warnings.warn(f"{shown}{rest}", UserWarning, stacklevel=3)


def _array_schema(source: Source, ids: np.ndarray, domain: str | None) -> Schema:
    sample = source.read(ids[:1])
    row_shape, dtype = tuple(sample.shape[1:]), sample.dtype
    kind, axis = layout(row_shape)
    statistics = _gather(source, ids, _grouping(row_shape, kind, axis), dtype, domain)
    schema = Schema(kind, row_shape, dtype.name, "real", channel_axis=axis, missing=int(statistics.missing.sum()))
    _check_variety(statistics, source)
    if domain is None:
        found, low, high, levels = _domain(statistics, dtype, row_shape)
        schema = dataclasses.replace(schema, domain=found, low=low, high=high, levels=levels)
    if schema.domain != "real":
        return schema
    far: dict[int, Others] = {}
    if len(row_shape) == 1:
        far = find_far(statistics, lambda: (_as_float64(rows) for _, rows in source.blocks(ids)))
    _check_scales(statistics, far, source, [f"column {i}" for i in range(len(statistics.low))])
    if len(row_shape) == 1 and len(statistics.low) > MAX_COLUMNS:
        found = f"{source.name}: found {len(statistics.low):,} columns, expected at most {MAX_COLUMNS:,}"
        raise DataError(f"{found}; leave some out, or reshape rows to (height, width)")
    if len(row_shape) == 1:
        names = [f"x{i}" for i in range(len(statistics.low))]
        return dataclasses.replace(schema, columns=_numeric_columns(names, statistics, far, [dtype.name] * len(names)))
    location, scale = tuple(statistics.mean.tolist()), tuple(statistics.scale.tolist())
    return dataclasses.replace(schema, location=location, scale=scale)


def _check_variety(statistics: Statistics, source: Source) -> None:
    if not statistics.count.any():
        raise DataError(f"{source.name}: every value is missing (NaN), expected numbers; hand in other rows")
    low, high = statistics.low.min(), statistics.high.max()
    if low == high:
        found = f"{source.name}: every value is {low:g}"
        raise DataError(f"{found}, expected at least two different ones; there is nothing to learn: hand in other rows")


def layout(row_shape: Shape) -> tuple[str, int | None]:
    """("image" or "array", channel axis) of raw rows, told from their shape alone."""
    match row_shape:
        case (_, _):
            return "image", None
        case (_, _, channels) if channels <= MAX_CHANNELS:
            return "image", -1
        case (channels, _, _) if channels <= MAX_CHANNELS:
            return "image", 0
    return "array", None


def _grouping(row_shape: Shape, kind: str, axis: int | None) -> Callable[[np.ndarray], np.ndarray]:
    """How rows become (m, g) with a group per column, per channel, or one for all."""
    if len(row_shape) == 1:
        return lambda rows: rows
    if kind == "image" and axis is not None:
        channel = axis if axis < 0 else axis + 1
        return lambda rows: np.moveaxis(rows, channel, -1).reshape(-1, row_shape[axis])
    return lambda rows: rows.reshape(-1, 1)


def _gather(
    source: Source,
    ids: np.ndarray,
    grouped: Callable[[np.ndarray], np.ndarray],
    dtype: np.dtype,
    domain: str | None,
) -> Statistics:
    range_only = dtype in (np.uint8, np.bool_) and domain is None
    statistics: Statistics | None = None
    for some, rows in source.blocks(ids):
        assert isinstance(rows, np.ndarray)
        names = [f"column {i}" for i in range(rows.shape[1])] if rows.ndim == 2 else ()
        check_finite(rows, names, True, _placing(source, some))
        values = grouped(rows)
        statistics = statistics or Statistics(values.shape[1], len(ids) if rows.ndim == 2 else 0)
        if range_only:
            statistics.add_bytes(values)
        else:
            statistics.add(values.astype(np.float64))
    assert statistics is not None  # there are at least two rows
    return statistics


def _placing(source: Source, ids: np.ndarray) -> Place:
    return lambda row: source.place(int(ids[row]))


def _domain(statistics: Statistics, dtype: np.dtype, row_shape: Shape) -> tuple[str, float, float, int]:
    """(domain, low, high, levels) by the rules of `infer_schema`."""
    low, high = float(statistics.low.min()), float(statistics.high.max())
    whole = dtype.kind in "biu" or bool(statistics.whole.all())
    is_vector = len(row_shape) == 1
    if low >= 0 and high <= 1 and whole:
        return "binary", 0.0, 1.0, 2
    if dtype == np.uint8 or (dtype.kind in "iu" and not is_vector and low >= 0 and high <= 255):
        if not is_vector and statistics.only_black_and_white:
            return "binary", 0.0, 255.0, 2
        top = high if high <= MAX_FEW_LEVELS else 255.0
        return "levels", 0.0, top, int(top) + 1
    if dtype == np.uint16 and not is_vector:
        return "unit", 0.0, 65_535.0, 0
    share = statistics.n_at_ends / max(1, int(statistics.count.sum()))
    if low >= 0 and high <= 1 and (not is_vector or (share >= UNIT_SHARE and _has_steps(statistics))):
        return "unit", 0.0, 1.0, 0
    return "real", 0.0, 1.0, 0


def _has_steps(statistics: Statistics) -> bool:
    """Whether values from 0 to 1 are multiples of one number, as pixels are."""
    values = statistics.different(N_STEPPED)
    return any(
        bool((np.abs(values * n - np.rint(values * n)) < 3e-7 * n + 1e-9).all())
        for n in PIXEL_STEPS
        if len(values) <= n + 1
    )


def _as_float64(rows: Rows) -> np.ndarray:
    assert isinstance(rows, np.ndarray)
    return rows.astype(np.float64)


def _check_scales(statistics: Statistics, far: Mapping[int, Others], source: Source, names: Sequence[str]) -> None:
    odd = ~(np.isfinite(statistics.scale) & np.isfinite(statistics.mean)) & (statistics.count > 0)
    odd[list(far)] = False
    found = [
        f"{names[i]}: found values up to {max(abs(statistics.low[i]), abs(statistics.high[i])):g}"
        for i in np.flatnonzero(odd).tolist()
    ]
    if found:
        expected = "too large to square; expected less than 1e150: divide them by a power of ten"
        raise DataError(f"{source.name}, {_first_of(found)}, {expected}")


def _first_of(found: Sequence[str]) -> str:
    """All of them in a line, or the first and how many there are beside."""
    more = f"; and {len(found) - N_LISTED:,} more" if len(found) > N_LISTED else ""
    return "; ".join(found[:N_LISTED]) + more


def _numeric_columns(
    names: Sequence[str], statistics: Statistics, far: Mapping[int, Others], dtypes: Sequence[str]
) -> tuple[Column, ...]:
    constant, scale, step = statistics.constant, statistics.scale, statistics.step
    columns = []
    for i, name in enumerate(names):
        column = Column(
            name,
            "numeric",
            float(statistics.low[i] if constant[i] else statistics.mean[i]),
            float(scale[i]) if statistics.count[i] else 1.0,
            constant=float(statistics.low[i]) if constant[i] else None,
            missing=int(statistics.missing[i]),
            whole=bool(statistics.whole[i]),
            dtype=dtypes[i],
            empty=not statistics.count[i],
            low=float(statistics.low[i]) if statistics.count[i] else None,
            high=float(statistics.high[i]) if statistics.count[i] else None,
            step=float(step[i]),
        )
        columns.append(dataclasses.replace(column, **vars(far[i])) if i in far else column)
    return tuple(columns)


def _table_schema(source: Source, ids: np.ndarray) -> Schema:
    whole = source.read(ids[:0] if source.mapped else ids)
    assert isinstance(whole, pa.Table)
    if whole.num_columns > MAX_COLUMNS:
        found = f"{source.name}: found {whole.num_columns:,} columns, expected at most {MAX_COLUMNS:,}"
        raise DataError(f"{found}; leave some out with {option('--drop COLUMN', 'drop=[...]')}")
    aside, rest = list[Aside](), dict[str, pa.ChunkedArray]()
    read = dict[str, Column]()
    for name in whole.column_names:
        values = source.column(name, ids) if source.mapped else whole.column(name)
        if (reason := set_aside(name, values, ids, len(source))) is not None:
            aside.append(reason)
            continue
        if not is_number(values.type):
            read[name] = _categorical_column(name, values)
        rest[name] = whole.column(name)
    if not rest:
        why = _first_of([f'"{each.name}": {each.why}' for each in aside])
        raise DataError(
            f"{source.name}: no column is left to learn from, expected one of numbers or categories ({why})"
        )
    numeric = {name: values for name, values in rest.items() if is_number(values.type)}
    read |= {column.name: column for column in _numbers(source, ids, numeric)}
    columns = tuple(read[name] for name in rest)
    missing = sum(column.missing for column in columns)
    return Schema("table", (len(columns),), "float64", "real", columns=columns, missing=missing, aside=tuple(aside))


def _numbers(source: Source, ids: np.ndarray, columns: Mapping[str, pa.ChunkedArray]) -> tuple[Column, ...]:
    """Columns of numbers, many at a time; all that are no part of them are named at once."""
    names, result = [f'column "{name}"' for name in columns], list[Column]()
    statistics = Statistics(len(columns), len(ids))
    for some, numbers in _number_blocks(source, ids, columns):
        _check_infinite(numbers, names, source, some)
        statistics.add(numbers)
    far = find_far(statistics, lambda: (numbers for _, numbers in _number_blocks(source, ids, columns)))
    _check_scales(statistics, far, source, names)
    dtypes = [_numpy_name(values.type) for values in columns.values()]
    result += _numeric_columns(list(columns), statistics, far, dtypes)
    return tuple(result)


def _number_blocks(
    source: Source, ids: np.ndarray, columns: Mapping[str, pa.ChunkedArray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ids and the numbers of their rows (m, len(columns)): all at once, or in turn where they are too many to hold."""
    if not source.mapped:
        yield ids, _side_by_side(columns.values(), len(ids))
        return
    for some, rows in source.blocks(ids):
        assert isinstance(rows, pa.Table)
        yield some, _side_by_side([rows.column(name) for name in columns], len(some))


def _side_by_side(columns: Iterable[pa.ChunkedArray], n: int) -> np.ndarray:
    columns = list(columns)
    numbers = np.empty((n, len(columns)), order="F")
    for i, values in enumerate(columns):
        numbers[:, i] = as_numbers(values)
    return numbers


def _check_infinite(numbers: np.ndarray, names: Sequence[str], source: Source, ids: np.ndarray) -> None:
    rows, columns = np.nonzero(np.isinf(numbers))
    if not len(rows):
        return
    at = zip(rows[:N_LISTED].tolist(), columns[:N_LISTED].tolist(), strict=True)
    found = [f"{source.place(int(ids[row]))}, {names[i]}: found {numbers[row, i]:g}" for row, i in at]
    more = f"; and {len(rows) - N_LISTED:,} more" if len(rows) > N_LISTED else ""
    raise DataError(
        f"{'; '.join(found)}{more}, expected a finite number; replace it by a number or leave the cell empty"
    )


def _numpy_name(kind: pa.DataType) -> str:
    name = "float64" if pa.types.is_decimal(kind) else np.dtype(kind.to_pandas_dtype()).name
    return "float32" if name == "float16" else name


def _categorical_column(name: str, values: pa.ChunkedArray) -> Column:
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    text = as_text(values)
    counted = pc.value_counts(text.drop_null())
    categories: list[str] = counted.field("values").to_pylist()
    once = int((counted.field("counts").to_numpy() == 1).sum())
    return Column(
        name,
        "categorical",
        categories=tuple(sorted(categories)),
        constant=categories[0] if len(categories) == 1 else None,
        missing=text.null_count,
        dtype="str" if is_text(kind) else _numpy_name(kind),
        new_share=once / (len(text) - text.null_count) if once >= MIN_ONCE else 0.0,
    )
