"""Likelihoods of whole levels, which stand in x as k / (levels - 1)."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution

from likely.contract import Shape
from likely.likelihoods.inversion import chosen
from likely.likelihoods.likelihood import Likelihood, Observation, precise

_Size = torch.Size | list[int] | tuple[int, ...]
_NO_SHAPE = torch.Size()


@dataclass(frozen=True)
class Categorical(Likelihood):
    """A softmax over whole levels 0 to levels - 1, which stand in x as k / (levels - 1).

    A temperature divides the logits: levels are drawn with p ** (1 / temperature), normalized.
    """

    levels: int = 256

    domains = frozenset({"levels", "binary"})
    discrete = True

    def __post_init__(self) -> None:
        _check_levels(self.levels)

    @property
    def raw_channels(self) -> int:
        """One logit per level."""
        return self.levels

    def build(self, x_shape: Shape) -> Observation:
        """As `Likelihood.build`."""
        return _CategoricalObservation(self.levels)


class _CategoricalObservation(Observation):
    def __init__(self, levels: int) -> None:
        super().__init__()
        self.levels = levels

    def values(self, raw: Tensor) -> Distribution:
        return _Levels(raw.unflatten(1, (self.levels, -1)).log_softmax(1))

    def draw(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        p = (precise(raw).unflatten(1, (self.levels, -1)) / temperature).softmax(1)
        return chosen(p, noise).to(noise.dtype) / (self.levels - 1)


class _Levels(Distribution):
    """Whole levels scaled to [0, 1]; log_p (batch, levels, *x_shape) is normalized over levels."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, log_p: Tensor) -> None:
        self.log_p, self.levels = log_p, log_p.shape[1]
        super().__init__(log_p.shape[:1] + log_p.shape[2:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        level = torch.linspace(0, 1, self.levels, dtype=self.log_p.dtype, device=self.log_p.device)
        return torch.tensordot(self.log_p.exp(), level, dims=([1], [0]))

    def sample(self, sample_shape: _Size = _NO_SHAPE) -> Tensor:
        return draw_index(self.log_p, sample_shape).to(self.log_p.dtype) / (self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        level = (value * (self.levels - 1)).round().long()
        return self.log_p.gather(1, level.unsqueeze(1)).squeeze(1)


@dataclass(frozen=True)
class DiscretizedLogisticMixture(Likelihood):
    """Whole levels 0 to levels - 1 as a mixture of logistics, rounded; the end bins take the tails.

    At a temperature levels are drawn with p ** (1 / temperature), normalized, of the whole mixture's p.

    Attributes:
        levels: of x, which holds them as k / (levels - 1).
        components: logistics per value; each has a weight, a location and a scale.

    Reference: PixelCNN++ (Salimans et al., 2017), arXiv:1701.05517, section 2.1
    """

    levels: int = 256
    components: int = 3

    domains = frozenset({"levels"})
    discrete = True

    def __post_init__(self) -> None:
        _check_levels(self.levels)
        if self.components < 1:
            raise ValueError(f"components must be at least 1, got {self.components}")

    @property
    def raw_channels(self) -> int:
        """Weight, location and scale of each component."""
        return 3 * self.components

    def build(self, x_shape: Shape) -> Observation:
        """As `Likelihood.build`."""
        return _DiscretizedLogisticObservation(self.levels, self.components)


class _DiscretizedLogisticObservation(Observation):
    def __init__(self, levels: int, components: int) -> None:
        super().__init__()
        self.levels, self.components = levels, components

    def values(self, raw: Tensor) -> Distribution:
        return self._logistics(raw)

    def draw(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        log_p = self._logistics(precise(raw)).log_probs()
        return chosen((log_p / temperature).softmax(1), noise).to(noise.dtype) / (self.levels - 1)

    def _logistics(self, raw: Tensor) -> "_DiscretizedLogistics":
        logits, loc, log_scale = raw.unflatten(1, (3, self.components, -1)).unbind(1)
        # Components start side by side over [0, 1]; from one place they would learn the same thing.
        places = torch.linspace(0, 1, self.components + 2, dtype=raw.dtype, device=raw.device)[1:-1]
        # The floor lets a level hold all its mass to within rounding, and keeps gradients finite.
        floor = math.log(0.02 / (self.levels - 1))
        log_scale = floor + F.softplus(log_scale - 2.0 - floor)
        loc = places.view(-1, *[1] * (loc.ndim - 2)) + loc
        return _DiscretizedLogistics(logits.log_softmax(1), loc, log_scale, self.levels)


class _DiscretizedLogistics(Distribution):
    """log_weight, loc, log_scale (batch, components, *x_shape), loc and scale in units of x in [0, 1]."""

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, log_weight: Tensor, loc: Tensor, log_scale: Tensor, levels: int) -> None:
        self.log_weight, self.loc, self.log_scale, self.levels = log_weight, loc, log_scale, levels
        super().__init__(loc.shape[:1] + loc.shape[2:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        """The mean before rounding, tails cut to [0, 1]: within half a level of the mean after it.

        E[clip(X, 0, 1)] is the integral of P(X > t) over [0, 1], a difference of two softplus.
        """
        scale = self.log_scale.exp()
        mean = scale * (F.softplus(self.loc / scale) - F.softplus((self.loc - 1) / scale))
        return (self.log_weight.exp() * mean).sum(1)

    def sample(self, sample_shape: _Size = _NO_SHAPE) -> Tensor:
        index = draw_index(self.log_weight, sample_shape)
        loc, log_scale = of_chosen(index, len(sample_shape) + 1, self.loc, self.log_scale)
        u = torch.rand_like(loc).clamp(1e-7, 1 - 1e-7)
        x = loc + log_scale.exp() * (u.log() - (-u).log1p())
        return (x * (self.levels - 1)).round().clamp(0, self.levels - 1) / (self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        return (self.log_weight + self._log_bins(value.unsqueeze(1), self.loc, self.log_scale)).logsumexp(1)

    def log_probs(self) -> Tensor:
        """log p of every level: (batch, levels, *x_shape)."""
        x = torch.linspace(0, 1, self.levels, dtype=self.loc.dtype, device=self.loc.device)
        x = x.view(-1, *[1] * (self.loc.ndim - 2))
        each = self._log_bins(x, self.loc.unsqueeze(2), self.log_scale.unsqueeze(2))
        return (self.log_weight.unsqueeze(2) + each).logsumexp(1)

    def _log_bins(self, x: Tensor, loc: Tensor, log_scale: Tensor) -> Tensor:
        """log of what each component has in the bin around x."""
        half, inverse_scale = 0.5 / (self.levels - 1), (-log_scale).exp()
        upper, lower = (x + half - loc) * inverse_scale, (x - half - loc) * inverse_scale
        # log(s(upper) - s(lower)) without cancellation: log s(a) + log s(-b) + log(1 - exp(b - a)).
        width = 2 * half * inverse_scale
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
        return torch.where(x < half, F.logsigmoid(upper), torch.where(x > 1 - half, F.logsigmoid(-lower), inside))


def draw_index(log_p: Tensor, sample_shape: _Size) -> Tensor:
    """Draws from log_p (batch, n, ...), normalized over n: (*sample_shape, batch, ...) whole numbers."""
    flat = log_p.exp().movedim(1, -1)
    index = torch.multinomial(flat.reshape(-1, flat.shape[-1]), math.prod(sample_shape), replacement=True)
    return index.T.reshape(*sample_shape, *flat.shape[:-1])


def of_chosen(index: Tensor, axis: int, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Two parameters (batch, n, ...) of chosen components: index lacks the axis of n, and may lead with more axes."""
    index = index.unsqueeze(axis)
    everywhere = (*index.shape[: axis - 1], *first.shape)
    one, other = (each.expand(everywhere).gather(axis, index).squeeze(axis) for each in (first, second))
    return one, other


def _check_levels(levels: int) -> None:
    if levels < 2:
        raise ValueError(f"levels must be at least 2, got {levels}")
