"""Rows with missing values: held against what others show of the same cells, and their gaps against usual gaps.

What a row does not show cannot surprise, so its surprise says little beside those of rows that show more. A row is
therefore judged among calibration rows that show as much:

1. those with the very same gaps, where there are `ENOUGH` of them: so rates hold for each pattern of gaps;
2. else those that show all that it shows, masked alike: at most `MOST`, and at least `ENOUGH` or half of all;
3. else the `ENOUGH` that share most cells with it, each compared with it by the cells that both show. The share of
   these that are as strange is no p-value yet, since it tells less where less is shared: it is held against that of
   `N_SHARES` calibration rows, each beside the others.

Which cells are missing is evidence of its own: a pattern of gaps that few rows of the fit had is rare.
"""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from likely.errors import ModelFileError
from likely.tasks.conformal import rank

ENOUGH = 99
"""So many rows to compare with tell rates from one in a hundred on."""

MOST = 499
"""No row is compared with more rows that had to be masked for it."""

MAX_KEPT = 1_999
"""Calibration rows that are kept to be masked."""

N_SHARES = 199
"""Calibration rows that tell what share of others is as strange as an ordinary row, by the cells that both show."""

PAIRED_AT_ONCE = 32
"""Rows that are compared one by one are so many at once."""

GAPS_SHARE = 0.1
"""Of the false alarms that are asked for, at most so large a share again comes from rare gaps (Bonferroni)."""

Judge = Callable[[Tensor, Tensor | None], np.ndarray]
"""The surprise (n,) of rows x (n, *x_shape) with their condition, float64."""


def pattern_keys(missing: np.ndarray) -> np.ndarray:
    """A text for each pattern of gaps: missing (n, values) bool, returns (n,) of hexadecimal digits."""
    packed = np.packbits(missing, axis=1)
    return np.array([each.tobytes().hex() for each in packed], dtype=object)


def pattern_counts(missing: np.ndarray) -> dict[str, int]:
    """How many rows have each pattern of gaps: missing (n, values) bool."""
    patterns, counts = np.unique(np.packbits(missing, axis=1), axis=0, return_counts=True)
    return {each.tobytes().hex(): int(n) for each, n in zip(patterns, counts, strict=True)}


@dataclass(frozen=True)
class Usual:
    """How often rows of the fit had which gaps.

    Attributes:
        n_rows: how many rows were looked at.
        counts: by pattern, how many of them had it; only of patterns that more than one row had.
    """

    n_rows: int
    counts: Mapping[str, int]

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> "Usual":
        """From how many rows had each pattern."""
        return cls(sum(counts.values()), {key: n for key, n in counts.items() if n > 1})

    def p_value(self, key: str) -> float:
        """The share of rows whose gaps are as rare, this one among them: exact for exchangeable rows."""
        own = self.counts.get(key, 0)
        rarer = sum(n for other, n in self.counts.items() if other != key and n <= own + 1)
        alone = self.n_rows - sum(self.counts.values())
        return (1 + own + rarer + alone) / (self.n_rows + 1)


