"""Strided convolutions down to a small map, transposed convolutions back, for images and signals of any size."""

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from likely.contract import Shape
from likely.networks.activations import ACTIVATIONS, Activation
from likely.networks.codec import Codec, DeepCodec, Layer, Network
from likely.networks.convolutions import (
    CONVOLUTIONS,
    TRANSPOSED,
    ChannelsLast,
    ResidualBlock,
    ToSize,
    check_is_map,
    halved_sizes,
    keep_variance,
)
from likely.networks.tied import TransposedConvolution, TransposedLinear, check_tied

Modules = list[nn.Module]


@dataclass(frozen=True)
class Convolutional(Network):
    """One convolution of stride 2 per entry of `channels`, then a hidden layer; the decoder mirrors it.

    A side of s pixels becomes ceil(s / 2) at each stage, and comes back exactly, whatever s is.

    Attributes:
        channels: of each stage, from x to the code.
        hidden: width of the fully connected layer between the last map and the code.
        activation: after each layer.
        linear_path: adds a linear map beside the deep one (see `DeepCodec`).
        code_activation: of the code itself; None leaves it linear.
        tied: the decoder is the encoder transposed, layer by layer, with the encoder's weights.
        residual_blocks: residual blocks after each stage, in the encoder and in the decoder.

    Reference: for residual blocks, Deep Residual Learning for Image Recognition (He et al., 2016), arXiv:1512.03385
    """

    channels: tuple[int, ...] = (32, 64, 128)
    hidden: int = 256
    activation: Activation = "silu"
    linear_path: bool = False
    code_activation: Activation | None = None
    tied: bool = False
    residual_blocks: int = 0

    def __post_init__(self) -> None:
        if self.tied and self.residual_blocks:
            raise ValueError("Convolutional: residual blocks have no transpose; give tied=False or residual_blocks=0")

    def build(
        self, x_shape: Shape, *, code_size: int, z_size: int, raw_channels: int = 1, condition_size: int = 0
    ) -> Codec:
        """As `Network.build`; x_shape is (channels, height, width), or (channels, length)."""
        check_is_map(x_shape, "Convolutional")
        if self.tied:
            check_tied(code_size, z_size, raw_channels, condition_size, self.linear_path)
        sizes = halved_sizes(x_shape[1:], len(self.channels))
        ups = self._ups(x_shape[0], sizes)
        head = nn.Linear(self.hidden + condition_size, code_size)
        if self.tied:
            downs = self._tied_downs(ups, head, sizes)
        else:
            downs = self._downs(z_size + condition_size, raw_channels * x_shape[0], sizes)
        encoder = nn.Sequential(ChannelsLast(), *(module for stage in ups for module in stage))
        decoder = nn.Sequential(*(module for stage in downs for module in stage))
        keep_variance(encoder)
        keep_variance(decoder[:-1])
        code_activation = None if self.code_activation is None else ACTIVATIONS[self.code_activation]()
        forth = [*ups, [head, code_activation or nn.Identity()]]
        return DeepCodec(
            x_shape,
            encoder,
            head,
            decoder,
            z_size=z_size,
            raw_channels=raw_channels,
            linear_path=self.linear_path,
            code_activation=code_activation,
            layers=tuple(
                Layer(nn.Sequential(ChannelsLast(), *up), nn.Sequential(*down))
                for up, down in zip(forth, downs[::-1], strict=True)
            ),
        )

    def _ups(self, n_channels: int, sizes: list[Shape]) -> list[Modules]:
        """The encoder's stages, and the hidden layer."""
        act, convolution = ACTIVATIONS[self.activation], CONVOLUTIONS[len(sizes[0])]
        stages: list[Modules] = [
            [
                convolution(a, b, 3, stride=2, padding=1),
                act(),
                *self._between(b, len(sizes[0])),
            ]
            for a, b in pairwise((n_channels, *self.channels))
        ]
        flat = self.channels[-1] * math.prod(sizes[-1])
        return [*stages, [nn.Flatten(), nn.Linear(flat, self.hidden), act()]]

    def _between(self, n_channels: int, n_dims: int) -> Modules:
        """What keeps the size of a map in the encoder: a convolution, or residual blocks."""
        act = ACTIVATIONS[self.activation]
        if self.residual_blocks:
            return self._blocks(n_channels, n_dims)
        return [CONVOLUTIONS[n_dims](n_channels, n_channels, 3, padding=1), act()]

    def _blocks(self, n_channels: int, n_dims: int) -> Modules:
        act = ACTIVATIONS[self.activation]
        return [ResidualBlock(n_channels, n_dims, act) for _ in range(self.residual_blocks)]

    def _downs(self, z_size: int, raw_channels: int, sizes: list[Shape]) -> list[Modules]:
        """From the code back, stage by stage."""
        act, n_dims = ACTIVATIONS[self.activation], len(sizes[0])
        flat = self.channels[-1] * math.prod(sizes[-1])
        stages: list[Modules] = [
            [nn.Linear(z_size, self.hidden), act()],
            [nn.Linear(self.hidden, flat), act(), nn.Unflatten(1, (self.channels[-1], *sizes[-1])), ChannelsLast()],
        ]
        back = (*self.channels[::-1], self.channels[0])
        for (a, b), size in zip(pairwise(back), sizes[-2::-1], strict=True):
            # A transposed convolution doubles each side; odd sides lose the last line again.
            up = TRANSPOSED[n_dims](a, b, 4, stride=2, padding=1)
            stages.append([*self._blocks(a, n_dims), up, ToSize(size), act()])
        stages[-1].append(CONVOLUTIONS[n_dims](self.channels[0], raw_channels, 3, padding=1))
        return stages

    def _tied_downs(self, ups: list[Modules], head: nn.Linear, sizes: list[Shape]) -> list[Modules]:
        """The encoder's layers transposed, last to first; x is left without an activation."""
        act = ACTIVATIONS[self.activation]
        hidden = ups[-1][1]
        assert isinstance(hidden, nn.Linear)
        unflatten = nn.Unflatten(1, (self.channels[-1], *sizes[-1]))
        stages: list[Modules] = [
            [TransposedLinear(head), act()],
            [TransposedLinear(hidden), act(), unflatten, ChannelsLast()],
        ]
        for up, (size, smaller) in zip(ups[-2::-1], list(pairwise(sizes))[::-1], strict=True):
            first, second = up[0], up[2]
            assert isinstance(first, nn.Conv1d | nn.Conv2d)
            assert isinstance(second, nn.Conv1d | nn.Conv2d)
            stages.append([TransposedConvolution(second, smaller), act(), TransposedConvolution(first, size), act()])
        stages[-1].pop()
        return stages
