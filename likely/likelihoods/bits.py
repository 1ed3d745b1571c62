"""Likelihoods of bits, and of what stands between 0 and 1 like them."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import ContinuousBernoulli as ContinuousBernoulliDistribution
from torch.distributions import Distribution

from likely import rng
from likely.contract import Shape
from likely.likelihoods.likelihood import Likelihood, Observation, precise

_Size = torch.Size | list[int] | tuple[int, ...]
_NO_SHAPE = torch.Size()


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Independent bits; raw holds the logits. Refuses gray pixels: for those in [0, 1] use ContinuousBernoulli.

    A temperature divides the logits: bits are drawn with p ** (1 / temperature), normalized.
    """

    domains = frozenset({"binary"})
    discrete = True
    raw_channels = 1

    def build(self, x_shape: Shape) -> Observation:
        """As `Likelihood.build`."""
        return _BernoulliObservation()


class _BernoulliObservation(Observation):
    def values(self, raw: Tensor) -> Distribution:
        return _Bits(logits=raw, validate_args=False)

    def draw(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        return (noise >= torch.sigmoid(precise(raw) / -temperature)).to(noise.dtype)


class _Bits(BernoulliDistribution):
    def sample(self, sample_shape: _Size = _NO_SHAPE) -> Tensor:
        p = self.probs.expand(self._extended_shape(sample_shape))
        return rng.coins(p).to(p.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        # In place: on small networks PyTorch's own way of turning the sign costs a twentieth of a step.
        return F.binary_cross_entropy_with_logits(self.logits, value, reduction="none").neg_()


@dataclass(frozen=True)
class ContinuousBernoulli(Likelihood):
    """Values in [0, 1] with a density: what Bernoulli on gray pixels wants to be.

    A temperature divides the logits: values are drawn with the density p ** (1 / temperature), normalized.

    Reference: The continuous Bernoulli: fixing a pervasive error in variational autoencoders
        (Loaiza-Ganem & Cunningham, 2019), arXiv:1907.06845
    """

    domains = frozenset({"unit", "binary", "levels"})
    discrete = False
    raw_channels = 1

    def build(self, x_shape: Shape) -> Observation:
        """As `Likelihood.build`."""
        return _ContinuousBernoulliObservation()


class _ContinuousBernoulliObservation(Observation):
    def values(self, raw: Tensor) -> Distribution:
        return _InUnit(logits=raw, validate_args=False)

    def draw(self, raw: Tensor, noise: Tensor, temperature: float = 1.0) -> Tensor:
        """The inverse of F(x) = expm1(s x) / expm1(s), s = logits / temperature."""
        slope, u = raw.double() / temperature, noise.double()
        # With a rising density from the other end: the exponential of a falling one does not overflow.
        falling, rising = -slope.abs().clamp_min(1e-12), slope > 0
        x = torch.log1p(torch.where(rising, 1 - u, u) * torch.expm1(falling)) / falling
        return torch.where(rising, 1 - x, x).clamp(0, 1).to(noise.dtype)


class _InUnit(ContinuousBernoulliDistribution):
    def sample(self, sample_shape: _Size = _NO_SHAPE) -> Tensor:
        drawn: Tensor = self.icdf(rng.uniform(*self._extended_shape(sample_shape), like=self.probs))
        return drawn
