"""Activation normalization."""

import math
from typing import final

import torch
from torch import Tensor, nn

from likely.bijections.bijection import Bijection, at_least_float32

MIN_SCALE = 1e-3
"""Of rows that a start is taken from: what never varies among them is not blown up further."""


@final
class ActNorm(Bijection):
    """y = (x + shift) exp(log_scale), one number of each per channel: features of a vector, channels of an image.

    `start` makes y zero in mean and one in scale over the rows it is shown. log|det dy/dx| is the sum of the log-scales
    at all places.

    Args:
        channels: the size of x's first axis after the batch.

    Reference: Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018), arXiv:1807.03039,
        section 3.1
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.log_scale = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`; a context changes nothing."""
        shift, log_scale = self._numbers(x)
        return (x + shift) * log_scale.exp(), self._log_det(x)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`; a context changes nothing."""
        shift, log_scale = self._numbers(y)
        return y * (-log_scale).exp() - shift, -self._log_det(y)

    @torch.no_grad()
    def start(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `Bijection.start`."""
        over = [axis for axis in range(x.ndim) if axis != 1]
        self.shift.copy_(-x.mean(over))
        self.log_scale.copy_(-x.std(over, correction=0).clamp_min(MIN_SCALE).log())
        return super().start(x, context)

    def _numbers(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1, *[1] * (x.ndim - 2))
        return self.shift.view(shape), self.log_scale.view(shape)

    def _log_det(self, x: Tensor) -> Tensor:
        return at_least_float32(self.log_scale.sum() * math.prod(x.shape[2:])).expand(len(x))
