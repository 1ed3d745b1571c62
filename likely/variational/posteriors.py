"""Posteriors q(z | x): what an encoder's numbers say of the code."""

import abc
import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from likely.bijections import Autoregressive, Bijection, Chain, Permutation

LOG_SCALE_RANGE = (-12.0, 6.0)
"""Far from all training rows an encoder says anything; its scales stay where their exponential is a number."""

LOG_TWO_PI = math.log(2 * math.pi)


class Gaussian(abc.ABC):
    """A belief whose density has a formula: q(z | x) of some rows as a normal distribution.

    Attributes:
        loc: (batch, z_size), its mean.
    """

    loc: Tensor

    @abc.abstractmethod
    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As `likely.contract.Belief.draw`."""

    @abc.abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z | x): z (..., batch, z_size), returns (..., batch), nats."""

    @abc.abstractmethod
    def rates(self) -> Tensor:
        """KL(q(z | x) || N(0, I)) in the parts that it falls into: (batch, parts), nats."""

    @abc.abstractmethod
    def detached(self) -> Self:
        """The same belief, through which no gradient flows."""


class Diagonal(Gaussian):
    """A normal with independent values: loc and log_scale (batch, z_size)."""

    def __init__(self, loc: Tensor, log_scale: Tensor) -> None:
        self.loc, self.log_scale, self.scale = loc, log_scale, log_scale.exp()

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As `Gaussian.draw`."""
        log_q = -0.5 * (noise.square().sum(-1) + LOG_TWO_PI * noise.shape[-1]) - self.log_scale.sum(-1)
        return self.loc + self.scale * noise, log_q

    def log_prob(self, z: Tensor) -> Tensor:
        """As `Gaussian.log_prob`."""
        return self.log_prob_each(z).sum(-1)

    def log_prob_each(self, z: Tensor) -> Tensor:
        """log q of each value by itself: (..., batch, z_size)."""
        return -0.5 * (((z - self.loc) / self.scale).square() + LOG_TWO_PI) - self.log_scale

    def rates(self) -> Tensor:
        """As `Gaussian.rates`: one for each value of the code."""
        return 0.5 * (self.loc.square() + self.scale.square() - 1 - 2 * self.log_scale)

    def detached(self) -> Self:
        """As `Gaussian.detached`."""
        return type(self)(self.loc.detach(), self.log_scale.detach())


class Full(Gaussian):
    """A normal with covariance L L^T: loc (batch, z_size), lower triangular L (batch, z_size, z_size)."""

    def __init__(self, loc: Tensor, triangle: Tensor) -> None:
        self.loc, self.triangle = loc, triangle
        self.log_det = triangle.diagonal(dim1=1, dim2=2).log().sum(1)

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As `Gaussian.draw`."""
        with torch.autocast(noise.device.type, enabled=False):  # log q is that of this draw, not of one near by
            # All draws of a row in one product: a factor for each draw would be copied as often.
            z = self.loc + (self.triangle @ noise.permute(1, 2, 0)).permute(2, 0, 1)
        return z, -0.5 * (noise.square().sum(-1) + LOG_TWO_PI * noise.shape[-1]) - self.log_det

    def log_prob(self, z: Tensor) -> Tensor:
        """As `Gaussian.log_prob`."""
        away = z - self.loc
        columns = away.reshape(-1, *self.loc.shape).permute(1, 2, 0)
        whitened = torch.linalg.solve_triangular(self.triangle, columns, upper=False)
        squares = whitened.square().sum(1).T.reshape(away.shape[:-1])
        return -0.5 * (squares + LOG_TWO_PI * z.shape[-1]) - self.log_det

    def rates(self) -> Tensor:
        """As `Gaussian.rates`: all in one part, as correlated values share their nats."""
        trace = self.triangle.square().sum((1, 2))
        return (0.5 * (self.loc.square().sum(1) + trace - self.loc.shape[1]) - self.log_det).unsqueeze(1)

    def detached(self) -> Self:
        """As `Gaussian.detached`."""
        return type(self)(self.loc.detach(), self.triangle.detach())


