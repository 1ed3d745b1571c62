"""What a corruption left of rows, on its way to a model, and what was made of it on the way back.

These are not rows like those of the fit: noise leaves the range of the data, NaN is what is missing, images may be
of any size, or gray where the model's are in color. So they go through the schema's map and not through its checks.
"""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow
import pyarrow.compute as pc
import torch
from torch import Tensor

from likely.data.column import Column
from likely.data.given import Change, Given
from likely.data.numeric import note_not_finite
from likely.data.pixels import channels_first, decode_pixels, placing
from likely.data.source import Rows, Source
from likely.data.standard import standardized
from likely.data.tabular import decode_table, encode_table, in_frame
from likely.data.unseen import Unseen
from likely.errors import DataError

if TYPE_CHECKING:
    from likely.data.schema import Schema

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""How bright red, green and blue are (ITU-R BT.601)."""


def read_remains(
    schema: "Schema",
    source: Source,
    ids: np.ndarray,
    *,
    channels: int,
    dtype: torch.dtype = torch.float32,
    unseen: Unseen | None = None,
) -> Tensor:
    """What is left of the rows with these ids, as a model sees it: (len(ids), *y_shape).

    Args:
        schema: of the rows as they were.
        source: where what is left of them is; of image files, transparent pixels are missing.
        ids: which.
        channels: how many images in files are to have, as `pixels_to_remains` gives them.
        dtype: of the result.
        unseen: as `remains_to_model`.

    Raises:
        DataError: as `remains_to_model`.
    """
    rows = source.read(ids)
    if source.kind == "image" and isinstance(rows, np.ndarray):
        rows = pixels_to_remains(schema, rows, channels)
    return remains_to_model(schema, rows, dtype=dtype, unseen=unseen)


def remains_to_model(
    schema: "Schema", rows: Rows, *, dtype: torch.dtype = torch.float32, unseen: Unseen | None = None
) -> Tensor:
    """What is left of rows, as a model sees it.

    Args:
        schema: of the rows as they were.
        rows: (n, ...) numbers in the units of the rows, NaN where missing; images of any size, with the channels
            of the rows, or one, or none named; or a table with the columns of fit, with null or NaN where missing.
        dtype: of the result.
        unseen: where is written down what was not there at fit: categories, and what is infinite or no number.

    Returns:
        (n, *y_shape). What is unseen is missing.

    Raises:
        DataError: if columns or the number of axes are not such as at fit.
    """
    unseen = Unseen(len(rows)) if unseen is None else unseen
    if schema.kind == "table":
        return torch.from_numpy(_encoded(schema, rows, unseen)).to(dtype)
    array = _checked(rows, unseen)
    if schema.columns:
        return torch.from_numpy(_standardized(schema, array)).to(dtype)
    if schema.kind != "image":
        return _scaled(schema, torch.from_numpy(array)).to(dtype)
    return _scaled(schema, _with_channels(schema, torch.from_numpy(array))).to(dtype)


def restored_to_rows(schema: "Schema", x: Tensor) -> Any:
    """What was restored (n, *x_shape), or images (n, c, h, w) of any size, in the caller's terms; means, as floats."""
    if schema.kind == "table" or schema.columns:
        return schema.to_rows(x, draws=False)
    values = x.detach().cpu()
    return decode_pixels(schema, (values if values.dtype == torch.float64 else values.float()).numpy(), draws=False)


def completed_rows(
    schema: "Schema", x: Tensor, source: Source, *, draws: bool, only_gaps: np.ndarray | None = None
) -> Any:
    """Rows whose gaps were filled in, in the caller's terms: what was there is as it was, to the last digit.

    What is filled in is something that the column can hold, of means too: whole where all values were, a multiple of
    their step, and no smaller or larger than they were.

    Args:
        schema: of the rows.
        x: (n, *x_shape), or images (n, c, h, w) of any size.
        source: the same rows with their gaps.
        draws: whether x are draws; means of pixels stay floats.
        only_gaps: (n,) whether nothing but gaps was filled in; else all that the model sees was restored. True of all
            rows where None.

    Returns:
        Of a table all its columns, also those that the model does not see, as they were handed in (`Given`).
    """
    only_gaps = np.ones(len(source), bool) if only_gaps is None else only_gaps
    known = source.read(np.arange(len(source)))
    if isinstance(known, pyarrow.Table):
        return _handed_back(schema, source, _fills(schema, x, known, only_gaps))
    rows = schema.to_rows(x, draws=True) if draws or schema.columns else restored_to_rows(schema, x)
    if known.shape != rows.shape or (source.kind == "image" and known.dtype.kind != "f"):
        return rows  # files of images, whose transparent pixels are missing
    gaps = ~np.isfinite(known)
    if only_gaps.all():
        return np.where(gaps, rows, known).astype(known.dtype) if gaps.any() else known.copy()
    whole = ~only_gaps.reshape(-1, *[1] * (known.ndim - 1))
    return np.where(whole, restored_to_rows(schema, x), np.where(gaps, rows, known))


