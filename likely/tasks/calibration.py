"""Calibration: from a surprise to a p-value and a flag at a stated false-alarm rate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from likely.errors import ModelFileError


@dataclass(frozen=True)
class Calibration:
    """The surprises of rows that the model never saw, against which new rows are held.

    Attributes:
        surprises: (n,), rising.
        cross_fitted: whether each row was judged by a model fitted without it and its fold, instead of by the
            model itself; the p-values are then approximate.

    Reference: Algorithmic Learning in a Random World (Vovk et al., 2005); cross-conformal predictors
        (Vovk, 2015), arXiv:1208.0806
    """

    surprises: np.ndarray
    cross_fitted: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "surprises", np.sort(np.asarray(self.surprises, np.float64)))

    def p_value(self, surprise: np.ndarray) -> np.ndarray:
        """The share of rows like those of the fit that would surprise at least as much.

        For rows exchangeable with the calibration rows, P(p_value <= a) <= a.

        Args:
            surprise: (m,).

        Returns:
            (m,), from 1 / (n + 1) to 1.
        """
        n = len(self.surprises)
        at_least = n - np.searchsorted(self.surprises, surprise, side="left")
        return (1 + at_least) / (n + 1)

    def threshold(self, false_alarm_rate: float) -> float:
        """The surprise above which a row is flagged; infinite with fewer than 1 / rate - 1 rows."""
        n_flagged = math.floor(false_alarm_rate * (len(self.surprises) + 1) + 1e-9)
        return math.inf if n_flagged < 1 else float(self.surprises[-n_flagged])

    def shortage(self, false_alarm_rate: float) -> str:
        """What to say where there are too few rows to flag anything at this rate; empty otherwise."""
        n = len(self.surprises)
        if math.isfinite(self.threshold(false_alarm_rate)):
            return ""
        return (
            f"nothing can be flagged at a false-alarm rate of {false_alarm_rate:g} with {n} calibration rows: "
            f"that takes {math.ceil(1 / false_alarm_rate - 1 - 1e-9)}; the lowest rate here is {1 / (n + 1):.3g}"
        )

    def to_json(self) -> dict[str, Any]:
        """The fields, floats exactly."""
        return {"surprises": self.surprises.tolist(), "cross_fitted": self.cross_fitted}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Calibration":
        """The inverse of `to_json`.

        Raises:
            ModelFileError: if it is no calibration.
        """
        match data:
            case {"surprises": list(surprises), "cross_fitted": bool(cross_fitted), **rest} if not rest and all(
                isinstance(value, float) and math.isfinite(value) for value in surprises
            ):
                return cls(np.array(surprises), cross_fitted)
        raise ModelFileError("calibration.json does not hold finite surprises; fit the model again")
