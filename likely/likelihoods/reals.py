"""Likelihoods of real numbers."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution, Normal

from likely import rng
from likely.contract import Shape
from likely.likelihoods.inversion import inside
from likely.likelihoods.likelihood import AllowsOutliers, Likelihood, Observation

OUTLIER_SCALE = 10.0
"""Standard deviations of a column: where a strange value may lie."""

_Size = torch.Size | list[int] | tuple[int, ...]
_NO_SHAPE = torch.Size()


@dataclass(frozen=True)
class Gaussian(Likelihood):
    """Independent normals, with one scale per value, learned and floored, or one fixed scale for all.

    A temperature multiplies variances. Where outliers are allowed, noise first decides whether a value is one, and
    what is left of it where it lies; the two shares are raised to the power 1 / temperature and normalized.

    Attributes:
        scale: the standard deviation of every value; None to learn it from raw.
        min_scale: the floor of a learned scale; without one the likelihood is unbounded on constant values.
        outliers: the share of values that is taken to come from a normal as wide as `OUTLIER_SCALE` around the
            same location. With a little of it, one strange value costs a row some nats instead of thousands.

    Reference: for outliers, A Survey of Sampling from Contaminated Distributions (Tukey, 1960)
    """

    scale: float | None = None
    min_scale: float = 0.03
    outliers: float = 0.0

    domains = frozenset({"real", "unit", "levels", "binary"})
    discrete = False

    def __post_init__(self) -> None:
        if (self.scale is not None and self.scale <= 0) or self.min_scale <= 0:
            raise ValueError(f"Gaussian: scale and min_scale must be positive, got {self.scale} and {self.min_scale}")
        if not 0 <= self.outliers < 1:
            raise ValueError(f"Gaussian: outliers must be a share from 0 to below 1, got {self.outliers}")

    @property
    def raw_channels(self) -> int:
        """Location and, where it is learned, scale."""
        return 2 if self.scale is None else 1

    def build(self, x_shape: Shape) -> Observation:
        """As `Likelihood.build`."""
        return _GaussianObservation(self.scale, self.min_scale, self.outliers)

    def raw_scale(self, scale: Tensor) -> Tensor:
        """The raw number that a learned scale is read from; scales under the floor give the floor."""
        above = (scale - self.min_scale).clamp_min(1e-4 * self.min_scale)
        return above + torch.log(-torch.expm1(-above))  # the inverse of softplus


class _GaussianObservation(Observation):
    def __init__(self, scale: float | None, min_scale: float, outliers: float) -> None:
        super().__init__()
        self.scale, self.min_scale, self.outliers = scale, min_scale, outliers

    def values(self, raw: Tensor) -> Distribution:
        loc, scale = self._read(raw)
        return _Contaminated(loc, scale, self.outliers) if self.outliers else _Normal(loc, scale, validate_args=False)

    def draw(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        loc, scale = self._read(raw.double())
        u = inside(noise, noise.dtype)
        if self.outliers:
            ordinary = 1 - _tempered(self.outliers, temperature)
            strange = u >= ordinary
            u = inside(torch.where(strange, (u - ordinary) / (1 - ordinary), u / ordinary), noise.dtype)
            scale = torch.where(strange, OUTLIER_SCALE, scale)
        return (loc + math.sqrt(temperature) * scale * torch.special.ndtri(u)).to(noise.dtype)

    def _read(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        if self.scale is not None:
            return raw, torch.full_like(raw, self.scale)
        loc, raw_scale = raw.chunk(2, dim=1)
        return loc, self.min_scale + F.softplus(raw_scale)


class _Normal(Normal):
    def sample(self, sample_shape: _Size = _NO_SHAPE) -> Tensor:
        return self.loc + self.scale * rng.normal(*self._extended_shape(sample_shape), like=self.loc)


class _Contaminated(_Normal, AllowsOutliers):
    """A normal in which a share of the values comes from a wide one around the same location."""

    def __init__(self, loc: Tensor, scale: Tensor, share: float) -> None:
        super().__init__(loc, scale, validate_args=False)
        self.share = share

    def log_prob(self, value: Tensor) -> Tensor:
        wide = Normal(self.loc, OUTLIER_SCALE, validate_args=False).log_prob(value)
        return torch.logaddexp(math.log1p(-self.share) + super().log_prob(value), math.log(self.share) + wide)

    def sample(self, sample_shape: _Size = _NO_SHAPE) -> Tensor:
        noise = rng.normal(*self._extended_shape(sample_shape), like=self.loc)
        scale = torch.where(rng.uniform_like(noise) < self.share, OUTLIER_SCALE, self.scale)
        return self.loc + scale * noise

    def ordinary_sample(self) -> Tensor:
        return _Normal.sample(self)


def _tempered(share: float, temperature: float) -> float:
    """share ** (1 / temperature), normalized with the rest: a sigmoid, which neither over- nor underflows."""
    return 1 / (1 + math.exp(min(700.0, (math.log1p(-share) - math.log(share)) / temperature)))
