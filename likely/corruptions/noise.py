"""Corruptions that change values and leave no trace of where."""

from dataclasses import dataclass

import torch
from torch import Tensor

from likely import rng
from likely.contract import Shape
from likely.corruptions.operators import Corruption, LinearOperator, Operator, Unseen


class _Noise(Corruption):
    """What is known of its draw to whoever drew it, and to nobody else."""

    def behind(self, y: Tensor, x_shape: Shape) -> Operator:
        """As `Corruption.behind`: nothing."""
        return Unseen()


@dataclass(frozen=True)
class Added(Operator):
    """y = x + noise."""

    noise: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """As `Operator.apply`."""
        return x + self.noise


@dataclass(frozen=True)
class Replaced(Operator):
    """y = x, or what stands there instead: where `by` is a number."""

    by: Tensor

    def apply(self, x: Tensor) -> Tensor:
        """As `Operator.apply`."""
        return torch.where(self.by.isnan(), x, self.by)


@dataclass(frozen=True)
class Kept(LinearOperator):
    """y = x where `kept`, and `fill` elsewhere: 0, or NaN for what is missing."""

    x_shape: Shape
    kept: Tensor
    fill: float

    def apply(self, x: Tensor) -> Tensor:
        """As `Operator.apply`."""
        return x.masked_fill(~self.kept, self.fill)

    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """As `LinearOperator.project`: x with what was kept in its place."""
        return torch.where(self.kept & ~y.isnan(), y, x)


@dataclass(frozen=True)
class GaussianNoise(_Noise):
    """Adds noise of mean zero, not clipped.

    Attributes:
        scale: its standard deviation, in the units of a model's x: 25/255 for 25 gray levels of an image; shares of
            a standard deviation for tables.
        min_scale: where given, each row draws its own scale, uniform between the two, so that a model learns to cope
            with noise of unknown strength.
    """

    scale: float = 0.25
    min_scale: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.scale < float("inf"):
            raise ValueError(f"GaussianNoise: scale must be positive, got {self.scale}")
        if self.min_scale is not None and not 0 <= self.min_scale <= self.scale:
            raise ValueError(f"GaussianNoise: min_scale must be from 0 to scale ({self.scale}), got {self.min_scale}")

    def draw(self, x: Tensor) -> Added:
        """As `Corruption.draw`."""
        noise = rng.normal_like(x)
        if self.min_scale is None:
            return Added(self.scale * noise)
        share = rng.uniform(len(x), *[1] * (x.ndim - 1), like=x)
        return Added((self.min_scale + (self.scale - self.min_scale) * share) * noise)


@dataclass(frozen=True)
class ZeroMasking(_Noise):
    """Sets values to zero, each with the same probability: black in an image, the mean of a table's column.

    Nothing in y tells which zeros were there before; see `Erasing` for values that are known to be missing.

    Reference: Extracting and Composing Robust Features with Denoising Autoencoders (Vincent et al., 2008)
    """

    probability: float = 0.3

    def __post_init__(self) -> None:
        check_probability(self)

    def draw(self, x: Tensor) -> Kept:
        """As `Corruption.draw`."""
        return Kept(tuple(x.shape[1:]), rng.uniform_like(x) >= self.probability, 0.0)


@dataclass(frozen=True)
class SaltAndPepper(_Noise):
    """Sets values to one of two, each with the same probability and by the toss of a coin.

    Attributes:
        probability: that a value is replaced.
        low: one of the two: what is black in a model's images.
        high: the other: what is white there.

    Reference: Stacked Denoising Autoencoders (Vincent et al., 2010), section 3.3
    """

    probability: float = 0.1
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        check_probability(self)

    def draw(self, x: Tensor) -> Replaced:
        """As `Corruption.draw`."""
        coin = torch.where(rng.uniform_like(x) < 0.5, self.low, self.high).to(x.dtype)
        return Replaced(coin.masked_fill(rng.uniform_like(x) >= self.probability, torch.nan))


def check_probability(part: ZeroMasking | SaltAndPepper) -> None:
    """Refuses what is no share of the values, by ValueError."""
    if not 0 <= part.probability <= 1:
        raise ValueError(f"{type(part).__name__}: probability must be from 0 to 1, got {part.probability}")
