"""Networks that say where a point moves at a time: the slope of a flow."""

import abc
import math

import torch
from torch import Tensor, nn

from likely.contract import Shape

HIGHEST_FREQUENCY, LOWEST_FREQUENCY = 8.0, 0.25
"""Of the waves that a time from 0 to 1 is written in, in periods."""


class VelocityNetwork(abc.ABC):
    """A network from a point, a time and a context to a velocity. Its subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def build(self, x_shape: Shape, context_size: int) -> nn.Module:
        """A module of u (batch, *x_shape), t (batch,) and context (batch, context_size) or None: (batch, *x_shape).

        It starts as zero everywhere.

        Raises:
            ValueError: for a shape that it cannot take.
        """


class TimeEmbedding(nn.Module):
    """A time and a context as one vector: waves of the time through two layers, to which the context is added."""

    frequencies: Tensor

    def __init__(self, width: int, context_size: int, n_waves: int = 8) -> None:
        super().__init__()
        powers = torch.linspace(math.log(LOWEST_FREQUENCY), math.log(HIGHEST_FREQUENCY), n_waves)
        self.register_buffer("frequencies", 2 * math.pi * powers.exp(), persistent=False)
        self.waves = nn.Linear(2 * n_waves + 1, width)
        self.context = nn.Linear(context_size, width, bias=False) if context_size else None
        self.last = nn.Linear(width, width)
        self.act = nn.SiLU()

    def forward(self, t: Tensor, context: Tensor | None) -> Tensor:
        """Of times (batch,) from 0 to 1: (batch, width), activated."""
        angles = t[:, None] * self.frequencies
        hidden: Tensor = self.waves(torch.cat([t[:, None], angles.sin(), angles.cos()], 1))
        if self.context is not None:
            hidden = hidden + self.context(context)
        return self.act(self.last(self.act(hidden)))


def zeroed(layer: nn.Module) -> nn.Module:
    """The layer, starting as zero."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    return layer
