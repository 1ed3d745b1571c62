"""Calibration: from a surprise to a p-value and a flag at a stated false-alarm rate."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from likely.errors import ModelFileError
from likely.tasks.conformal import rank, spread_of
from likely.tasks.gaps import Gaps

MAX_NOVEL = 10_000_000
"""No file has more calibration rows that are novel by definition."""


@dataclass(frozen=True)
class Calibration:
    """The surprises of rows that the model never saw, against which new rows are held.

    Attributes:
        surprises: (n,), rising; infinite for rows that hold what no training row held, or whose number is not finite.
        n_samples: of how much noise each surprise is made (importance samples, dequantizations, random lines); None
            where nothing is random.
        error: the standard deviation of a surprise over such noise, in its unit.
        gaps: for rows with missing values; None where the model takes none.

    Reference: Algorithmic Learning in a Random World (Vovk et al., 2005), split conformal prediction: exact for rows
        exchangeable with those held out, whatever the model.
    """

    surprises: np.ndarray
    n_samples: int | None = None
    error: float = 0.0
    gaps: Gaps | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "surprises", np.sort(np.asarray(self.surprises, np.float64)))

    def p_value(self, surprise: np.ndarray) -> np.ndarray:
        """The share of rows like those of the fit that would surprise at least as much.

        For rows exchangeable with the calibration rows, P(p_value <= a) <= a.

        Args:
            surprise: (m,); infinite for what is novel by definition.

        Returns:
            (m,), from 1 / (n + 1) to 1.
        """
        return rank(self.surprises, surprise)

    def surprise_at(self, p_value: np.ndarray) -> np.ndarray:
        """The largest surprise with such a p-value, or a larger one: (m,); just above all where none is as small."""
        n = len(self.surprises)
        at_least = np.ceil(p_value * (n + 1) - 1e-9).astype(np.int64) - 1
        rising = np.append(self.surprises, np.nextafter(self.surprises[-1], math.inf) if n else math.inf)
        return np.asarray(rising[n - at_least.clip(0, n)])

    def threshold(self, false_alarm_rate: float) -> float:
        """The surprise above which a row is flagged; infinite with fewer than 1 / rate - 1 rows."""
        n_flagged = math.floor(false_alarm_rate * (len(self.surprises) + 1) + 1e-9)
        return math.inf if n_flagged < 1 else float(self.surprises[-min(n_flagged, len(self.surprises))])

    def shortage(self, false_alarm_rate: float) -> str:
        """What to say where there are too few rows to flag anything at this rate; empty otherwise."""
        n = len(self.surprises)
        if false_alarm_rate * (n + 1) >= 1 - 1e-9:
            return ""
        return (
            f"nothing can be flagged at a false-alarm rate of {false_alarm_rate:g} with {n} calibration rows: "
            f"that takes {math.ceil(1 / false_alarm_rate - 1 - 1e-9)}; the lowest rate here is {1 / (n + 1):.3g}"
        )

    def noise_told(self) -> str:
        """How far the noise in a surprise reaches, in words; empty where there is none to speak of."""
        finite = self.surprises[np.isfinite(self.surprises)]
        spread = spread_of(finite)
        if not self.error or not spread:
            return ""
        return (
            f"each surprise is made of {self.n_samples} draws of noise, which move it by {self.error:.2g}: "
            f"{self.error / spread:.1%} of the spread of the calibration rows"
        )

    def to_json(self) -> dict[str, Any]:
        """The fields, floats exactly, but for the rows that `gaps` keeps: those are `tensors`."""
        finite = self.surprises[np.isfinite(self.surprises)]
        return {
            "surprises": finite.tolist(),
            "novel": len(self.surprises) - len(finite),
            "n_samples": self.n_samples,
            "error": self.error,
            "gaps": None if self.gaps is None else self.gaps.to_json(),
        }

    def tensors(self) -> dict[str, Tensor]:
        """The calibration rows that are kept, by name."""
        return {} if self.gaps is None else self.gaps.tensors()

    @classmethod
    def from_json(cls, data: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "Calibration | None":
        """The inverse of `to_json` and `tensors`.

        Returns:
            The calibration; None for one by cross-fitting, as older versions wrote it, whose p-values do not hold.

        Raises:
            ModelFileError: if it is no calibration.
        """
        match data:
            case {"surprises": list(values), "cross_fitted": bool(cross_fitted), **rest} if not rest:
                if _all_finite(values):
                    return None if cross_fitted else cls(np.array(values))
            case {
                "surprises": list(values),
                "novel": int(novel),
                "n_samples": int() | None as n_samples,
                "error": float(error),
                "gaps": gaps,
                **rest,
            } if not rest and 0 <= novel <= MAX_NOVEL and error >= 0 and (n_samples is None or 0 < n_samples < 2**31):
                if _all_finite(values):
                    surprises = np.array([*values, *[math.inf] * novel])
                    return cls(surprises, n_samples, error, None if gaps is None else Gaps.from_json(gaps, tensors))
        raise ModelFileError("calibration.json does not hold finite surprises; fit the model again")


def _all_finite(values: list[Any]) -> bool:
    return all(isinstance(value, float) and math.isfinite(value) for value in values)
