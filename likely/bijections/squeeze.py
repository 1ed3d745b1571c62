"""Squeezing: pixels side by side become channels, so that what comes after sees half as many places."""

import itertools
import math
from typing import final

import torch
from torch import Tensor

from likely.bijections.bijection import Bijection, no_stretch
from likely.contract import Shape


@final
class Squeeze(Bijection):
    """2 x 2 pixels to one of four times as many channels. Volumes stay: log|det dy/dx| = 0.

    An axis of odd length is left as it is, and no pixel is made up or lost: (1, 28, 28) goes to (4, 14, 14), that to
    (16, 7, 7), and that nowhere; (2, 6, 5) goes to (4, 3, 5), and a signal (1, 10) to (2, 5). The first half of the
    channels holds the even fields of a chessboard, the second the odd ones: what couples the halves couples neighbors.

    Args:
        x_shape: (c, *sides) of what is squeezed, one side or more.

    Raises:
        ValueError: for rows without sides.

    Reference: Density estimation using Real NVP (Dinh et al., 2017), arXiv:1605.08803, section 3.6 and figure 3
    """

    def __init__(self, x_shape: Shape) -> None:
        super().__init__()
        if len(x_shape) < 2:
            raise ValueError(f"Squeeze takes images (c, h, w) and signals (c, length), got rows of shape {x_shape}")
        channels, *sides = x_shape
        self.factors = tuple(2 - side % 2 for side in sides)
        self.sides = tuple(side // factor for side, factor in zip(sides, self.factors, strict=True))
        self.out_shape: Shape = (channels * math.prod(self.factors), *self.sides)
        corners = list(itertools.product(*(range(factor) for factor in self.factors)))
        order = sorted(range(len(corners)), key=lambda i: sum(corners[i]) % 2)
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.register_buffer("back", torch.tensor(sorted(order, key=order.__getitem__)), persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`; a context changes nothing."""
        n = len(self.sides)
        pairs = [length for both in zip(self.sides, self.factors, strict=True) for length in both]
        fields = x.reshape(*x.shape[:2], *pairs)
        # (batch, factors, c, sides): corners of the 2 x 2 before channels, so that halves are halves of the corners.
        fields = fields.permute(0, *range(3, 3 + 2 * n, 2), 1, *range(2, 2 + 2 * n, 2)).flatten(1, n)
        return fields.index_select(1, self.get_buffer("order")).flatten(1, 2), no_stretch(x)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`; a context changes nothing."""
        n = len(self.sides)
        fields = y.unflatten(1, (math.prod(self.factors), -1)).index_select(1, self.get_buffer("back"))
        fields = fields.unflatten(1, self.factors)  # (batch, *factors, c, *sides)
        pairs = [axis for i in range(n) for axis in (n + 2 + i, 1 + i)]
        sides = [side * factor for side, factor in zip(self.sides, self.factors, strict=True)]
        return fields.permute(0, n + 1, *pairs).reshape(len(y), -1, *sides), no_stretch(y)
