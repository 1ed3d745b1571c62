"""Visible units: what one value of x is like, given what the hidden units say of it."""

import abc
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely import rng
from likely.errors import DataError


class VisibleUnits(abc.ABC):
    """A kind of visible unit. Its subclasses are frozen dataclasses."""

    domains: frozenset[str]
    """What data it is for."""

    @abc.abstractmethod
    def build(self, n: int) -> "Units":
        """The module for n values."""

    def check(self, domain: str) -> None:
        """Refuses data that these units are not for.

        Raises:
            DataError: naming the units that fit.
        """
        if domain not in self.domains:
            fits = ", ".join(kind.__name__ for kind in (BernoulliUnits, GaussianUnits) if domain in kind.domains)
            raise DataError(f"{type(self).__name__} are no units of {domain} data; these are: {fits}")


class Units(nn.Module, abc.ABC):
    """n independent values with the density exp(log_base(v, t) + field . statistic(v)), up to its constant.

    Temperatures t go from 0, values by themselves as spread as the data, to 1, the model's own; they are numbers, or
    tensors that stand before the last axis or two of v.
    """

    discrete: bool

    @property
    @abc.abstractmethod
    def offset(self) -> Tensor:
        """The mean of `statistic` over the data: (n,)."""

    @property
    @abc.abstractmethod
    def base_field(self) -> Tensor:
        """The field under which, at t = 0, values are as in the data, each by itself: (n,)."""

    @abc.abstractmethod
    def start(self, v: Tensor) -> None:
        """Learns what each value is like from some rows (batch, n)."""

    @abc.abstractmethod
    def statistic(self, v: Tensor) -> Tensor:
        """What the hidden units see of v (..., n)."""

    @abc.abstractmethod
    def log_base(self, v: Tensor, t: float | Tensor = 1.0) -> Tensor:
        """(...,); from one temperature to another it goes in a line."""

    @abc.abstractmethod
    def mean(self, field: Tensor) -> Tensor:
        """Of v at t = 1 under a field (..., n)."""

    @abc.abstractmethod
    def draw(self, field: Tensor, t: float | Tensor = 1.0) -> Tensor:
        """v under a field (..., n)."""

    @abc.abstractmethod
    def log_partition(self, field: Tensor, t: float | Tensor = 1.0) -> Tensor:
        """The constant: log of the sum (integral) over v of what `draw` draws from, (...,)."""


@dataclass(frozen=True)
class BernoulliUnits(VisibleUnits):
    """Bits."""

    domains = frozenset({"binary"})

    def build(self, n: int) -> Units:
        """As `VisibleUnits.build`."""
        return _Bits(n)


class _Bits(Units):
    discrete = True

    def __init__(self, n: int) -> None:
        super().__init__()
        self.register_buffer("ones", torch.full((n,), 0.5))

    @property
    def offset(self) -> Tensor:
        return self.get_buffer("ones")

    @property
    def base_field(self) -> Tensor:
        return self.get_buffer("ones").logit()

    @torch.no_grad()
    def start(self, v: Tensor) -> None:
        # One of each before any was seen (Laplace): no bit is ruled out.
        self.get_buffer("ones").copy_((v.sum(0) + 1) / (len(v) + 2))

    def statistic(self, v: Tensor) -> Tensor:
        return v

    def log_base(self, v: Tensor, t: float | Tensor = 1.0) -> Tensor:
        return v.new_zeros(v.shape[:-1])

    def mean(self, field: Tensor) -> Tensor:
        return field.sigmoid()

    def draw(self, field: Tensor, t: float | Tensor = 1.0) -> Tensor:
        return bits(field)

    def log_partition(self, field: Tensor, t: float | Tensor = 1.0) -> Tensor:
        return F.softplus(field).sum(-1)


@dataclass(frozen=True)
class GaussianUnits(VisibleUnits):
    """Reals with a learned scale each, as v = loc + scale * (what the hidden units say + noise).

    Attributes:
        min_scale: no scale is below it; a constant value would have none.

    Reference: Reducing the Dimensionality of Data with Neural Networks (Hinton & Salakhutdinov, 2006), with learned
        scales as in Improved Learning of Gaussian-Bernoulli Restricted Boltzmann Machines (Cho et al., 2011)
    """

    min_scale: float = 0.02

    domains = frozenset({"binary", "unit", "levels", "real"})

    def __post_init__(self) -> None:
        if not self.min_scale > 0:
            raise ValueError(f"GaussianUnits: min_scale must be positive, got {self.min_scale}")

    def build(self, n: int) -> Units:
        """As `VisibleUnits.build`."""
        return _Reals(n, self.min_scale)


class _Reals(Units):
    discrete = False

    def __init__(self, n: int, min_scale: float) -> None:
        super().__init__()
        self.min_scale = min_scale
        self.log_scale = nn.Parameter(torch.zeros(n))
        self.register_buffer("loc", torch.zeros(n))
        self.register_buffer("spread", torch.ones(n))

    @property
    def scale(self) -> Tensor:
        """(n,)."""
        return self.min_scale + self.log_scale.exp()

    @property
    def offset(self) -> Tensor:
        return torch.zeros_like(self.log_scale)

    @property
    def base_field(self) -> Tensor:
        return torch.zeros_like(self.log_scale)

    @torch.no_grad()
    def start(self, v: Tensor) -> None:
        spread = (v.var(0, unbiased=False) + self.min_scale**2).sqrt()
        self.get_buffer("loc").copy_(v.mean(0))
        self.get_buffer("spread").copy_(spread)
        self.log_scale.copy_((spread - self.min_scale).clamp_min(1e-3 * self.min_scale).log())

    def statistic(self, v: Tensor) -> Tensor:
        return (v - self.get_buffer("loc")) / self.scale

    def log_base(self, v: Tensor, t: float | Tensor = 1.0) -> Tensor:
        return -0.5 * (self._precision(t) * self.statistic(v).square()).sum(-1)

    def mean(self, field: Tensor) -> Tensor:
        return self.get_buffer("loc") + self.scale * field

    def draw(self, field: Tensor, t: float | Tensor = 1.0) -> Tensor:
        precision = self._precision(t)
        return self.mean(field / precision + rng.normal_like(field) * precision.rsqrt())

    def log_partition(self, field: Tensor, t: float | Tensor = 1.0) -> Tensor:
        precision = self._precision(t)
        each = 0.5 * (field.square() / precision + math.log(2 * math.pi) - precision.log()) + self.scale.log()
        return each.sum(-1)

    def _precision(self, t: float | Tensor) -> Tensor:
        """Of `statistic`: from that of the data to 1."""
        return (1 - t) * (self.scale / self.get_buffer("spread")).square() + t


def bits(logits: Tensor) -> Tensor:
    """Independent bits of these logits, in their dtype; `torch.bernoulli` takes three times as long on a CPU."""
    return rng.coins(logits.sigmoid()).to(logits.dtype)


def default_units(domain: str) -> VisibleUnits:
    """The units for data of a domain ("binary", "unit", "levels" or "real") when nobody names any."""
    return BernoulliUnits() if domain == "binary" else GaussianUnits()
