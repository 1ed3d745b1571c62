"""Bijections: maps that can be undone, and say how they stretch space.

The density of y = f(x) is log p(y) = log p(x) - log|det df/dx|. Log-determinants are in nats, and in float32 at least.
"""

import abc
from typing import final

import torch
from torch import Tensor, nn


class Bijection(nn.Module, abc.ABC):
    """An invertible map of rows of any shape, given a context where it was built for one.

    y may have another shape than x, of as many values. Rows are independent of each other. Law: inverse(forward(x)) =
    x, with log-determinants that cancel.
    """

    @abc.abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (batch, *shape), context (batch, context_size): y (batch, *y_shape), and log|det dy/dx| (batch,)."""

    @abc.abstractmethod
    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """y (batch, *y_shape), context (batch, context_size): x (batch, *shape), and log|det dx/dy| (batch,)."""

    def start(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Sets starting values from some training rows, where it has such, and gives what forward makes of them."""
        y: Tensor = self(x, context)[0]
        return y


@final
class Chain(Bijection):
    """One bijection after the other: y = f_k(... f_1(x)), each given the same context.

    log|det dy/dx| is the sum of theirs, each at its own input.

    Args:
        steps: the first is applied first; none make the identity.
    """

    def __init__(self, *steps: Bijection) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`."""
        log_det = no_stretch(x)
        for step in self.steps:
            x, own = step(x, context)
            log_det = log_det + own
        return x, log_det

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`."""
        log_det = no_stretch(y)
        for step in reversed(self.steps):
            assert isinstance(step, Bijection)
            y, own = step.inverse(y, context)
            log_det = log_det + own
        return y, log_det

    def start(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `Bijection.start`: each step starts from what those before it, started already, make of the rows."""
        for step in self.steps:
            assert isinstance(step, Bijection)
            x = step.start(x, context)
        return x


@final
class Inverse(Bijection):
    """A bijection the other way round: its forward is the other's inverse.

    A masked autoregressive flow (arXiv:1705.07057) is so the inverse of an inverse autoregressive one
    (arXiv:1606.04934): which way is fast is all that differs.
    """

    def __init__(self, bijection: Bijection) -> None:
        super().__init__()
        self.bijection = bijection

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`."""
        return self.bijection.inverse(x, context)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`."""
        moved: tuple[Tensor, Tensor] = self.bijection(y, context)
        return moved


LOG_SCALE_BOUND = 3.0


def bounded(raw: Tensor, bound: float = LOG_SCALE_BOUND) -> Tensor:
    """bound tanh(raw / bound): a log-scale that neither way out of float's range lies behind; near 0 raw itself."""
    return bound * torch.tanh(raw / bound)


def at_least_float32(raw: Tensor) -> Tensor:
    """What a network that may have run in bfloat16 gave, for sums and exponentials that must not."""
    return raw.to(torch.promote_types(raw.dtype, torch.float32))


def no_stretch(x: Tensor) -> Tensor:
    """The log-determinant of a map that keeps volumes: zeros (batch,)."""
    return at_least_float32(x.new_zeros(len(x)))


def start_at_zero(layer: nn.Linear | nn.Conv2d) -> None:
    """Makes a network's last layer give zeros, so that a bijection that reads them starts as the identity."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
