"""How heavy the tail of random weights is, and how far the mean of some of them can be from what it estimates."""

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

MIN_TAIL = 20
"""Fewer weights have no shape that can be told."""

N_GRID, PRIOR_WIDTH = 30, 3.0
"""Of the fit: points beyond the root of the tail's size, and how wide the prior of the slope is, in quartiles."""

PRIOR_SHAPE, PRIOR_SIZE = 0.5, 10
"""The shape is drawn towards 0.5, as if so many more weights said so: few weights say little."""

ALIKE = 1e-4
"""Weights that differ by less, relative to their mean, are alike: as many digits rounding takes."""

MAX_SHAPE = 0.95
"""The mean of a tail whose shape is 1 is infinite: no error bar is made of a heavier one than this."""

HEAVY = 0.7
"""A tail of a larger shape is heavy: however many weights are drawn, their mean is no use."""

FORESIGHT = 10
"""The variance of weights is that of a sample so many times as large, by the shape of its tail."""


def heavy_from(n: int) -> float:
    """The shape above which the mean of n weights cannot be trusted: 0.7, and less where n is under 2,200.

    Reference: Pareto Smoothed Importance Sampling (Vehtari et al., 2024), arXiv:1507.02646
    """
    return min(HEAVY, 1 - 1 / math.log10(max(n, 11)))


def tail_size(n: int) -> int:
    """How many of n weights, the largest, are their tail."""
    return int(min(0.2 * n, 3 * math.sqrt(n)))


def too_few(n: int) -> bool:
    """Whether n weights, fewer than 100, have no tail whose shape can be told."""
    return tail_size(n) < MIN_TAIL


@dataclass(frozen=True)
class Tail:
    """Generalized Pareto distributions of the largest weights of each row.

    P(weight > start + y) = share (1 + shape y / scale)^(-1 / shape).

    Attributes:
        shape: (n,): moments of an order of 1 / shape and above are infinite; negative where weights are bounded, minus
            infinity where they are all alike. NaN where the weights are too few.
        scale: (n,), in the units of the weights.
        start: (n,), the weight that the tail begins at.
        size: how many weights it is fitted to.
        share: of all weights.
    """

    shape: Tensor
    scale: Tensor
    start: Tensor
    size: int
    share: float

    @classmethod
    def of(cls, weights: Tensor) -> Self:
        """The tails of non-negative weights (k, n), float64.

        Reference: Pareto Smoothed Importance Sampling (Vehtari et al., 2024), arXiv:1507.02646
        """
        k, n = weights.shape
        size = tail_size(k)
        if too_few(k):
            unknown = weights.new_full((n,), math.nan)
            return cls(unknown, unknown, unknown, size, size / k)
        largest = weights.topk(size + 1, 0).values.flip(0)
        start, beyond = largest[0], largest[1:] - largest[0]
        beyond = torch.where(beyond[-1] < ALIKE * weights.mean(0), 0.0, beyond)
        shape, scale = fitted_pareto(beyond)
        shape = (size * shape + PRIOR_SIZE * PRIOR_SHAPE) / (size + PRIOR_SIZE)
        return cls(shape, scale, start, size, size / k)

    @property
    def unknown(self) -> bool:
        """Whether the weights are too few for a shape."""
        return self.size < MIN_TAIL

    def quantile(self, p: Tensor) -> Tensor:
        """The weight below which the share p (m,) of the tail lies: (m, n)."""
        shape, left = self._finite_shape(), (1 - p).unsqueeze(1)
        return self.start + self.scale * (left.pow(-shape) - 1) / shape

    def second_moment(self) -> Tensor:
        """The mean square of the tail's weights that `FORESIGHT` times as many draws would find: (n,)."""
        n = FORESIGHT * self.size
        p = (torch.arange(n, dtype=self.shape.dtype, device=self.shape.device) + 0.5) / n
        return self.quantile(p).square().mean(0)

    def unseen(self) -> Tensor:
        """What larger weights than as many draws are likely to find add to the mean of all weights: (n,).

        The mean excess over the quantile at 1 - 1 / size, by how likely an excess is.
        """
        shape = self._finite_shape()
        last = self.quantile(self.shape.new_tensor([1 - 1 / self.size]))[0]
        excess = (self.scale + shape * (last - self.start)) / (1 - shape)
        return self.share / self.size * excess.clamp_min(0)

    def _finite_shape(self) -> Tensor:
        """Shapes that powers and quotients can be made of."""
        shape = self.shape.clamp(-MAX_SHAPE, MAX_SHAPE)
        return torch.where(shape.abs() < 1e-6, 1e-6, shape)


def foreseen_variance(weights: Tensor, tail: Tail) -> Tensor:
    """The variance of weights (k, n), k > 1, or what it is by the shape of their tail, where that is more: (n,).

    A sample without the large weights that are due now and then knows nothing of them.
    """
    drawn = weights.var(0)
    if tail.unknown:
        return drawn
    seen = weights.topk(tail.size, 0).values.square().mean(0)
    return drawn + tail.share * (tail.second_moment() - seen).clamp_min(0)


def fitted_pareto(x: Tensor) -> tuple[Tensor, Tensor]:
    """Shape and scale of generalized Pareto distributions, each (n,), from rising samples (m, n) that begin at zero.

    The posterior mean over a grid of slopes b = -shape / scale, each with its best shape. A column whose samples are
    all zero has the shape minus infinity and the scale zero.

    Reference: A New and Efficient Estimation Method for the Generalized Pareto Distribution (Zhang & Stephens, 2009),
        Technometrics 51(3); shape is their -k
    """
    m = len(x)
    flat = x[-1] <= 0
    largest = torch.where(flat, 1.0, x[-1])
    x = x / largest
    quartile = x[int(m / 4 + 0.5) - 1].clamp_min(1e-300)
    n_grid = N_GRID + int(math.sqrt(m))
    places = (torch.arange(n_grid, dtype=x.dtype, device=x.device) + 0.5).unsqueeze(1)
    slopes = 1 + (1 - (n_grid / places).sqrt()) / (PRIOR_WIDTH * quartile)
    shapes = torch.stack([torch.log1p(-slope * x).mean(0) for slope in slopes])
    profile = m * ((-slopes / shapes).log() - shapes - 1)
    slope = (profile.softmax(0) * slopes).sum(0)
    shape = torch.log1p(-slope * x).mean(0)
    scale = largest * -shape / slope
    return torch.where(flat, -math.inf, shape), torch.where(flat, 0.0, scale)
