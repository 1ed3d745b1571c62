"""Bijections: maps that can be undone, and say how they stretch space."""

import abc
from typing import final

import torch
from torch import Tensor, nn


class Bijection(nn.Module, abc.ABC):
    """An invertible map of rows, given a context where it was built for one."""

    @abc.abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """x (batch, n), context (batch, context_size): y (batch, n), and log|det dy/dx| (batch,)."""

    @abc.abstractmethod
    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """y (batch, n), context (batch, context_size): x (batch, n), and log|det dx/dy| (batch,)."""


@final
class Chain(Bijection):
    """One bijection after the other."""

    def __init__(self, *steps: Bijection) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`."""
        log_det = x.new_zeros(len(x))
        for step in self.steps:
            x, own = step(x, context)
            log_det = log_det + own
        return x, log_det

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`."""
        log_det = y.new_zeros(len(y))
        for step in reversed(self.steps):
            assert isinstance(step, Bijection)
            y, own = step.inverse(y, context)
            log_det = log_det + own
        return y, log_det


@final
class Inverse(Bijection):
    """A bijection the other way round."""

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


def bounded(raw: Tensor) -> Tensor:
    """A log-scale that stays where its exponential, and that of minus it, are of moderate size; near 0 raw itself."""
    return LOG_SCALE_BOUND * torch.tanh(raw / LOG_SCALE_BOUND)


def start_at_zero(layer: nn.Linear) -> None:
    """Makes a network's last layer give zeros, so that a bijection that reads them starts as the identity."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