@dataclass(frozen=True)
class Gaps:
    """Calibration rows, kept so that they can be masked as new rows are, and the gaps that were usual at fit.

    Attributes:
        x: (n, *x_shape), as the model takes them, NaN where missing; in random order, on the CPU.
        condition: (n, *condition_shape), or None.
        surprises: (n,), of these rows as they are; infinite for those that are novel by definition.
        usual: how often rows of the fit had which gaps.
    """

    x: Tensor
    condition: Tensor | None
    surprises: np.ndarray
    usual: Usual
    _masked: dict[Any, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    @functools.cached_property
    def shown(self) -> np.ndarray:
        """(n, values) bool: which values of each row are there."""
        there: np.ndarray = ~self.x.flatten(1).isnan().numpy()
        return there

    @property
    def complete(self) -> bool:
        """Whether no calibration row has a gap."""
        return bool(self.shown.all())

    def p_values(
        self, x: Tensor, condition: Tensor | None, surprises: np.ndarray, judge: Judge
    ) -> tuple[np.ndarray, dict[int, str]]:
        """P-values of rows among calibration rows that show as much of themselves, and of their gaps.

        Args:
            x: (m, *x_shape), NaN where missing.
            condition: (m, *condition_shape), or None.
            surprises: (m,), of these rows.
            judge: what gave them.

        Returns:
            (m,) p-values, and by row the patterns of those whose gaps are the stronger evidence.
        """
        missing = x.flatten(1).isnan().numpy()
        keys = pattern_keys(missing)
        p, rare = np.empty(len(x)), dict[int, str]()
        for key in dict.fromkeys(keys.tolist()):
            ids = np.flatnonzero(keys == key)
            own = None if condition is None else condition[ids]
            p[ids] = self._of_pattern(key, ~missing[ids[0]], x[ids], own, surprises[ids], judge)
            by_gaps = min(1.0, self.usual.p_value(key) / GAPS_SHARE)
            rare |= {int(row): key for row in ids[by_gaps < p[ids]]}
            p[ids] = np.minimum(p[ids], by_gaps)
        return p, rare

    def _of_pattern(
        self, key: str, shows: np.ndarray, x: Tensor, condition: Tensor | None, surprises: np.ndarray, judge: Judge
    ) -> np.ndarray:
        same = (self.shown == shows).all(1)
        if same.sum() >= min(ENOUGH, len(same)):
            return rank(np.sort(self.surprises[same]), surprises)
        more = np.flatnonzero(self.shown[:, shows].all(1))
        if len(more) >= min(ENOUGH, math.ceil(len(same) / 2)):
            masked = self._masked_alike((key, x.dtype), more[:MOST], shows[None], judge)
            return rank(np.sort(masked), surprises)
        return self._by_shared_cells(key, shows, x, condition, judge)

    def _by_shared_cells(
        self, key: str, shows: np.ndarray, x: Tensor, condition: Tensor | None, judge: Judge
    ) -> np.ndarray:
        """Where each row's `_share_as_strange` stands among those of calibration rows, each beside the others."""
        everybody = np.arange(len(self.x))
        own = self._share_as_strange(self._masked_for(key, shows, everybody, judge), x, condition, judge)
        return rank(np.sort(-self._shares(x.dtype, judge)), -own)

    def _shares(self, dtype: torch.dtype, judge: Judge) -> np.ndarray:
        """`_share_as_strange` of calibration rows, each beside the others: (at most `N_SHARES`,)."""
        if ("shares", dtype) not in self._masked:
            found = []
            for i in range(min(N_SHARES, len(self.x))):
                others = np.delete(np.arange(len(self.x)), i)
                one, given = self.x[[i]].to(dtype), None if self.condition is None else self.condition[[i]]
                found.append(
                    self._share_as_strange(self._masked_for("", self.shown[i], others, judge), one, given, judge)
                )
            self._masked["shares", dtype] = np.concatenate(found)
        return self._masked["shares", dtype]

    def _masked_for(self, key: str, shows: np.ndarray, rows: np.ndarray, judge: Judge) -> tuple[np.ndarray, np.ndarray]:
        """Of those rows that share most cells with what a row `shows`, the cells and the surprise of them alone."""
        both = self.shown[rows] & shows
        nearest = np.argsort(-both.sum(1), kind="stable")[:ENOUGH]
        nearest = nearest[both[nearest].any(1)]
        cells = both[nearest]
        return cells, self._masked_alike((key, self.x.dtype) if key else None, rows[nearest], cells, judge)

    def _share_as_strange(
        self, masked: tuple[np.ndarray, np.ndarray], x: Tensor, condition: Tensor | None, judge: Judge
    ) -> np.ndarray:
        """The share of rows that are at least as strange as each of x by the cells that both show: (m,)."""
        cells, theirs = masked
        if not len(cells):
            return np.ones(len(x))
        masks = torch.from_numpy(cells).view(-1, *x.shape[1:])
        pieces = []
        for ids in torch.arange(len(x)).split(PAIRED_AT_ONCE):
            rows = x[ids].unsqueeze(1).where(masks, torch.nan).flatten(0, 1)
            own = judge(rows, None if condition is None else condition[ids].repeat_interleave(len(masks), 0))
            pieces.append((theirs >= own.reshape(len(ids), -1)).mean(1))
        return np.concatenate(pieces)

    def _masked_alike(self, cached: Any, rows: np.ndarray, shows: np.ndarray, judge: Judge) -> np.ndarray:
        """Surprises of calibration rows of which nothing is seen but the cells that `shows` (k or 1, values)."""
        if cached is not None and cached in self._masked:
            return self._masked[cached]
        x = self.x[torch.from_numpy(rows)]
        mask = torch.from_numpy(shows).view(-1, *x.shape[1:])
        condition = None if self.condition is None else self.condition[torch.from_numpy(rows)]
        judged = judge(x.where(mask, torch.nan), condition)
        found = np.where(np.isinf(self.surprises[rows]), math.inf, judged)
        if cached is not None:
            self._masked[cached] = found
        return found

    def to_json(self) -> dict[str, Any]:
        """All but the rows."""
        novel = np.isinf(self.surprises)
        return {
            "surprises": np.where(novel, 0.0, self.surprises).tolist(),
            "novel": np.flatnonzero(novel).tolist(),
            "n_rows": self.usual.n_rows,
            "counts": dict(self.usual.counts),
        }

    def tensors(self) -> dict[str, Tensor]:
        """The rows, by name."""
        return {"calibration_x": self.x} | ({} if self.condition is None else {"calibration_condition": self.condition})

    @classmethod
    def from_json(cls, data: Any, tensors: Mapping[str, Tensor]) -> "Gaps":
        """The inverse of `to_json` and `tensors`.

        Raises:
            ModelFileError: if they do not fit together.
        """
        x, condition = tensors.get("calibration_x"), tensors.get("calibration_condition")
        match data:
            case {
                "surprises": list(values),
                "novel": list(novel),
                "n_rows": int(n_rows),
                "counts": dict(counts),
                **rest,
            } if (
                not rest
                and x is not None
                and x.is_floating_point()
                and x.ndim > 1
                and len(x) == len(values) > 0
                and (condition is None or len(condition) == len(x))
                and all(isinstance(value, float) and math.isfinite(value) for value in values)
                and all(type(row) is int and 0 <= row < len(values) for row in novel)
                and all(type(n) is int and n > 1 for n in counts.values())
                and sum(counts.values()) <= n_rows
            ):
                surprises = np.array(values)
                surprises[np.array(novel, dtype=np.int64)] = math.inf
                return cls(x, condition, surprises, Usual(n_rows, counts))
        raise ModelFileError("the calibration rows do not fit the calibration; fit the model again")
