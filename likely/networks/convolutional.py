"""Strided convolutions down to a small map, transposed convolutions back, for images of any size."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.codec import Codec, Network
from likely.networks.mlp import ACTIVATIONS, Activation


class ToSize(nn.Module):
    """Cuts (batch, c, h, w) to a height and a width, from the top left."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.size[0], : self.size[1]]


class ChannelsLast(nn.Module):
    """Lays images out as the convolutions of every backend like them best."""

    def forward(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)


def keep_variance(layers: nn.Module) -> None:
    """Starts layers so that activations keep their size on the way: PyTorch's own start shrinks them layer by layer.

    Reference: Delving Deep into Rectifiers (He et al., 2015), arXiv:1502.01852, equation 10
    """
    for layer in layers.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)


@dataclass(frozen=True)
class Convolutional(Network):
    """One convolution of stride 2 per entry of `channels`, then a hidden layer; the decoder mirrors it.

    A side of s pixels becomes ceil(s / 2) at each stage, and comes back exactly, whatever s is.

    Attributes:
        channels: of each stage, from x to the code.
        hidden: width of the fully connected layer between the last map and the code.
        activation: after each layer.
        linear_path: adds a linear map beside the deep one (see `Codec`).
    """

    channels: tuple[int, ...] = (32, 64, 128)
    hidden: int = 256
    activation: Activation = "silu"
    linear_path: bool = False

    def build(
        self, x_shape: Shape, *, code_size: int, z_size: int, raw_channels: int = 1, condition_size: int = 0
    ) -> Codec:
        """As `Network.build`; x_shape must be (channels, height, width)."""
        if len(x_shape) != 3:
            raise ValueError(f"Convolutional takes images of shape (channels, height, width), got {x_shape}")
        sizes = [(x_shape[1], x_shape[2])]
        for _ in self.channels:
            sizes.append((math.ceil(sizes[-1][0] / 2), math.ceil(sizes[-1][1] / 2)))
        encoder = self._encoder(x_shape[0], sizes[-1])
        decoder = self._decoder(z_size + condition_size, raw_channels * x_shape[0], sizes)
        keep_variance(encoder)
        keep_variance(decoder[:-1])
        return Codec(
            x_shape,
            encoder,
            nn.Linear(self.hidden + condition_size, code_size),
            decoder,
            z_size=z_size,
            raw_channels=raw_channels,
            linear_path=self.linear_path,
        )

    def _encoder(self, n_channels: int, last: tuple[int, int]) -> nn.Sequential:
        act = ACTIVATIONS[self.activation]
        stages: list[nn.Module] = [ChannelsLast()]
        for a, b in pairwise((n_channels, *self.channels)):
            stages += [nn.Conv2d(a, b, 3, stride=2, padding=1), act(), nn.Conv2d(b, b, 3, padding=1), act()]
        flat = self.channels[-1] * math.prod(last)
        return nn.Sequential(*stages, nn.Flatten(), nn.Linear(flat, self.hidden), act())

    def _decoder(self, z_size: int, raw_channels: int, sizes: list[tuple[int, int]]) -> nn.Sequential:
        act = ACTIVATIONS[self.activation]
        flat = self.channels[-1] * math.prod(sizes[-1])
        stages: list[nn.Module] = [nn.Linear(z_size, self.hidden), act(), nn.Linear(self.hidden, flat), act()]
        stages += [nn.Unflatten(1, (self.channels[-1], *sizes[-1])), ChannelsLast()]
        back = (*self.channels[::-1], self.channels[0])
        for (a, b), size in zip(pairwise(back), sizes[-2::-1], strict=True):
            # A transposed convolution doubles each side; odd sides lose the last line again.
            stages += [nn.ConvTranspose2d(a, b, 4, stride=2, padding=1), ToSize(size), act()]
        return nn.Sequential(*stages, nn.Conv2d(self.channels[0], raw_channels, 3, padding=1))
