"""Rows of any shape as vectors."""

import math
from typing import final

from torch import Tensor

from likely.bijections.bijection import Bijection, no_stretch
from likely.contract import Shape


@final
class Flatten(Bijection):
    """From (batch, *x_shape) to (batch, n), values as they lie in memory; log|det dy/dx| = 0.

    Args:
        x_shape: of one row.
    """

    def __init__(self, x_shape: Shape) -> None:
        super().__init__()
        self.x_shape = tuple(x_shape)
        self.n = math.prod(self.x_shape)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`; a context changes nothing."""
        return x.reshape(len(x), self.n), no_stretch(x)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`; a context changes nothing."""
        return y.reshape(len(y), *self.x_shape), no_stretch(y)