def reconstructed_rows(schema: "Schema", x: Tensor, source: Source) -> Any:
    """Rows with means x (n, *x_shape) for what the model sees, in the caller's terms; all else of a table as it was."""
    if schema.kind != "table":
        return schema.to_rows(x, draws=False)
    return _handed_back(schema, source, _means(schema, x, np.arange(len(source))))


def _handed_back(schema: "Schema", source: Source, changes: list[Change]) -> Any:
    given = source.given
    if given is None:
        given = Given(source.read(np.arange(len(source))))
    rows = given.with_changes(changes)
    return rows if given.frame is not None else in_frame(rows, schema.frame)


def _fills(schema: "Schema", x: Tensor, known: pyarrow.Table, only_gaps: np.ndarray) -> list[Change]:
    """What stands in the gaps of a table, and in all cells of rows that were restored whole."""
    filled = decode_table(schema.columns, x.detach().cpu().double().numpy(), True)
    changes = []
    for column in schema.columns:
        gaps = np.ones(len(x), bool)
        if column.name in known.column_names:
            gaps = gaps_of(known.column(column.name))
        rows = np.flatnonzero(gaps if column.constant is not None else gaps & only_gaps)
        changes.append(Change(column.name, rows, _cells(filled, column, rows)))
    return changes if only_gaps.all() else [*changes, *_means(schema, x, np.flatnonzero(~only_gaps))]


def _means(schema: "Schema", x: Tensor, rows: np.ndarray) -> list[Change]:
    """What the model gives for these rows of a table, in every column that it sees."""
    table = decode_table(schema.columns, x.detach().cpu().double().numpy(), False)
    return [
        Change(column.name, rows, _cells(table, column, rows), in_own_type=column.kind == "categorical")
        for column in schema.columns
        if column.constant is None
    ]


def _cells(table: pyarrow.Table, column: Column, rows: np.ndarray) -> pyarrow.Array:
    return table.column(column.name).combine_chunks().take(pyarrow.array(rows))


def gaps_of(values: pyarrow.ChunkedArray) -> np.ndarray:
    """Which cells of a column are missing, or infinite, which the model takes for missing: (n,) bool."""
    missing: np.ndarray = pc.is_null(values, nan_is_null=True).to_numpy()
    return (
        missing | pc.is_inf(values).fill_null(False).to_numpy() if pyarrow.types.is_floating(values.type) else missing
    )


def spread_to_rows(schema: "Schema", spread: Tensor, source: Source | None = None) -> Any:
    """Standard deviations of what a model sees (n, *x_shape), in the units of rows; float64, 0 for constants.

    Tables are of the library, and have the index, of what `source` was handed in as.

    Raises:
        DataError: if there are categories, which have none.
    """
    if schema.has_categorical:
        names = ", ".join(column.name for column in schema.columns if column.kind == "categorical")
        raise DataError(f"categories have no standard deviation: {names}; look at how often draws differ instead")
    values = spread.detach().cpu().double()
    if not schema.columns:
        size = schema.channel_tensor(schema.scale) if schema.domain == "real" else schema.high - schema.low
        rows: np.ndarray = (values * size).numpy()
        if schema.kind == "image" and schema.channel_axis != 0:
            return rows[:, 0] if schema.channel_axis is None else np.moveaxis(rows, 1, -1)
        return rows
    wide = np.zeros((len(values), len(schema.columns)))
    wide[:, schema.kept_columns] = values.numpy() * schema.scales
    if schema.kind != "table":
        return wide
    table = {column.name: wide[:, i] for i, column in enumerate(schema.columns)}
    given = None if source is None else source.given
    return in_frame(pyarrow.table(table), schema.frame, None if given is None else given.frame)


