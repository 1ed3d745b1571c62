"""Dequantization: noise within the bins of whole values, so that a density can be a bound of their probability.

For x of whole levels, P(x) is the integral over u in [0, 1)^n of the density of x + u, which with noise u ~ q(u | x) is
at least E[log p(x + u) - log q(u | x)].
"""

import abc
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from likely import rng
from likely.bijections import (
    ActNorm,
    Autoregressive,
    Bijection,
    Chain,
    ImageCoupling,
    Inverse,
    InvertibleConvolution,
    Logit,
    Permutation,
    Squeeze,
)
from likely.contract import Shape
from likely.flows.images import default_width

LOGISTIC_SCALE = 1.702
"""The logistic function of a normal with this standard deviation is nearly uniform on (0, 1)."""


class Dequantizer(nn.Module, abc.ABC):
    """Draws from q(u | x)."""

    @abc.abstractmethod
    def noise(self, n: int, like: Tensor) -> Tensor:
        """What draws are made of: (n, *x_shape), typed and placed as `like`."""

    @abc.abstractmethod
    def forward(self, noise: Tensor, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """Draws u (batch, *x_shape) in [0, 1), and log q(u | x) (batch,).

        Args:
            noise: (batch, *x_shape), of `noise`.
            x: (batch, *x_shape), levels from 0 to 1.
            condition: (batch, context_size), or None.
        """


class Dequantization(abc.ABC):
    """The family of q(u | x). Its subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def build(self, x_shape: Shape, context_size: int) -> Dequantizer:
        """The module that draws.

        Args:
            x_shape: of one row.
            context_size: how many numbers of a condition it sees beside x.
        """


@dataclass(frozen=True)
class UniformDequantization(Dequantization):
    """u uniform over the bin, whatever x is.

    Reference: A note on the evaluation of generative models (Theis et al., 2016), arXiv:1511.01844, section 3.1
    """

    def build(self, x_shape: Shape, context_size: int) -> Dequantizer:
        """As `Dequantization.build`."""
        return _Uniform(x_shape)


class _Uniform(Dequantizer):
    def __init__(self, x_shape: Shape) -> None:
        super().__init__()
        self.x_shape = tuple(x_shape)

    def noise(self, n: int, like: Tensor) -> Tensor:
        return rng.uniform(n, *self.x_shape, like=like)

    def forward(self, noise: Tensor, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        return noise, x.new_zeros(len(x))


@dataclass(frozen=True)
class VariationalDequantization(Dequantization):
    """u = logistic(f(e; x)), e ~ N(0, I), with a flow f that sees x: noise where the density is high.

    Couplings of neighboring pixels for images and signals, autoregressive maps for vectors. Starts as nearly uniform.

    Attributes:
        layers: of f.
        width: channels, or hidden units, of the network of each; None chooses by the shape.
        blocks: residual blocks of each, of images and signals.

    Reference: Flow++: Improving Flow-Based Generative Models with Variational Dequantization and Architecture Design
        (Ho et al., 2019), arXiv:1902.00275, section 3.1, equation 7
    """

    layers: int = 4
    width: int | None = None
    blocks: int = 1

    def __post_init__(self) -> None:
        if self.layers < 1:
            raise ValueError(f"VariationalDequantization: layers must be at least 1, got {self.layers}")

    def build(self, x_shape: Shape, context_size: int) -> Dequantizer:
        """As `Dequantization.build`."""
        if len(x_shape) == 1:
            return _Variational(x_shape, Chain(), self._of_vectors(x_shape[0], x_shape[0] + context_size), x_shape[0])
        squeeze = Squeeze(x_shape)
        flow = self._of_images(squeeze.out_shape, squeeze.out_shape[0] + context_size)
        return _Variational(x_shape, squeeze, flow, squeeze.out_shape[0])

    def _of_vectors(self, n: int, context_size: int) -> Chain:
        layers = [Autoregressive(n, (self.width or 64,), context_size=context_size) for _ in range(self.layers)]
        return Chain(*(step for layer in layers for step in (layer, Permutation.reversal(n))))

    def _of_images(self, shape: Shape, context_size: int) -> Chain:
        steps: list[Bijection] = []
        for i in range(self.layers):
            if i > 1 and shape[0] > 1:
                steps.append(InvertibleConvolution(shape[0]))
            coupling = ImageCoupling(
                shape,
                mask="channels" if shape[0] > 1 else "checkerboard",
                width=self.width or default_width(shape),
                blocks=self.blocks,
                context_size=context_size,
                flip=i % 2 == 1,
            )
            steps.append(coupling)
        return Chain(*steps)


class _Variational(Dequantizer):
    def __init__(self, x_shape: Shape, squeeze: Bijection, flow: Bijection, channels: int) -> None:
        super().__init__()
        self.x_shape, self.squeeze, self.flow = tuple(x_shape), squeeze, flow
        self.spread = ActNorm(channels)
        nn.init.constant_(self.spread.log_scale, math.log(LOGISTIC_SCALE))
        self.to_bin = Inverse(Logit(0.0, 1.0, margin=0.0))

    def noise(self, n: int, like: Tensor) -> Tensor:
        return rng.normal(n, *self.x_shape, like=like)

    def forward(self, noise: Tensor, x: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        log_noise = -0.5 * (noise.square() + math.log(2 * math.pi)).flatten(1).sum(1)
        context = _beside(self.squeeze(2 * x - 1)[0], condition)
        moved, by_flow = self.flow(self.squeeze(noise)[0], context)
        spread, by_spread = self.spread(moved)
        u, by_bin = self.to_bin(self.squeeze.inverse(spread)[0])
        return u, log_noise - by_flow - by_spread - by_bin


def _beside(x: Tensor, condition: Tensor | None) -> Tensor:
    """x (batch, c, *sides) and a condition (batch, context_size), the same at all places, as channels of one map."""
    if condition is None:
        return x
    everywhere = condition.view(*condition.shape, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])
    return torch.cat([x, everywhere], 1)
