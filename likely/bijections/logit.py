"""The logit: from an interval to all real numbers."""

import math
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from likely.bijections.bijection import Bijection, at_least_float32


@final
class Logit(Bijection):
    """y = log p - log(1 - p) for p = (x - low + m) / (high - low + 2 m), m = margin (high - low).

    log|det dy/dx| is the sum of -log p - log(1 - p) - log(high - low + 2 m). The margin keeps the ends finite: `low`
    and `high` go to -l and l, l = log(1 + 1 / margin). A density that is modeled beyond has its support in
    [low - m, high + m]; what lies outside is taken for the nearest number inside.

    Args:
        low: the least that x is.
        high: the most that x is.
        margin: as a share of high - low.

    Raises:
        ValueError: if high is not above low, or the margin is negative.

    Reference: Density estimation using Real NVP (Dinh et al., 2017), arXiv:1605.08803, section 4.1
    """

    def __init__(self, low: float, high: float, margin: float = 1e-5) -> None:
        super().__init__()
        if not high > low:
            raise ValueError(f"Logit needs low < high, got low={low:g} and high={high:g}")
        if not margin >= 0:
            raise ValueError(f"Logit: margin must not be negative, got {margin:g}")
        self.least = low - margin * (high - low)
        self.most = high + margin * (high - low)
        self.width = self.most - self.least

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`; a context changes nothing."""
        x = at_least_float32(x)
        nothing = torch.finfo(x.dtype).eps
        log_p, log_rest = (
            (part / self.width).clamp(nothing, 1 - nothing).log() for part in (x - self.least, self.most - x)
        )
        return log_p - log_rest, self._summed(-log_p - log_rest)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`; a context changes nothing."""
        y = at_least_float32(y)
        return self.least + self.width * y.sigmoid(), -self._summed(F.softplus(y) + F.softplus(-y))

    def _summed(self, each: Tensor) -> Tensor:
        return (each - math.log(self.width)).flatten(1).sum(1)
