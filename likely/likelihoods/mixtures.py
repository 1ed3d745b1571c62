"""Mixtures of normals: a likelihood of real numbers that may have several places to be at."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution

from likely import rng
from likely.contract import Shape
from likely.likelihoods.inversion import chosen_with_rest
from likely.likelihoods.levels import draw_index, of_chosen
from likely.likelihoods.likelihood import AllowsOutliers, Likelihood, Observation
from likely.likelihoods.reals import OUTLIER_SCALE

START = 1.5
"""Components start side by side between minus and plus this many standard deviations of a column."""

_LOG_ROOT_2_PI = 0.5 * math.log(2 * math.pi)
_Size = torch.Size | list[int] | tuple[int, ...]
_NO_SHAPE = torch.Size()


@dataclass(frozen=True)
class GaussianMixture(Likelihood):
    """For each value a mixture of normals, with weights, locations and floored scales learned.

    Noise first chooses a component by the cumulated weights, and what is left of it is where in that the value lies:
    not the inverse of the mixture's distribution function, but as good, and without a search. A temperature
    multiplies the components' variances and raises their weights to the power 1 / temperature.

    Attributes:
        components: normals per value.
        min_scale: the floor of their scales, in standard deviations of a column; without one the likelihood is
            unbounded on values that occur again and again.
        outliers: the share of values that is taken to come from a normal as wide as `OUTLIER_SCALE` around the
            mixture's mean.

    Reference: RNADE: The real-valued neural autoregressive density-estimator (Uria, Murray & Larochelle, 2013),
        arXiv:1306.0186
    """

    components: int = 5
    min_scale: float = 0.03
    outliers: float = 0.01

    domains = frozenset({"real", "unit", "levels", "binary"})
    discrete = False

    def __post_init__(self) -> None:
        if self.components < 1 or self.min_scale <= 0:
            got = f"{self.components} and {self.min_scale}"
            raise ValueError(f"GaussianMixture: components must be at least 1 and min_scale positive, got {got}")
        if not 0 <= self.outliers < 1:
            raise ValueError(f"GaussianMixture: outliers must be a share from 0 to below 1, got {self.outliers}")

    @property
    def raw_channels(self) -> int:
        """Weight, location and scale of each component."""
        return 3 * self.components

    def build(self, x_shape: Shape) -> Observation:
        """As `Likelihood.build`."""
        return _GaussianMixtureObservation(self.components, self.min_scale, self.outliers)


class _GaussianMixtureObservation(Observation):
    def __init__(self, components: int, min_scale: float, outliers: float) -> None:
        super().__init__()
        self.components, self.min_scale, self.outliers = components, min_scale, outliers

    def values(self, raw: Tensor) -> Distribution:
        return self._mixture(raw)

    def draw(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        mixture = self._mixture(raw.double())
        index, u = chosen_with_rest((mixture.log_weight / temperature).softmax(1), noise)
        loc, scale = of_chosen(index, 1, mixture.loc, mixture.scale)
        return (loc + math.sqrt(temperature) * scale * torch.special.ndtri(u)).to(noise.dtype)

    def _mixture(self, raw: Tensor) -> "_Normals":
        logits, loc, raw_scale = raw.unflatten(1, (3, self.components, -1)).unbind(1)
        # From one place they would learn the same thing.
        places = START * torch.linspace(-1, 1, self.components + 2, dtype=raw.dtype, device=raw.device)[1:-1]
        loc = places.view(-1, *[1] * (loc.ndim - 2)) + loc
        log_weight, scale = logits.log_softmax(1), self.min_scale + F.softplus(raw_scale)
        if not self.outliers:
            return _Normals(log_weight, loc, scale, self.components)
        mean = (log_weight.exp() * loc).sum(1, keepdim=True)
        share = torch.full_like(mean, math.log(self.outliers))
        return _Normals(
            torch.cat([math.log1p(-self.outliers) + log_weight, share], 1),
            torch.cat([loc, mean], 1),
            torch.cat([scale, torch.full_like(mean, OUTLIER_SCALE)], 1),
            self.components,
        )


class _Normals(AllowsOutliers):
    """log_weight, loc, scale (batch, components, *x_shape); components from the n_ordinary-th on are for outliers."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, log_weight: Tensor, loc: Tensor, scale: Tensor, n_ordinary: int) -> None:
        self.log_weight, self.loc, self.scale, self.n_ordinary = log_weight, loc, scale, n_ordinary
        super().__init__(loc.shape[:1] + loc.shape[2:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return (self.log_weight.exp() * self.loc).sum(1)

    def sample(self, sample_shape: _Size = _NO_SHAPE) -> Tensor:
        return self._sample(self.log_weight, sample_shape)

    def ordinary_sample(self) -> Tensor:
        return self._sample(self.log_weight[:, : self.n_ordinary].log_softmax(1), _NO_SHAPE)

    def _sample(self, log_weight: Tensor, sample_shape: _Size) -> Tensor:
        index = draw_index(log_weight, sample_shape)
        loc, scale = of_chosen(index, len(sample_shape) + 1, self.loc, self.scale)
        return loc + scale * rng.normal_like(loc)

    def log_prob(self, value: Tensor) -> Tensor:
        off = (value.unsqueeze(1) - self.loc) / self.scale
        return (self.log_weight - self.scale.log() - _LOG_ROOT_2_PI - 0.5 * off.square()).logsumexp(1)
