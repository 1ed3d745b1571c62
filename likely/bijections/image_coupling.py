"""Coupling layers of images and signals, whose networks are convolutional."""

import math
from collections.abc import Callable
from typing import Literal, final

import torch
from torch import Tensor

from likely.bijections.bijection import Bijection, at_least_float32
from likely.bijections.transformers import Affine, Transformer
from likely.contract import Shape
from likely.networks.activations import Activation
from likely.networks.conditioner import ConvolutionalConditioner

Mask = Literal["checkerboard", "channels"]


@final
class ImageCoupling(Bijection):
    """y_a = x_a, and y_b = a transformer of x_b by numbers that a convolutional network has from x_a and the context.

    a is the even fields of a chessboard and b the odd ones, or a the first half of the channels (the smaller one, of an
    odd number) and b the second. log|det dy/dx| is the sum of the transformer's log-slopes. Starts as the identity.

    Args:
        x_shape: (c, h, w) or (c, length).
        transformer: of each value that moves.
        mask: "checkerboard", or "channels", of which there must be two.
        width: channels of the network.
        blocks: its residual blocks.
        context_size: how many numbers of a context it sees; the context may be a map of so many channels too.
        flip: keeps b and moves a.
        dropout: the share of the network's last features that is left out at each training step.
        activation: of the network.

    Raises:
        ValueError: where there is nothing to couple.

    Reference: Density estimation using Real NVP (Dinh et al., 2017), arXiv:1605.08803, equation 7 and section 3.4
    """

    def __init__(
        self,
        x_shape: Shape,
        transformer: Transformer = Affine(),
        *,
        mask: Mask = "channels",
        width: int = 32,
        blocks: int = 1,
        context_size: int = 0,
        flip: bool = False,
        dropout: float = 0.0,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        channels, *sides = x_shape
        if math.prod(sides if mask == "checkerboard" else [channels]) < 2:
            raise ValueError(f"ImageCoupling: mask={mask!r} leaves nothing to couple in rows of shape {tuple(x_shape)}")
        self.mask, self.transformer, self.flip = mask, transformer, flip
        self.sizes = (channels // 2, channels - channels // 2)
        kept, moved = (channels, channels) if mask == "checkerboard" else self.sizes[:: -1 if flip else 1]
        self.register_buffer("moves", chessboard(sides) != flip, persistent=False)
        self.network = ConvolutionalConditioner(
            (kept, *sides),
            transformer.outputs * moved,
            width=width,
            blocks=blocks,
            context_size=context_size,
            dropout=dropout,
            activation=activation,
        )

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`."""
        return self._moved(self.transformer.forward, x, context)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`."""
        return self._moved(self.transformer.inverse, y, context)

    def _moved(
        self, move: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], x: Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        if self.mask == "checkerboard":
            moves = self.get_buffer("moves")
            moved, log_slope = move(x, self._raw(torch.where(moves, 0, x), context))
            return torch.where(moves, moved, x), _summed(torch.where(moves, log_slope, 0))
        first, second = x.split_with_sizes(self.sizes, 1)
        kept, moving = (second, first) if self.flip else (first, second)
        moved, log_slope = move(moving, self._raw(kept, context))
        return torch.cat([moved, kept] if self.flip else [kept, moved], 1), _summed(log_slope)

    def _raw(self, kept: Tensor, context: Tensor | None) -> Tensor:
        """What the transformer reads: (batch, outputs, moved channels, *sides)."""
        return at_least_float32(self.network(kept, context)).unflatten(1, (self.transformer.outputs, -1))


def _summed(each: Tensor) -> Tensor:
    return each.flatten(1).sum(1)


def chessboard(sides: list[int]) -> Tensor:
    """Whether a field is odd, (*sides): the sum of where it stands."""
    parity = torch.zeros(sides, dtype=torch.int64)
    for axis, side in enumerate(sides):
        parity = parity + torch.arange(side).view(-1, *[1] * (len(sides) - axis - 1))
    return parity % 2 == 1
