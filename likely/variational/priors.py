"""Priors p(z): what codes are like before a row is seen."""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from likely import rng
from likely.bijections import Bijection, Chain, Coupling
from likely.contract import Shape, drawn_rows
from likely.variational.posteriors import (
    LOG_TWO_PI,
    Diagonal,
    Full,
    Gaussian,
    GaussianPosterior,
    Posterior,
    Transported,
)

MIN_LOG_SCALE = -4.0
"""Of a mixture's components: its densities are expanded squares, which lose digits where scales are tiny."""


class CodeDensity(Protocol):
    """A distribution over codes."""

    def log_prob(self, z: Tensor) -> Tensor:
        """log p of z (batch, z_size): (batch,), nats."""

    def draw(self, n: int) -> Tensor:
        """(n, z_size)."""


class PriorModule(nn.Module, abc.ABC):
    """A prior with its weights."""

    def start(self, x: Tensor) -> None:
        """Sets starting values from some training rows (batch, *x_shape); does nothing by default."""

    @abc.abstractmethod
    def given(self, posterior: Callable[[Tensor], Gaussian | Transported]) -> CodeDensity:
        """The distribution over codes, for a model whose posterior of rows (n, *x_shape) is this."""


class Prior(abc.ABC):
    """A distribution over codes, fixed or learned. Its subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def build(self, z_size: int, x_shape: Shape) -> PriorModule:
        """The module for codes of this size, of rows of this shape."""

    def check(self, posterior: Posterior, condition_shape: Shape | None) -> None:
        """Refuses, by ValueError, a posterior or a condition that it does not go with; names what it does."""
        return


@dataclass(frozen=True)
class StandardNormal(Prior):
    """N(0, I)."""

    def build(self, z_size: int, x_shape: Shape) -> PriorModule:
        """As `Prior.build`."""
        return Standard(z_size)


class Standard(PriorModule):
    """N(0, I) over codes of a size."""

    def __init__(self, z_size: int) -> None:
        super().__init__()
        self.register_buffer("origin", torch.zeros(z_size), persistent=False)

    def given(self, posterior: Callable[[Tensor], Gaussian | Transported]) -> CodeDensity:
        """Itself."""
        return self

    def log_prob(self, z: Tensor) -> Tensor:
        """As `CodeDensity.log_prob`."""
        return -0.5 * (z.square().sum(1) + LOG_TWO_PI * z.shape[1])

    def draw(self, n: int) -> Tensor:
        """As `CodeDensity.draw`."""
        origin = self.get_buffer("origin")
        return rng.normal(n, len(origin), like=origin)


@dataclass(frozen=True)
class NormalMixture(Prior):
    """A learned mixture of normals with independent values.

    Attributes:
        components: how many.
    """

    components: int = 50

    def __post_init__(self) -> None:
        _check_count(self, "components", self.components)

    def build(self, z_size: int, x_shape: Shape) -> PriorModule:
        """As `Prior.build`."""
        return _NormalMixtureModule(self.components, z_size)


class _NormalMixtureModule(PriorModule):
    def __init__(self, components: int, z_size: int) -> None:
        super().__init__()
        self.loc = nn.Parameter(rng.normal(components, z_size))
        self.log_scale = nn.Parameter(torch.zeros(components, z_size))
        self.logits = nn.Parameter(torch.zeros(components))

    def given(self, posterior: Callable[[Tensor], Gaussian | Transported]) -> CodeDensity:
        return _Mixture(self.loc, self.log_scale, self.logits.log_softmax(0))


class _Mixture:
    """loc, log_scale (components, z_size) and log_weight (components,)."""

    def __init__(self, loc: Tensor, log_scale: Tensor, log_weight: Tensor) -> None:
        self.loc, self.log_scale, self.log_weight = loc, log_scale.clamp_min(MIN_LOG_SCALE), log_weight

    def log_prob(self, z: Tensor) -> Tensor:
        center = self.loc.detach().mean(0)  # squares around the middle of the components lose the fewest digits
        z, loc, precision = z - center, self.loc - center, (-2 * self.log_scale).exp()
        with torch.autocast(z.device.type, enabled=False):  # in bfloat16 these products would be off by nats
            # The square, expanded: matrix products instead of a (batch, components, z_size) array.
            squares = z.square() @ precision.T - 2 * z @ (loc * precision).T + (loc.square() * precision).sum(1)
        constant = self.log_scale.sum(1) + 0.5 * LOG_TWO_PI * z.shape[1]
        return (self.log_weight - constant - 0.5 * squares).logsumexp(1)

    def draw(self, n: int) -> Tensor:
        chosen = rng.categories(self.log_weight.exp()[None], n)[0]
        loc = self.loc[chosen]
        return loc + self.log_scale[chosen].exp() * rng.normal_like(loc)


@dataclass(frozen=True)
class VampPrior(Prior):
    """The mixture of the posteriors of learned pseudo-inputs, which start as training rows.

    Needs a posterior whose density has a formula, and a model without a condition.

    Attributes:
        components: pseudo-inputs.

    Reference: VAE with a VampPrior (Tomczak & Welling, 2018), arXiv:1705.07120, equation 9
    """

    components: int = 500

    def __post_init__(self) -> None:
        _check_count(self, "components", self.components)

    def build(self, z_size: int, x_shape: Shape) -> PriorModule:
        """As `Prior.build`."""
        return _VampPriorModule(self.components, x_shape)

    def check(self, posterior: Posterior, condition_shape: Shape | None) -> None:
        """As `Prior.check`."""
        if not isinstance(posterior, GaussianPosterior):
            raise ValueError(
                f"VampPrior needs a posterior whose density has a formula, {type(posterior).__name__} has none; "
                "set prior=FlowPrior(), or posterior=DiagonalNormal()"
            )
        if condition_shape is not None:
            raise ValueError("VampPrior has no pseudo-conditions; set prior=FlowPrior() or prior=NormalMixture()")


class _VampPriorModule(PriorModule):
    def __init__(self, components: int, x_shape: Shape) -> None:
        super().__init__()
        self.pseudo_inputs = nn.Parameter(rng.uniform(components, *x_shape))

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        rows = drawn_rows(x, len(self.pseudo_inputs), "pseudo-inputs")
        # A little apart: where there are fewer rows than components, equal ones would stay equal.
        self.pseudo_inputs.copy_(rows + 0.01 * rng.normal_like(rows))

    def given(self, posterior: Callable[[Tensor], Gaussian | Transported]) -> CodeDensity:
        each = posterior(self.pseudo_inputs)
        match each:
            case Diagonal():
                weight = each.loc.new_full((len(each.loc),), -math.log(len(each.loc)))
                return _Mixture(each.loc, each.log_scale, weight)
            case Full():
                return _FullMixture(each)
        raise TypeError(f"VampPrior needs a posterior whose density has a formula, got {type(each).__name__}")


class _FullMixture:
    def __init__(self, components: Full) -> None:
        self.components = components

    def log_prob(self, z: Tensor) -> Tensor:
        return self.components.log_prob(z.unsqueeze(1)).logsumexp(1) - math.log(len(self.components.loc))

    def draw(self, n: int) -> Tensor:
        each = self.components
        chosen = rng.integers(len(each.loc), n, like=each.loc)
        noise = rng.normal_like(each.loc[chosen])
        return Full(each.loc[chosen], each.triangle[chosen]).draw(noise.unsqueeze(0))[0].squeeze(0)


@dataclass(frozen=True)
class FlowPrior(Prior):
    """N(0, I) seen through learned coupling layers.

    Attributes:
        layers: coupling layers; each moves half of the values, the next the other half.
        hidden: widths of the network of each.

    Reference: Variational Lossy Autoencoder (Chen et al., 2017), arXiv:1611.02731, section 3.2, with the layers of
        Density estimation using Real NVP (Dinh et al., 2017), arXiv:1605.08803
    """

    layers: int = 6
    hidden: tuple[int, ...] = (128,)

    def __post_init__(self) -> None:
        _check_count(self, "layers", self.layers)

    def build(self, z_size: int, x_shape: Shape) -> PriorModule:
        """As `Prior.build`; codes of a single value leave nothing to couple."""
        if z_size < 2:
            raise ValueError("FlowPrior couples values of the code, and there is one; set z_size=2 or more")
        return _FlowPriorModule(self, z_size)


class _FlowPriorModule(PriorModule):
    def __init__(self, part: FlowPrior, z_size: int) -> None:
        super().__init__()
        layers: list[Bijection] = [Coupling(z_size, part.hidden, flip=i % 2 == 1) for i in range(part.layers)]
        self.to_base = Chain(*layers)
        self.base = Standard(z_size)

    def given(self, posterior: Callable[[Tensor], Gaussian | Transported]) -> CodeDensity:
        return self

    def log_prob(self, z: Tensor) -> Tensor:
        base, log_det = self.to_base(z)
        return self.base.log_prob(base) + log_det

    def draw(self, n: int) -> Tensor:
        z: Tensor = self.to_base.inverse(self.base.draw(n))[0]
        return z


def _check_count(part: Prior, name: str, n: int) -> None:
    if n < 1:
        raise ValueError(f"{type(part).__name__}: {name} must be at least 1, got {n}")
