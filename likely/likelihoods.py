"""Likelihoods p(x | raw): the only place that knows what a pixel or a column is.

A likelihood is a frozen dataclass, a value; `build` makes the module that reads a network's raw output as a
distribution over x, as x stands inside a model: bits as 0 and 1, gray levels k as k / (levels - 1), reals
standardized. There is no "MSE": it is a Gaussian with a fixed scale, and its constant.
"""

import abc
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli as BernoulliDistribution
from torch.distributions import ContinuousBernoulli as ContinuousBernoulliDistribution
from torch.distributions import Distribution, Independent, Normal

from likely.contract import Shape
from likely.errors import DataError

SMALLEST_LEVELS_AS_LOGISTICS = 33
"""From this many levels on, the default is a mixture of logistics: a softmax would need a number per level."""


OUTLIER_SCALE = 10.0
"""Standard deviations of a column: where a strange value may lie."""

_Size = torch.Size | list[int] | tuple[int, ...]
NO_SHAPE = torch.Size()


class Observation(nn.Module, abc.ABC):
    """Reads raw numbers (batch, raw_channels * c, ...) as a distribution with batch shape (batch,), event x_shape."""

    def forward(self, raw: Tensor) -> Independent:
        # Networks may run in bfloat16; probabilities may not.
        values = self.values(raw.float() if raw.dtype in (torch.bfloat16, torch.float16) else raw)
        return Independent(values, len(values.batch_shape) - 1, validate_args=False)

    @abc.abstractmethod
    def values(self, raw: Tensor) -> Distribution:
        """The distribution of every value of x, (batch, *x_shape), independent given raw."""


class Likelihood(abc.ABC):
    """p(x | raw). Its subclasses are frozen dataclasses."""

    domains: frozenset[str]
    """What x may be: of "binary", "unit", "levels", "real"."""
    discrete: bool
    """Whether it gives probabilities of whole values rather than densities."""

    @property
    @abc.abstractmethod
    def raw_channels(self) -> int:
        """How many raw numbers it reads per value of x."""

    @abc.abstractmethod
    def build(self, x_shape: Shape) -> Observation:
        """The module that reads raw numbers as a distribution over x of this shape."""

    def check(self, domain: str, levels: int) -> None:
        """Refuses data that this is no likelihood of.

        Raises:
            DataError: naming the likelihoods that fit.
        """
        if domain not in self.domains:
            fits = ", ".join(sorted(name for name, kind in LIKELIHOODS.items() if domain in kind.domains))
            raise DataError(f"{type(self).__name__} is no likelihood of {domain} data; these are: {fits}")
        own = getattr(self, "levels", levels)
        if self.discrete and own != levels:
            raise DataError(f"{type(self).__name__} has {own} levels, the data has {levels}; set levels={levels}")


def split_missing(x: Tensor) -> tuple[Tensor, Tensor | None]:
    """Rows whose missing values are zero, and ones where there is a value: for `observed_log_prob`.

    Args:
        x: (batch, ...), NaN where missing.

    Returns:
        Both shaped as x; None in place of the ones where it is known that nothing is missing.
    """
    if x.device.type == "cpu" and not x.sum().isnan():  # a look that costs nothing here, and a wait on a GPU
        return x, None
    # Arithmetic instead of boolean masks: several times faster on a CPU, forth and back.
    return x.nan_to_num(nan=0.0), (x * 0 + 1).nan_to_num(nan=0.0)


def observed_log_prob(observation: Independent, x: Tensor, present: Tensor | None) -> Tensor:
    """log p of what is there in each row: what is missing counts for nothing.

    Args:
        observation: of batch shape (batch,) and event shape x_shape.
        x: (batch, *x_shape), from `split_missing`.
        present: the same, from there.

    Returns:
        (batch,), nats.
    """
    if present is None:
        return observation.log_prob(x)
    return (observation.base_dist.log_prob(x) * present).flatten(1).sum(1)


def ordinary_draw(observation: Independent) -> Tensor:
    """A draw of each row in which nothing is an outlier.

    What a likelihood allows for outliers keeps a few strange values from steering a fit. Its share is a setting and
    no finding: among draws of what is missing it would be all that their spread tells of.

    Args:
        observation: of batch shape (batch,) and event shape x_shape.

    Returns:
        (batch, *x_shape).
    """
    values = observation.base_dist
    draw: Tensor = Normal.sample(values) if isinstance(values, _Contaminated) else observation.sample()
    return draw


def default_likelihood(domain: str, levels: int) -> Likelihood:
    """The likelihood for a domain when nobody names one."""
    match domain:
        case "binary":
            return Bernoulli()
        case "unit":
            return ContinuousBernoulli()
        case "levels" if levels < SMALLEST_LEVELS_AS_LOGISTICS:
            return Categorical(levels)
        case "levels":
            return DiscretizedLogisticMixture(levels)
        case _:
            return Gaussian(outliers=0.01)


@dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Independent bits; raw holds the logits. Refuses gray pixels: for those in [0, 1] use ContinuousBernoulli."""

    domains = frozenset({"binary"})
    discrete = True
    raw_channels = 1

    def build(self, x_shape: Shape) -> Observation:
        """As `Likelihood.build`."""
        return _BernoulliObservation()


class _BernoulliObservation(Observation):
    def values(self, raw: Tensor) -> Distribution:
        return _Bits(logits=raw, validate_args=False)


class _Bits(BernoulliDistribution):
    def log_prob(self, value: Tensor) -> Tensor:
        # In place: on small networks PyTorch's own way of turning the sign costs a twentieth of a step.
        return F.binary_cross_entropy_with_logits(self.logits, value, reduction="none").neg_()


@dataclass(frozen=True)
class ContinuousBernoulli(Likelihood):
    """Values in [0, 1] with a density: what Bernoulli on gray pixels wants to be.

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
        return ContinuousBernoulliDistribution(logits=raw, validate_args=False)


