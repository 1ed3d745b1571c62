"""Max-pooling whose indices travel to the unpooling layers: what goes through the code, where goes beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.activations import ACTIVATIONS, Activation
from likely.networks.codec import Bottleneck, Codec, Layer, Network, beside, parameters_of
from likely.networks.convolutions import CONVOLUTIONS, ChannelsLast, check_is_map, cropped, halved_sizes, keep_variance

POOL = 2
"""The side of a window."""


def pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """The largest value of each window, and where in its plane it stood; sides that are odd round up.

    Args:
        x: (batch, c, h, w), or (batch, c, length).

    Returns:
        values and indices, both (batch, c, ceil(h / 2), ceil(w / 2)).
    """
    pooled = F.max_pool2d if x.ndim == 4 else F.max_pool1d
    values, where = pooled(x, POOL, ceil_mode=True, return_indices=True)
    return values, where


def unpool(values: Tensor, where: Tensor, size: Shape) -> Tensor:
    """Each value back where it came from, zeros elsewhere: (batch, c, *size)."""
    flat = values.new_zeros(*values.shape[:2], math.prod(size))
    return flat.scatter(2, where.flatten(2), values.flatten(2)).unflatten(2, tuple(size))


def spread(values: Tensor, size: Shape) -> Tensor:
    """What `unpool` gives in mean when nothing is known of where: each value evenly over its window."""
    windows = F.interpolate(values, scale_factor=POOL, mode="nearest") / POOL ** len(size)
    return cropped(windows, size)


class WhatWhereCodec(Codec):
    """Convolutions and pooling down to a code; unpooling and convolutions back."""

    def __init__(
        self,
        encoder: Sequence[nn.Module],
        hidden: nn.Module,
        head: nn.Linear,
        decoder: Sequence[nn.Module],
        unhidden: nn.Module,
        sizes: list[Shape],
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.ModuleList(encoder), nn.ModuleList(decoder)
        self.hidden, self.head, self.unhidden, self.sizes = hidden, head, unhidden, sizes

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """As `Codec.encode`: what, without where."""
        return self._encode(x, condition)[0]

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """As `Codec.decode`. A code by itself has no indices: each value is spread evenly over its window."""
        return self._decode(z, condition, [None] * len(self.encoder))

    def through(self, x: Tensor, condition: Tensor | None = None, *, bottleneck: Bottleneck) -> tuple[Tensor, Tensor]:
        """As `Codec.through`: the indices of every pooling layer go to the unpooling layer of the same size."""
        code, places = self._encode(x, condition)
        z = bottleneck(code)
        return z, self._decode(z, condition, places)

    def encoder_parameters(self) -> tuple[nn.Parameter, ...]:
        """As `Codec.encoder_parameters`."""
        return parameters_of(self.encoder, self.hidden, self.head)

    def layers(self) -> tuple[Layer, ...]:
        """As `Codec.layers`: this network cannot be cut."""
        raise ValueError("WhatWhere hands indices over all its layers; train layer by layer with MLP or Convolutional")

    def _encode(self, x: Tensor, condition: Tensor | None) -> tuple[Tensor, list[Tensor | None]]:
        places: list[Tensor | None] = []
        for stage in self.encoder:
            x, where = pool(stage(x))
            places.append(where)
        code: Tensor = self.head(beside(self.hidden(x), condition))
        return code, places

    def _decode(self, z: Tensor, condition: Tensor | None, places: Sequence[Tensor | None]) -> Tensor:
        x: Tensor = self.unhidden(beside(z, condition))
        for stage, where, size in zip(self.decoder, places[::-1], self.sizes[-2::-1], strict=True):
            x = stage(spread(x, size) if where is None else unpool(x, where, size))
        return x


@dataclass(frozen=True)
class WhatWhere(Network):
    """A convolution and a max-pooling per entry of `channels`, then a hidden layer; the decoder unpools.

    In `reconstruct` and in training each unpooling layer puts values back where the encoder's pooling of the same
    size took them from. `decode` of a code alone spreads each value evenly over its window: the mean over all
    places it could have come from.

    Attributes:
        channels: of each stage, from x to the code.
        hidden: width of the fully connected layer between the last map and the code.
        activation: after each layer.

    Reference: Stacked What-Where Auto-encoders (Zhao et al., 2016), arXiv:1506.02351
    """

    channels: tuple[int, ...] = (32, 64)
    hidden: int = 256
    activation: Activation = "relu"

    def build(
        self, x_shape: Shape, *, code_size: int, z_size: int, raw_channels: int = 1, condition_size: int = 0
    ) -> Codec:
        """As `Network.build`; x_shape is (channels, height, width), or (channels, length)."""
        check_is_map(x_shape, "WhatWhere")
        act, convolution = ACTIVATIONS[self.activation], CONVOLUTIONS[len(x_shape) - 1]
        sizes = halved_sizes(x_shape[1:], len(self.channels))
        encoder = [
            nn.Sequential(ChannelsLast(), convolution(a, b, 3, padding=1), act())
            for a, b in pairwise((x_shape[0], *self.channels))
        ]
        flat = self.channels[-1] * math.prod(sizes[-1])
        hidden = nn.Sequential(nn.Flatten(), nn.Linear(flat, self.hidden), act())
        unhidden = nn.Sequential(
            nn.Linear(z_size + condition_size, self.hidden),
            act(),
            nn.Linear(self.hidden, flat),
            act(),
            nn.Unflatten(1, (self.channels[-1], *sizes[-1])),
        )
        back = (*self.channels[:0:-1], self.channels[0])
        decoder = [
            nn.Sequential(ChannelsLast(), convolution(a, b, 3, padding=1), act())
            for a, b in pairwise((*back, self.channels[0]))
        ]
        last = convolution(self.channels[0], raw_channels * x_shape[0], 3, padding=1)
        for part in (*encoder, hidden, unhidden, *decoder):
            keep_variance(part)
        decoder[-1].append(last)
        head = nn.Linear(self.hidden + condition_size, code_size)
        return WhatWhereCodec(encoder, hidden, head, decoder, unhidden, sizes)