class Transported:
    """A diagonal normal whose draws a bijection carries further; its density is known at its own draws."""

    def __init__(self, base: Diagonal, bijection: Bijection, context: Tensor) -> None:
        self.base, self.bijection, self.context = base, bijection, context

    @property
    def loc(self) -> Tensor:
        """Where the mean of the normal goes: (batch, z_size). The mean itself has no formula."""
        return self._carried(self.base.loc.unsqueeze(0))[0].squeeze(0)

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As `likely.contract.Belief.draw`."""
        start, log_q = self.base.draw(noise)
        z, log_det = self._carried(start)
        return z, log_q - log_det

    def _carried(self, start: Tensor) -> tuple[Tensor, Tensor]:
        z, log_det = self.bijection(start.flatten(0, 1), self.context.repeat(len(start), 1))
        return z.view_as(start), log_det.view(start.shape[:-1])


class PosteriorHead(nn.Module, abc.ABC):
    """Reads an encoder's numbers, (batch, code_size), as a belief about the code."""

    code_size: int
    """How many numbers it reads; the first z_size are a location, the next a log-scale."""

    @abc.abstractmethod
    def forward(self, code: Tensor) -> "Gaussian | Transported":
        """The belief of each row; code in float32 at least."""


class Posterior(abc.ABC):
    """A family of distributions over the code, one for each row. Its subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def build(self, z_size: int) -> PosteriorHead:
        """The module for codes of this size."""


class GaussianPosterior(Posterior):
    """A posterior whose density has a formula everywhere, not only at its own draws."""


@dataclass(frozen=True)
class DiagonalNormal(GaussianPosterior):
    """A normal with independent values.

    Reference: Auto-Encoding Variational Bayes (Kingma & Welling, 2014), arXiv:1312.6114, section 3
    """

    def build(self, z_size: int) -> PosteriorHead:
        """As `Posterior.build`."""
        return _DiagonalHead(z_size)


class _DiagonalHead(PosteriorHead):
    def __init__(self, z_size: int) -> None:
        super().__init__()
        self.code_size = 2 * z_size

    def forward(self, code: Tensor) -> Diagonal:
        return _diagonal(code)


def _diagonal(code: Tensor) -> Diagonal:
    loc, log_scale = code.chunk(2, dim=1)
    return Diagonal(loc, log_scale.clamp(*LOG_SCALE_RANGE))


@dataclass(frozen=True)
class FullNormal(GaussianPosterior):
    """A normal whose values may depend on each other: its covariance's Cholesky factor is learned.

    Reference: An Introduction to Variational Autoencoders (Kingma & Welling, 2019), arXiv:1906.02691, section 2.5.1
    """

    def build(self, z_size: int) -> PosteriorHead:
        """As `Posterior.build`; reads z_size (z_size + 3) / 2 numbers."""
        return _FullHead(z_size)


class _FullHead(PosteriorHead):
    def __init__(self, z_size: int) -> None:
        super().__init__()
        self.z_size = z_size
        self.code_size = 2 * z_size + z_size * (z_size - 1) // 2
        self.register_buffer("places", torch.tril_indices(z_size, z_size, -1), persistent=False)

    def forward(self, code: Tensor) -> Full:
        loc, log_scale, below = code.split([self.z_size, self.z_size, self.code_size - 2 * self.z_size], 1)
        scale = log_scale.clamp(*LOG_SCALE_RANGE).exp()
        row, column = self.get_buffer("places")
        triangle = torch.diag_embed(scale)
        # Relative to the row's scale: the start, near zero, is nearly independent whatever the scales are.
        triangle[:, row, column] = below * scale[:, row]
        return Full(loc, triangle)


@dataclass(frozen=True)
class InverseAutoregressive(Posterior):
    """A diagonal normal followed by autoregressive transformations that see the row: as bent as the data asks for.

    Attributes:
        steps: transformations, each after the order of the code was turned round.
        hidden: widths of the masked network of each.
        context_size: how many numbers of the encoder all of them see.

    Reference: Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016), arXiv:1606.04934
    """

    steps: int = 2
    hidden: tuple[int, ...] = (128,)
    context_size: int = 32

    def __post_init__(self) -> None:
        if self.steps < 1 or self.context_size < 1:
            raise ValueError(
                f"InverseAutoregressive: steps and context_size must be at least 1, got {self.steps} and "
                f"{self.context_size}"
            )

    def build(self, z_size: int) -> PosteriorHead:
        """As `Posterior.build`."""
        return _InverseAutoregressiveHead(self, z_size)


class _InverseAutoregressiveHead(PosteriorHead):
    def __init__(self, part: InverseAutoregressive, z_size: int) -> None:
        super().__init__()
        self.z_size, self.code_size = z_size, 2 * z_size + part.context_size
        steps: list[Bijection] = []
        for i in range(part.steps):
            steps += [Permutation.reversal(z_size)] if i else []
            steps.append(Autoregressive(z_size, part.hidden, context_size=part.context_size))
        self.chain = Chain(*steps)

    def forward(self, code: Tensor) -> Transported:
        numbers, context = code.split([2 * self.z_size, self.code_size - 2 * self.z_size], 1)
        return Transported(_diagonal(numbers), self.chain, context)