@dataclass(frozen=True)
class Gaussian(Likelihood):
    """Independent normals, with one scale per value, learned and floored, or one fixed scale for all.

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
        if self.scale is not None:
            loc, scale = raw, torch.full_like(raw, self.scale)
        else:
            loc, raw_scale = raw.chunk(2, dim=1)
            scale = self.min_scale + F.softplus(raw_scale)
        return _Contaminated(loc, scale, self.outliers) if self.outliers else Normal(loc, scale, validate_args=False)


class _Contaminated(Normal):
    """A normal in which a share of the values comes from a wide one around the same location."""

    def __init__(self, loc: Tensor, scale: Tensor, share: float) -> None:
        super().__init__(loc, scale, validate_args=False)
        self.share = share

    def log_prob(self, value: Tensor) -> Tensor:
        wide = Normal(self.loc, OUTLIER_SCALE, validate_args=False).log_prob(value)
        return torch.logaddexp(math.log1p(-self.share) + super().log_prob(value), math.log(self.share) + wide)

    def sample(self, sample_shape: _Size = NO_SHAPE) -> Tensor:
        noise = torch.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype, device=self.loc.device)
        scale = torch.where(torch.rand_like(noise) < self.share, OUTLIER_SCALE, self.scale)
        return self.loc + scale * noise


@dataclass(frozen=True)
class Categorical(Likelihood):
    """A softmax over whole levels 0 to levels - 1, which stand in x as k / (levels - 1)."""

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

    def sample(self, sample_shape: _Size = NO_SHAPE) -> Tensor:
        return _draw(self.log_p, sample_shape) / (self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        level = (value * (self.levels - 1)).round().long()
        return self.log_p.gather(1, level.unsqueeze(1)).squeeze(1)


@dataclass(frozen=True)
class DiscretizedLogisticMixture(Likelihood):
    """Whole levels 0 to levels - 1 as a mixture of logistics, rounded; the end bins take the tails.

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
        # Components start side by side over [0, 1]; from one place they would learn the same thing.
        self.register_buffer("places", torch.linspace(0, 1, components + 2)[1:-1], persistent=False)

    def values(self, raw: Tensor) -> Distribution:
        logits, loc, log_scale = raw.unflatten(1, (3, self.components, -1)).unbind(1)
        places = self.get_buffer("places").to(raw.dtype).view(-1, *[1] * (loc.ndim - 2))
        # The floor lets a level hold all its mass to within rounding, and keeps gradients finite.
        floor = math.log(0.02 / (self.levels - 1))
        log_scale = floor + F.softplus(log_scale - 2.0 - floor)
        return _DiscretizedLogistics(logits.log_softmax(1), places + loc, log_scale, self.levels)


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

    def sample(self, sample_shape: _Size = NO_SHAPE) -> Tensor:
        chosen = _draw(self.log_weight, sample_shape).unsqueeze(len(sample_shape) + 1)
        everywhere = (*sample_shape, *self.loc.shape)
        loc, log_scale = (
            each.expand(everywhere).gather(len(sample_shape) + 1, chosen).squeeze(len(sample_shape) + 1)
            for each in (self.loc, self.log_scale)
        )
        u = torch.rand_like(loc).clamp(1e-7, 1 - 1e-7)
        x = loc + log_scale.exp() * (u.log() - (-u).log1p())
        return (x * (self.levels - 1)).round().clamp(0, self.levels - 1) / (self.levels - 1)

    def log_prob(self, value: Tensor) -> Tensor:
        x = value.unsqueeze(1)
        half, inverse_scale = 0.5 / (self.levels - 1), (-self.log_scale).exp()
        upper, lower = (x + half - self.loc) * inverse_scale, (x - half - self.loc) * inverse_scale
        # log(s(upper) - s(lower)) without cancellation: log s(a) + log s(-b) + log(1 - exp(b - a)).
        width = 2 * half * inverse_scale
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + torch.log(-torch.expm1(-width))
        each = torch.where(x < half, F.logsigmoid(upper), torch.where(x > 1 - half, F.logsigmoid(-lower), inside))
        return (self.log_weight + each).logsumexp(1)


def _draw(log_p: Tensor, sample_shape: _Size) -> Tensor:
    """Draws from log_p (batch, n, ...), normalized over n: (*sample_shape, batch, ...) whole numbers."""
    flat = log_p.exp().movedim(1, -1)
    index = torch.multinomial(flat.reshape(-1, flat.shape[-1]), math.prod(sample_shape), replacement=True)
    return index.T.reshape(*sample_shape, *flat.shape[:-1])


def _check_levels(levels: int) -> None:
    if levels < 2:
        raise ValueError(f"levels must be at least 2, got {levels}")


LIKELIHOODS: dict[str, type[Likelihood]] = {
    kind.__name__: kind for kind in (Bernoulli, ContinuousBernoulli, Gaussian, Categorical, DiscretizedLogisticMixture)
}
