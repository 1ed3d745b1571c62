"""Images and signals as convolutions over pixels take them: a signal is an image of one row."""

import math

import torch
from torch import Tensor, nn

from likely.contract import Shape

LAP = 512
"""A signal is drawn in laps of so many values; no dilation is larger."""


def as_pixels(x: Tensor, *, scaled: bool) -> Tensor:
    """Images, and signals as images of one row, (batch, colors, h, w), channels last in memory; [0, 1] to [-1, 1]."""
    pixels = x if x.ndim == 4 else x.unsqueeze(2)
    return (pixels * 2 - 1 if scaled else pixels).contiguous(memory_format=torch.channels_last)


class Positions(nn.Module):
    """What its place adds to each pixel's features: learned, nothing at first, and nothing ever in signals.

    A few small kernels see too little around a pixel to know where in the image it is, and in pictures of one thing
    that says much.

    Args:
        channels: of the features.
        x_shape: (colors, height, width) or (colors, length).
    """

    def __init__(self, channels: int, x_shape: Shape) -> None:
        super().__init__()
        self.map = None if is_signal(x_shape) else nn.Parameter(torch.zeros(1, channels, *x_shape[1:]))

    def forward(self, features: Tensor) -> Tensor:
        """(batch, channels, h, w) to the same."""
        return features if self.map is None else features + self.map.to(features.dtype)

    def by_row(self, order: Tensor) -> Tensor | None:
        """The same for steps, channels in another order: (height, width, channels)."""
        return None if self.map is None else self.map.detach()[0, order].permute(1, 2, 0).contiguous()


def is_signal(x_shape: Shape) -> bool:
    """Whether rows of this shape have one row of pixels: (c, length), (c, 1, length)."""
    return len(x_shape) == 2 or x_shape[1] == 1


def lap(length: int) -> int:
    """How many values of a signal are drawn before caches go on: a power of two."""
    return min(LAP, 1 << max(0, length - 1).bit_length())


def dilations(x_shape: Shape, n_layers: int) -> list[int]:
    """How far apart the pixels are that each layer reads: 1 in images; in signals 1, 2, 4, ... and from 1 again.

    Reference: WaveNet: A Generative Model for Raw Audio (van den Oord et al., 2016), arXiv:1609.03499
    """
    if not is_signal(x_shape):
        return [1] * n_layers
    cycle = lap(x_shape[-1]).bit_length()
    return [2 ** (i % cycle) for i in range(n_layers)]


def check_kernels(kernel: int, first_kernel: int) -> None:
    """Refuses sides of kernels that have no middle, and a first kernel that is nothing but its middle.

    Raises:
        ValueError: naming the argument.
    """
    for name, side, least in (("kernel", kernel, 1), ("first_kernel", first_kernel, 3)):
        if side < least or side % 2 == 0:
            raise ValueError(f"{name} must be odd and at least {least}, got {side}")


def default_channels(x_shape: Shape) -> int:
    """Channels of a network over pixels of this shape: a multiple of its colors, of which each gets a share."""
    colors = x_shape[0]
    return colors * math.ceil((32 if colors == 1 else 48) / colors)


def default_depth(x_shape: Shape, depth: int) -> int:
    """Layers of a network over pixels: `depth` for images; for signals so many that they reach over a lap of them."""
    if not is_signal(x_shape):
        return depth
    return max(depth, min(10, lap(x_shape[-1]).bit_length()))
