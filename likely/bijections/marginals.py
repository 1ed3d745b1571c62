"""Value by value: what makes each column of a table look like a normal."""

import math
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.bijections.bijection import Bijection, at_least_float32, bounded
from likely.bijections.splines import Knots, spline_forward, spline_inverse

REACH = 2.5
"""Knots start spread over so many standard deviations of a normal to both sides, or over what the rows can tell of."""

MIN_WIDTH = 1e-4
"""Between two knots, in units of x and of y."""

LOG_SLOPE_BOUND = 7.0

N_QUANTILES = 512
"""So many quantiles of a column stand for its rows when a start is taken from it."""

MIN_BANDWIDTH, BANDWIDTH = 0.01, 0.9
"""Of the kernel a start is smoothed by, in standard deviations: at least; times n^(-1/5), by Silverman's rule."""

N_BISECTIONS = 40


@final
class Marginals(Bijection):
    """y_i = f_i(x_i): a monotone rational-quadratic spline of its own for each value, which goes on like a logarithm.

    Beyond its last knots f is y_K + log(1 + a s (x - x_K)) / a, s its slope there, and 0 < a < 1: with a base of
    normals tails are heavier than a normal's, and extreme rows are unlikely but not impossible. `start` makes each
    value about standard normal over the rows it is shown, from a kernel estimate of its distribution.

    Args:
        n: how many values.
        bins: pieces of each spline.

    Reference: the spline, Neural Spline Flows (Durkan et al., 2019), arXiv:1906.04032; the start, Gaussianization (Chen
        & Gopinath, 2000); tails that a normal cannot have, Tails of Lipschitz Triangular Flows (Jaini et al., 2020),
        arXiv:1907.04481
    """

    def __init__(self, n: int, bins: int = 16) -> None:
        super().__init__()
        if n < 1 or bins < 2:
            raise ValueError(f"Marginals needs at least 1 value and 2 bins, got n={n}, bins={bins}")
        self.n, self.bins = n, bins
        width = _inverse_softplus(torch.full((n, bins), 2 * REACH / bins - MIN_WIDTH))
        self.low = nn.Parameter(torch.full((n, 2), -REACH))
        self.widths, self.heights = nn.Parameter(width), nn.Parameter(width.clone())
        self.log_slopes = nn.Parameter(torch.zeros(n, bins + 1))
        self.tails = nn.Parameter(torch.full((n, 2), 2.0))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`; a context changes nothing."""
        x, knots = at_least_float32(x), self._knots()
        low, high = knots.x[:, 0], knots.x[:, -1]
        y, log_slope = spline_forward(x.clamp(low, high), knots)
        beyond = torch.where(x < low, low - x, (x - high).clamp_min(0))
        slope, bend, side = self._tail(x < low, knots)
        grown = torch.log1p(bend * slope * beyond)
        return y + side * grown / bend, (log_slope - grown).sum(1)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`; a context changes nothing."""
        y, knots = at_least_float32(y), self._knots()
        low, high = knots.y[:, 0], knots.y[:, -1]
        x, log_slope = spline_inverse(y.clamp(low, high), knots)
        beyond = torch.where(y < low, low - y, (y - high).clamp_min(0))
        slope, bend, side = self._tail(y < low, knots)
        grown = bend * beyond
        return x + side * torch.expm1(grown) / (bend * slope), (log_slope + grown).sum(1)

    @torch.no_grad()
    def start(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `Bijection.start`."""
        rows, n_rows = at_least_float32(x), len(x)
        # The outermost rows lie about there; what is beyond is for the tails.
        reach = min(REACH, math.sqrt(2) * float(torch.erfinv(torch.tensor(1 - 2 / max(4, n_rows)))))
        y = torch.linspace(-reach, reach, self.bins + 1, dtype=rows.dtype, device=rows.device)
        knots, density = _smoothed_quantiles(rows, torch.special.ndtr(y))
        normal = torch.exp(-0.5 * y.square()) / math.sqrt(2 * math.pi)
        slope = density / normal
        # A kernel's own tail is lighter than any data's: at the ends the slope is that of the last bin.
        secant = 2 * reach / self.bins / (knots[:, 1:] - knots[:, :-1]).clamp_min(MIN_WIDTH)
        slope[:, 0], slope[:, -1] = secant[:, 0], secant[:, -1]
        self.low.copy_(torch.stack([knots[:, 0], y[0].expand(self.n)], 1))
        self.widths.copy_(_inverse_softplus((knots.diff(dim=1) - MIN_WIDTH).clamp_min(MIN_WIDTH)))
        self.heights.copy_(_inverse_softplus((y.diff() - MIN_WIDTH).expand(self.n, -1)))
        bound = 0.95 * LOG_SLOPE_BOUND
        self.log_slopes.copy_(LOG_SLOPE_BOUND * torch.atanh(slope.log().clamp(-bound, bound) / LOG_SLOPE_BOUND))
        return super().start(x, context)

    def _knots(self) -> Knots:
        x, y = (
            torch.cat([low, low + (F.softplus(raw) + MIN_WIDTH).cumsum(1)], 1)
            for low, raw in ((self.low[:, :1], self.widths), (self.low[:, 1:], self.heights))
        )
        return Knots(x, y, bounded(self.log_slopes, LOG_SLOPE_BOUND).exp())

    def _tail(self, below: Tensor, knots: Knots) -> tuple[Tensor, Tensor, Tensor]:
        """Of the side that each value lies on: the slope at the last knot, a, and the sign."""
        bend = self.tails.sigmoid().clamp_min(MIN_WIDTH)
        slope = torch.where(below, knots.slope[:, 0], knots.slope[:, -1])
        return slope, torch.where(below, bend[:, 0], bend[:, 1]), 1 - 2 * below.to(slope.dtype)


def _smoothed_quantiles(rows: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Where a kernel estimate of each column of rows (m, n) reaches shares (k,), and its density there: (n, k) each."""
    m = len(rows)
    middles = (torch.arange(min(m, N_QUANTILES), device=rows.device, dtype=rows.dtype) + 0.5) / min(m, N_QUANTILES)
    ordered = rows.sort(0).values.T.contiguous()  # (n, m)
    points = ordered[:, (middles * m).long().clamp_max(m - 1)]
    scale = rows.std(0, correction=0)
    quarter, three = ordered[:, m // 4], ordered[:, min(m - 1, 3 * m // 4)]
    robust = torch.minimum(scale, (three - quarter) / 1.349)
    width = torch.maximum(BANDWIDTH * robust * m**-0.2, MIN_BANDWIDTH * scale).clamp_min(MIN_WIDTH)[:, None, None]
    low = (ordered[:, :1] - 10 * width[:, 0]).expand(-1, len(shares))
    high = (ordered[:, -1:] + 10 * width[:, 0]).expand(-1, len(shares))
    for _ in range(N_BISECTIONS):
        middle = (low + high) / 2
        reached = torch.special.ndtr((middle[:, :, None] - points[:, None, :]) / width).mean(2)
        low, high = torch.where(reached < shares, middle, low), torch.where(reached < shares, high, middle)
    standard = (low[:, :, None] - points[:, None, :]) / width
    density = (torch.exp(-0.5 * standard.square()) / (width * math.sqrt(2 * math.pi))).mean(2)
    return low, density


def _inverse_softplus(x: Tensor) -> Tensor:
    return x + torch.log(-torch.expm1(-x))
