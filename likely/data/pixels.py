"""Arrays to model tensors, and back: features column by column, images and other arrays by their range."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from likely.contract import Shape
from likely.data.column import cast
from likely.data.numeric import encode_numbers, note_not_finite
from likely.data.rounding import SAME_STEPS
from likely.data.standard import in_units
from likely.data.unseen import Unseen
from likely.errors import DataError, option

if TYPE_CHECKING:
    from likely.data.schema import Schema

_SINGLE_STEP = float(np.finfo(np.float32).eps)


def check_shape(schema: "Schema", rows: object) -> np.ndarray:
    """Refuses rows that are no array of the shape that was seen at fit."""
    expected = f"an array of shape ({', '.join(['rows', *map(str, schema.row_shape)])})"
    if not isinstance(rows, np.ndarray):
        raise DataError(f"found a {type(rows).__name__}, expected {expected}, as at fit; hand in its .to_numpy()")
    if rows.dtype.kind not in "biuf":
        raise DataError(f"found values of type {rows.dtype}, expected numbers; turn them into numbers first")
    if rows.ndim != len(schema.row_shape) + 1 or rows.shape[1:] != schema.row_shape:
        raise DataError(f"found rows of shape {rows.shape[1:]}, expected {expected}, as at fit; {_mend_shape(schema)}")
    return rows


def _mend_shape(schema: "Schema") -> str:
    if schema.kind != "image":
        return "hand in the same features as at fit"
    h, w = schema.row_shape[1:] if schema.channel_axis == 0 else schema.row_shape[:2]
    channels = schema.x_shape[0]
    also = f", {option(f'--channels {channels}', f'channels={channels}')}" if channels in (1, 3) else ""
    return f"image files are made alike with {option(f'--size {h}x{w}', f'size=({h}, {w})')}{also}"


def encode_features(schema: "Schema", rows: np.ndarray, missing_ok: bool, unseen: Unseen) -> np.ndarray:
    """(n, d) real features to what a model sees: (n, n_values) float64, constant columns set aside."""
    values = rows.astype(np.float64)
    return encode_numbers(schema.columns, values, lambda i: f"column {i}", missing_ok, unseen)


def decode_features(schema: "Schema", values: np.ndarray, draws: bool) -> np.ndarray:
    """The inverse of `encode_features`: (n, n_values) to (n, d) float64, constants put back.

    Draws of a column are values that it can hold (`Column.possible`).
    """
    rows = np.empty((len(values), len(schema.columns)))
    rows[:, schema.kept_columns] = in_units(values, schema.locations, schema.scales, schema.bends)
    for i in schema.constant_columns:
        rows[:, i] = float(schema.columns[i].constant or 0.0)
    for i, column in enumerate(schema.columns):
        if column.empty:
            rows[:, i] = np.nan
        elif draws and column.constant is None:
            rows[:, i] = column.possible(rows[:, i])
    return rows


def encode_pixels(schema: "Schema", rows: np.ndarray, dtype: torch.dtype, missing_ok: bool, unseen: Unseen) -> Tensor:
    """Arrays that have no columns to model tensors (n, *x_shape): scaled by their range, or standardized."""
    rows = in_range(schema, rows, missing_ok, unseen)
    # In bfloat16 and float16 some levels fall together before they are scaled.
    exact = torch.promote_types(dtype, torch.float32)
    if schema.domain == "real":
        moved = channels_first(schema, torch.from_numpy(rows.astype(np.float64))).contiguous()
        x = ((moved - schema.channel_tensor(schema.location)) / schema.channel_tensor(schema.scale)).to(dtype)
        return x if missing_ok else x.nan_to_num(nan=0.0)  # the mean
    x = channels_first(schema, _as_tensor(rows).to(exact, copy=True)).contiguous()
    if schema.low:
        x -= schema.low
    if schema.high - schema.low != 1:
        x /= schema.high - schema.low
    return x.to(dtype)


def _as_tensor(rows: np.ndarray) -> Tensor:
    """A tensor of the same values; torch reads no foreign byte order, no negative step, few unsigned types."""
    if rows.dtype.kind == "u" and rows.dtype.itemsize > 1:
        rows = rows.astype(np.float64)
    rows = np.ascontiguousarray(rows, dtype=rows.dtype.newbyteorder("="))
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy())


def channels_first(schema: "Schema", rows: Tensor) -> Tensor:
    """Raw rows (n, *row_shape) in the order of a model tensor (n, *x_shape)."""
    if schema.kind != "image" or schema.channel_axis == 0:
        return rows
    return rows.unsqueeze(1) if schema.channel_axis is None else rows.movedim(-1, 1)


def in_range(schema: "Schema", rows: np.ndarray, missing_ok: bool, unseen: Unseen) -> np.ndarray:
    """Rows with values that the domain has, or NaN: others become the nearest that it has, and are written down.

    What is not finite becomes NaN where the domain is real or the model takes missing values, else the domain's low.
    """
    if not rows.size:
        return rows
    whole_bytes = rows.dtype == np.uint8 and schema.low == 0 and schema.high == 255
    if whole_bytes and (schema.domain == "levels" or schema.binarize):
        return rows
    name, flat = placing(schema.row_shape), rows.reshape(len(rows), -1)
    lost = note_not_finite(flat, name, missing_ok, unseen)
    if lost is not None:
        keep = missing_ok or schema.domain == "real"
        flat = np.where(lost, np.asarray(np.nan if keep else schema.low, rows.dtype), flat)
    if schema.domain != "real":
        flat = _inside(schema, flat, name, unseen)
    return flat.reshape(rows.shape)


def placing(row_shape: Shape) -> Callable[[int], str]:
    """Names the i-th value of a raw row."""
    if len(row_shape) == 1:
        return lambda i: f"column {i}"
    return lambda i: f"at {tuple(int(each) for each in np.unravel_index(i, row_shape))}"


def _inside(schema: "Schema", rows: np.ndarray, name: Callable[[int], str], unseen: Unseen) -> np.ndarray:
    """Rows (n, values) whose values the domain has, NaN stays; what differs by more than rounding is written down."""
    if rows.dtype.kind == "f":
        nearest = _nearest(schema, rows)
        differs = (rows != nearest) & ~np.isnan(rows)
        odd = differs & (np.abs(rows - nearest) > SAME_STEPS * _SINGLE_STEP * (schema.high - schema.low))
    else:
        odd = differs = _outside(schema, rows)
        nearest = _nearest(schema, rows.astype(np.float64)) if odd.any() else rows
    if odd.any():
        ids, at = np.nonzero(odd)
        unseen.note(ids, rows[odd].tolist(), f"{schema.values_text}, as at fit", lambda i: name(int(at[i])))
    return np.where(differs, nearest, rows) if differs.any() else rows


def _outside(schema: "Schema", rows: np.ndarray) -> np.ndarray:
    """Which whole numbers the domain does not have."""
    if schema.domain == "binary" and not schema.binarize:
        return (rows != schema.low) & (rows != schema.high)
    return (rows < schema.low) | (rows > schema.high)


def _nearest(schema: "Schema", rows: np.ndarray) -> np.ndarray:
    """The values of the domain that lie nearest to those of rows (float64)."""
    if schema.domain == "binary" and not schema.binarize:
        return np.where(2 * rows > schema.low + schema.high, schema.high, schema.low)
    inside = rows.clip(schema.low, schema.high)
    return np.rint(inside) if schema.domain == "levels" else inside


def decode_pixels(schema: "Schema", x: np.ndarray, draws: bool) -> np.ndarray:
    """The inverse of `encode_pixels`: (n, *x_shape) to (n, *row_shape), draws snapped to values that there are."""
    if schema.domain == "real":
        x = x * schema.channel_tensor(schema.scale).numpy() + schema.channel_tensor(schema.location).numpy()
    else:
        if draws:
            x = x.clip(0, 1)
        if draws and schema.levels:
            x = np.rint(x * (schema.levels - 1)) / (schema.levels - 1)
        x = x * (schema.high - schema.low) + schema.low
    if schema.kind == "image" and schema.channel_axis != 0:
        x = x[:, 0] if schema.channel_axis is None else np.moveaxis(x, 1, -1)
    return np.ascontiguousarray(as_raw_type(schema, x, draws))


def as_raw_type(schema: "Schema", rows: np.ndarray, draws: bool) -> np.ndarray:
    """Draws in the type of the raw rows; means in that type where it is a float, and as they are otherwise."""
    dtype = np.dtype(schema.dtype)
    return cast(rows, dtype) if draws or dtype.kind == "f" else rows
