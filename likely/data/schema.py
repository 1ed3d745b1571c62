"""What data is: learned once at fit, kept with the model, enforced on everything that comes later."""

import dataclasses
import functools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow
import torch
from torch import Tensor

from likely.contract import Shape
from likely.data.aside import Aside
from likely.data.checks import Place, row_place
from likely.data.column import Column
from likely.data.pixels import (
    as_raw_type,
    check_shape,
    decode_features,
    decode_pixels,
    encode_features,
    encode_pixels,
)
from likely.data.reading import Cells, Reading
from likely.data.source import Rows
from likely.data.standard import log_slope_of_bend
from likely.data.tabular import decode_table, encode_table, in_frame, lacking_columns, listed
from likely.data.unseen import Refusal, Unseen
from likely.errors import DataError


@dataclass(frozen=True)
class Schema:
    """What raw rows are, and the map between them and the tensors of a model.

    Inside a model, values of "binary", "unit" and "levels" data are (raw - low) / (high - low), those of "real"
    data (raw - location) / scale, with few far ones squeezed (`likely.data.standard`).
    """

    kind: str
    """ "array", "image" or "table"."""
    row_shape: Shape
    """As the caller has it: (28, 28), (32, 32, 3), (d,)."""
    dtype: str
    """The numpy name of the type of raw values; for tables each column has its own."""
    domain: str
    """ "binary", "unit" (the interval from low to high), "levels" (whole numbers) or "real"."""
    low: float = 0.0
    """The raw value that is 0 in a model, for "binary", "unit" and "levels"."""
    high: float = 1.0
    """The raw value that is 1 in a model."""
    levels: int = 0
    """How many whole values there are: 256 for 8-bit images, 2 for "binary", 0 for "unit" and "real"."""
    channel_axis: int | None = None
    """Where channels stand in a raw row of an image: None for gray (h, w), -1 for (h, w, c), 0 for (c, h, w)."""
    columns: tuple[Column, ...] = ()
    """Of tables, and of real features (n, d)."""
    location: tuple[float, ...] = ()
    """Per channel, or one for all, for real arrays that have no columns; raw units."""
    scale: tuple[float, ...] = ()
    """The same for the standard deviation."""
    frame: str | None = None
    """The DataFrame library that rows are handed back in."""
    classes: tuple[str, ...] = ()
    """The names of the labels seen at fit."""
    binarize: bool = False
    """Whether a gray value is read as the probability of a 1, drawn anew each time (`draw`)."""
    missing: int = 0
    """How many values were missing at fit, in all."""
    aside: tuple[Aside, ...] = ()
    """Columns of tables that no model sees, and why; constant ones are among `columns`."""
    reading: Reading | None = None
    """How the cells of a text file were read at fit; None where the data was no such file."""

    @functools.cached_property
    def x_shape(self) -> Shape:
        """The shape of a row as a model sees it: (c, h, w) for images, (d,) for features, without the batch."""
        if self.columns:
            return (sum(column.width for column in self.columns),)
        if self.kind != "image" or self.channel_axis == 0:
            return self.row_shape
        return (1, *self.row_shape) if self.channel_axis is None else (self.row_shape[2], *self.row_shape[:2])

    @property
    def n_values(self) -> int:
        """How many values a model sees of a row."""
        return math.prod(self.x_shape)

    @property
    def widths(self) -> tuple[int, ...]:
        """How many values a model sees of each column that it sees; () where there are no columns."""
        return tuple(column.width for column in self.columns if column.width)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """A name for each value that a model sees of a vector; () for images and other arrays."""
        if self.columns:
            return tuple(name for column in self.columns for name in column.feature_names)
        return tuple(f"x{i}" for i in range(self.n_values)) if len(self.x_shape) == 1 else ()

    @property
    def has_categorical(self) -> bool:
        """Whether some of what a model sees is categories, each as 0/1 values that sum to 1."""
        return any(column.kind == "categorical" and column.width for column in self.columns)

    @property
    def values_text(self) -> str:
        """The domain in words, such as "whole numbers from 0 to 255"."""
        ends = f"from {self.low:g} to {self.high:g}"
        match self.domain:
            case "binary" if not self.binarize:
                return f"only {self.low:g} and {self.high:g}"
            case "levels":
                return f"whole numbers {ends}"
            case "real":
                return "real numbers"
        return f"numbers {ends}"

    @property
    def later_reading(self) -> Reading:
        """How text files are to be read that come later: as at fit, or for what its columns were in another file."""
        kinds = {"numeric": "number", "categorical": "text"}
        columns = (Cells(each.name, "truth" if each.dtype == "bool" else kinds[each.kind]) for each in self.columns)
        return self.reading or Reading(tuple(columns) if self.kind == "table" else ())

    def to_model(
        self,
        rows: Rows,
        *,
        dtype: torch.dtype = torch.float32,
        missing_ok: bool = False,
        place: Place | None = None,
        unseen: Unseen | None = None,
    ) -> Tensor:
        """Raw rows to what a model sees; refuses, or writes down, whatever differs from what was seen at fit.

        Args:
            rows: (n, *row_shape), or a table of n rows with the columns of fit, in any order.
            dtype: of the result.
            missing_ok: whether NaN (and null) means missing; it is refused otherwise.
            place: names row i of `rows` in messages; "row i" where None.
            unseen: of n rows: where values are written down that were not there at fit (a category, another value
                of a constant column, a value out of range, an infinite one, text where a number was) and, unless
                `missing_ok`, those that are missing; they are refused where None.

        Returns:
            (n, *x_shape), NaN where missing. Of what is unseen a model sees the nearest value of the domain, no
            category, and nothing of constant columns; what is infinite or no number is missing, and what is missing
            is the mean, or the low end of the domain, where NaN is not allowed.

        Raises:
            DataError: if shape or columns are not such as at fit; or if values are not and may not be unseen: it names
                row and column of all, or of the first 20.
        """
        written = Unseen(len(rows)) if unseen is None else unseen
        x = self._encoded(rows, dtype, missing_ok, written)
        if unseen is None:
            refusal = Refusal()
            refusal.add(written, place or row_place)
            refusal.check()
        return x

    def _encoded(self, rows: Rows, dtype: torch.dtype, missing_ok: bool, unseen: Unseen) -> Tensor:
        if self.kind == "table":
            table = self.check_columns(rows, missing_ok)
            return torch.from_numpy(encode_table(self.columns, table, missing_ok, unseen)).to(dtype)
        array = check_shape(self, rows)
        if self.columns:
            return torch.from_numpy(encode_features(self, array, missing_ok, unseen)).to(dtype)
        return encode_pixels(self, array, dtype, missing_ok, unseen)

    def check_columns(self, rows: Rows, missing_ok: bool, mend: str = "add it") -> pyarrow.Table:
        """Rows as a table that has the columns that a model sees; without some of them where `missing_ok`.

        Raises:
            DataError: if it is no table, or lacks columns, or has two of a name.
        """
        if not isinstance(rows, pyarrow.Table):
            names = ", ".join(column.name for column in self.columns[:5])
            raise DataError(f"found a {type(rows).__name__}, expected a table with the columns of fit ({names})")
        lacking = lacking_columns(self.columns, rows.column_names)
        n_seen = sum(column.width > 0 for column in self.columns)
        if lacking and not (missing_ok and len(lacking) < n_seen):
            found = f" (it has {listed(rows.column_names)})" if len(lacking) == n_seen else ""
            raise DataError(f"the table lacks {listed(lacking)}, which the model was fitted on{found}; {mend}")
        return rows

    def extra_columns(self, names: Sequence[str]) -> list[str]:
        """The names of columns that were not there at fit."""
        known = {each.name for each in self.columns} | {each.name for each in self.aside}
        return [name for name in names if name not in known]

    def to_rows(self, x: Tensor | np.ndarray, *, draws: bool) -> Any:
        """What a model gives, in the caller's terms: the inverse of `to_model`.

        Args:
            x: (n, *x_shape).
            draws: True for samples, which are rounded, clipped and cast to the raw type; False for means, which
                stay floats.

        Returns:
            (n, *row_shape); for tables a DataFrame of the library they came in, or a pyarrow.Table. Constant
            columns are put back, categories are those of the largest value.
        """
        values = _as_array(x)
        if values.shape[1:] != self.x_shape:
            raise ValueError(f"x must have shape (n, {', '.join(map(str, self.x_shape))}), got {values.shape}")
        if self.kind == "table":
            return in_frame(decode_table(self.columns, values.astype(np.float64), draws), self.frame)
        if self.columns:
            return as_raw_type(self, decode_features(self, values, draws), draws)
        return decode_pixels(self, values, draws)

    def log_det(self, x: Tensor) -> Tensor:
        """log |d model / d raw| of each row: add it to a density of x to have one in the caller's units.

        The unit of whole values is the step from one to the next, so that a dequantized density of them bounds
        their probability.

        Args:
            x: (n, *x_shape); NaN is missing and counts for nothing.

        Returns:
            (n,) float64, nats.
        """
        each = self._log_slopes.to(x.device)
        observed = ~x.isnan()
        if self.columns and np.isfinite(self.bends).any():
            each = each + log_slope_of_bend(x, torch.from_numpy(self.bends).to(x.device))
        elif observed.all():
            return each.sum().expand(len(x)).clone()
        return torch.where(observed, each, 0.0).flatten(1).sum(1)

    def is_random(self, continuous: bool) -> bool:
        """Whether `draw` needs its noise; `continuous` as there."""
        return self.binarize or (continuous and self.domain in ("binary", "levels"))

    def draw(self, x: Tensor, u: Tensor, continuous: bool) -> Tensor:
        """Binarized or dequantized x, or x as it is where nothing about it is random.

        Args:
            x: (n, *x_shape), from `to_model`; what is NaN stays NaN.
            u: noise of that shape, uniform on [0, 1).
            continuous: whether the model gives a density, and needs whole values spread over their bins, each as
                wide as the step from one to the next.

        Returns:
            (n, *x_shape).
        """
        if self.binarize:
            bits = torch.where(x.isnan(), x, (u < x).to(x.dtype))
            # Given its bit, u is uniform below or above x: what is left of it dequantizes the bit.
            left = torch.where(u < x, u / x, (u - x) / (1 - x))
            return bits + left - 0.5 if continuous else bits
        return x + (u - 0.5) / (self.levels - 1) if self.is_random(continuous) else x

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON has it: dict, list, str, int, finite float, bool and None."""
        data: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self), allow_nan=False))
        return data

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """The inverse of `to_json`; trusts nothing.

        Raises:
            ModelFileError: naming the field that is missing, unknown, of another type, not finite or absurd.
        """
        from likely.data.schema_json import schema_fields

        return cls(**schema_fields(data))

    @functools.cached_property
    def kept_columns(self) -> np.ndarray:
        """The numbers of the columns that a model sees."""
        return np.array([i for i, column in enumerate(self.columns) if column.is_seen], dtype=np.int64)

    @functools.cached_property
    def constant_columns(self) -> tuple[int, ...]:
        """The numbers of the columns that were set aside."""
        return tuple(i for i, column in enumerate(self.columns) if column.constant is not None)

    @functools.cached_property
    def locations(self) -> np.ndarray:
        """The location of each value that a model sees, where there are columns."""
        return np.array([column.location for column in self.columns for _ in range(column.width)])

    @functools.cached_property
    def scales(self) -> np.ndarray:
        """The scale of each value that a model sees, where there are columns."""
        return np.array([column.scale for column in self.columns for _ in range(column.width)])

    @functools.cached_property
    def bends(self) -> np.ndarray:
        """How many scales off each value that a model sees is squeezed, where there are columns; mostly infinite."""
        return np.array([column.bend for column in self.columns for _ in range(column.width)])

    def channel_tensor(self, values: tuple[float, ...]) -> Tensor:
        """One number per channel, or one for all, shaped to broadcast over (n, *x_shape); float64."""
        shape = (-1, *[1] * (len(self.x_shape) - 1)) if len(values) > 1 else (1,) * len(self.x_shape)
        return torch.tensor(values, dtype=torch.float64).reshape(shape)

    @functools.cached_property
    def _log_slopes(self) -> Tensor:
        """log |d model / d raw| of each value, (*x_shape) float64; 0 for categories, whose values have no unit."""
        if self.columns:
            return torch.from_numpy(-np.log(self.scales))
        if self.domain == "real":
            return -self.channel_tensor(self.scale).log().expand(self.x_shape)
        steps = self.high - self.low if self.domain == "unit" else self.levels - 1
        return torch.full(self.x_shape, -math.log(steps), dtype=torch.float64)


def _as_array(x: Tensor | np.ndarray) -> np.ndarray:
    if isinstance(x, np.ndarray):
        return x
    x = x.detach().cpu()
    array: np.ndarray = (x if x.dtype == torch.float64 else x.float()).numpy()
    return array