def pixels_to_remains(schema: "Schema", pixels: np.ndarray, channels: int) -> np.ndarray:
    """Pixels of image files, as numbers in the units of rows.

    Args:
        schema: of the rows as they were.
        pixels: (n, h, w), or (n, h, w, k) with 2 channels (gray, alpha), 3 (RGB) or 4 (RGB, alpha); uint8 or uint16.
        channels: how many the result has: 1 or 3, as a model wants them.

    Returns:
        (n, h, w) or, of more channels, (n, h, w, channels); (n, channels, h, w) where channels of the rows stand
        first. NaN where alpha is 0: what is transparent is missing.
    """
    values: np.ndarray = pixels.astype(np.float32)  # photographs are large
    values = values[..., None] if values.ndim == 3 else values
    own = values.shape[-1] in (2, 4) and values.shape[-1] != channels  # a model of such images sees alpha itself
    values, alpha = (values[..., :-1], values[..., -1:]) if own else (values, None)
    if values.shape[-1] == 3 and channels == 1:
        values = (values @ LUMA)[..., None]
    values = np.broadcast_to(values, (*values.shape[:3], channels)) if values.shape[-1] == 1 else values
    if schema.domain != "real":
        values = schema.low + values / np.iinfo(pixels.dtype).max * (schema.high - schema.low)
    values = values if alpha is None else np.where(alpha == 0, np.nan, values)
    if schema.channel_axis == 0:
        return np.moveaxis(values, -1, 1)
    return values[..., 0] if channels == 1 and schema.channel_axis is None else values


def _encoded(schema: "Schema", rows: Rows, unseen: Unseen) -> np.ndarray:
    """A table; constant columns are set aside unread, for noise may have changed them."""
    if not isinstance(rows, pyarrow.Table):
        names = ", ".join(column.name for column in schema.columns[:5])
        raise DataError(f"found a {type(rows).__name__}, expected a table with the columns of fit ({names})")
    schema.check_columns(rows, False, "add it, with empty cells")
    return encode_table([schema.columns[i] for i in schema.kept_columns], rows, True, unseen)


def _checked(rows: Rows, unseen: Unseen) -> np.ndarray:
    if not isinstance(rows, np.ndarray) or rows.dtype.kind not in "biuf":
        kind = rows.dtype if isinstance(rows, np.ndarray) else type(rows).__name__
        raise DataError(f"found {kind}, expected an array of numbers, as at fit; hand in its .to_numpy()")
    small = rows.dtype.itemsize < 4 or rows.dtype == np.float32
    array = np.require(rows, np.float32 if small else np.float64, "W")
    flat = array.reshape(len(array), math.prod(array.shape[1:]))
    lost = note_not_finite(flat, placing(array.shape[1:]), True, unseen)
    return array if lost is None else np.where(lost.reshape(array.shape), np.nan, array).astype(array.dtype)


def _standardized(schema: "Schema", array: np.ndarray) -> np.ndarray:
    if array.shape[1:] != schema.row_shape:
        wanted = f"(rows, {', '.join(map(str, schema.row_shape))})"
        raise DataError(f"found rows of shape {array.shape[1:]}, expected an array of shape {wanted}, as at fit")
    return standardized(array[:, schema.kept_columns], schema.locations, schema.scales, schema.bends)


def _with_channels(schema: "Schema", rows: Tensor) -> Tensor:
    """(n, channels, h, w), of rows that may be gray although those of fit are not."""
    if rows.ndim == 3:
        return rows.unsqueeze(1)
    if rows.ndim != 4 or schema.channel_axis is None:
        axes = {None: "height, width", -1: "height, width, channels", 0: "channels, height, width"}
        wanted = f"(rows, {axes[schema.channel_axis]})"
        raise DataError(f"found images of shape {tuple(rows.shape[1:])}, expected an array of shape {wanted}")
    return channels_first(schema, rows)


def _scaled(schema: "Schema", x: Tensor) -> Tensor:
    if schema.domain != "real":
        return (x - schema.low) / (schema.high - schema.low)
    if len(schema.location) > 1 and x.shape[1] != len(schema.location):
        found = f"found {x.shape[1]} channels, expected {len(schema.location)}"
        raise DataError(f"{found}, each of which has a scale of its own; fit on images of a known range instead")
    return (x - schema.channel_tensor(schema.location)) / schema.channel_tensor(schema.scale)
