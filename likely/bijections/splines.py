"""Monotone rational-quadratic splines.

Reference: Neural Spline Flows (Durkan et al., 2019), arXiv:1906.04032
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from likely.bijections.bijection import at_least_float32, bounded
from likely.bijections.transformers import Transformer

MIN_SHARE = 1e-3
"""Of the interval, for each bin: none vanishes, whatever the network says."""


class Knots(NamedTuple):
    """Where a spline goes through, and how steeply: each (..., bins + 1), rising; slopes are positive."""

    x: Tensor
    y: Tensor
    slope: Tensor


def spline_forward(x: Tensor, knots: Knots) -> tuple[Tensor, Tensor]:
    """y and log dy/dx of x (...,) between the first and the last knot.

    Reference: arXiv:1906.04032, equations 4 and 5
    """
    x0, y0, width, height, d0, d1 = _bin(x, knots, knots.x)
    secant = height / width
    t = (x - x0) / width
    rest, both = 1 - t, t * (1 - t)
    below = secant + (d0 + d1 - 2 * secant) * both
    y = y0 + height * (secant * t.square() + d0 * both) / below
    slope = d1 * t.square() + 2 * secant * both + d0 * rest.square()
    return y, 2 * secant.log() + slope.log() - 2 * below.log()


def spline_inverse(y: Tensor, knots: Knots) -> tuple[Tensor, Tensor]:
    """x and log dx/dy of y (...,) between the first and the last knot, by the root of a quadratic.

    Reference: arXiv:1906.04032, equations 6 to 8; 2c / (-b - sqrt(b^2 - 4ac)) is the root that loses no digits
    """
    x0, y0, width, height, d0, d1 = _bin(y, knots, knots.y)
    secant, risen = height / width, y - y0
    bend = d0 + d1 - 2 * secant
    a = height * (secant - d0) + risen * bend
    b = height * d0 - risen * bend
    c = -secant * risen
    t = 2 * c / (-b - (b.square() - 4 * a * c).clamp_min(0).sqrt())
    rest, both = 1 - t, t * (1 - t)
    slope = d1 * t.square() + 2 * secant * both + d0 * rest.square()
    return x0 + t * width, 2 * (secant + bend * both).log() - 2 * secant.log() - slope.log()


def _bin(value: Tensor, knots: Knots, along: Tensor) -> tuple[Tensor, ...]:
    """Of the bin that each value lies in, by the knots along its axis: x0, y0, width, height and both slopes."""
    inner = along[..., 1:-1]
    index = (value.unsqueeze(-1) >= inner).sum(-1, keepdim=True)
    x0, x1 = _at(knots.x, index), _at(knots.x, index + 1)
    y0, y1 = _at(knots.y, index), _at(knots.y, index + 1)
    return x0, y0, x1 - x0, y1 - y0, _at(knots.slope, index), _at(knots.slope, index + 1)


def _at(numbers: Tensor, index: Tensor) -> Tensor:
    return numbers.expand(*index.shape[:-1], numbers.shape[-1]).gather(-1, index).squeeze(-1)


@dataclass(frozen=True)
class Spline(Transformer):
    """A monotone rational-quadratic spline from [-bound, bound] to itself, and the identity beyond.

    Attributes:
        bins: pieces of the spline.
        bound: where the identity begins; values should be of about unit scale.

    Reference: Neural Spline Flows (Durkan et al., 2019), arXiv:1906.04032, section 3.1
    """

    bins: int = 8
    bound: float = 4.0

    def __post_init__(self) -> None:
        if self.bins < 2 or not self.bound > 0:
            raise ValueError(
                f"Spline: bins must be at least 2 and bound positive, got bins={self.bins}, bound={self.bound}"
            )
        if self.bins * MIN_SHARE >= 1:
            raise ValueError(f"Spline: bins must be fewer than {round(1 / MIN_SHARE)}, got {self.bins}")

    @property
    def outputs(self) -> int:
        """As `Transformer.outputs`: widths, heights, and the slopes between bins."""
        return 3 * self.bins - 1

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """As `Transformer.forward`."""
        return self._moved(spline_forward, x, raw)

    def inverse(self, y: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        """As `Transformer.inverse`."""
        return self._moved(spline_inverse, y, raw)

    def _moved(
        self, move: Callable[[Tensor, Knots], tuple[Tensor, Tensor]], value: Tensor, raw: Tensor
    ) -> tuple[Tensor, Tensor]:
        value = at_least_float32(value)
        within = value.abs() < self.bound
        # Beyond the knots any place within will do: what is computed there is thrown away, its gradient too.
        moved, log_slope = move(torch.where(within, value, 0), self._knots(raw))
        return torch.where(within, moved, value), torch.where(within, log_slope, 0)

    def _knots(self, raw: Tensor) -> Knots:
        widths, heights, slopes = raw.movedim(1, -1).split((self.bins, self.bins, self.bins - 1), -1)
        return Knots(self._places(widths), self._places(heights), F.pad(bounded(slopes), (1, 1)).exp())

    def _places(self, raw: Tensor) -> Tensor:
        shares = MIN_SHARE + (1 - MIN_SHARE * self.bins) * raw.softmax(-1)
        inner = self.bound * (2 * shares[..., :-1].cumsum(-1) - 1)
        # The ends are exact, so that the spline meets the identity there.
        return torch.cat(
            [F.pad(inner, (1, 0), value=-self.bound), inner.new_full((*inner.shape[:-1], 1), self.bound)], -1
        )
