"""A small U-Net that is told a time."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.convolutions import CONVOLUTIONS, ChannelsLast, check_is_map, cropped
from likely.networks.full_resolution import fold, unfold
from likely.networks.velocity import TimeEmbedding, VelocityNetwork, zeroed

GROUP_CHANNELS = 16
"""Channels that are normalized together."""

DEFAULT_CHANNELS = (64, 128, 128, 256, 256)
LOWEST_SIDE = 7


@dataclass(frozen=True)
class UNet(VelocityNetwork):
    """Residual convolutions down to half the resolution and half again, and up to the full one with what was there.

    Windows of `factor` x `factor` values are folded into channels first, which costs factor**2 times less than to
    work at the full resolution.

    Attributes:
        channels: of each resolution, from the highest to the lowest; None chooses by the size, down to a map of
            about 7 x 7.
        blocks: residual blocks of two convolutions at each resolution on the way down, and again on the way up.
        factor: the side of the windows that are folded into channels.

    Reference: Denoising Diffusion Probabilistic Models (Ho et al., 2020), arXiv:2006.11239, appendix B; for folding,
        simple diffusion (Hoogeboom et al., 2023), arXiv:2301.11093
    """

    channels: tuple[int, ...] | None = None
    blocks: int = 1
    factor: int = 2

    def build(self, x_shape: Shape, context_size: int) -> nn.Module:
        """As `VelocityNetwork.build`; x_shape is (channels, height, width), or (channels, length)."""
        check_is_map(x_shape, "UNet")
        return _UNet(tuple(x_shape), self, self._channels(x_shape), context_size)

    def _channels(self, x_shape: Shape) -> tuple[int, ...]:
        if self.channels is not None:
            return self.channels
        side = min(x_shape[1:]) / self.factor
        n_levels = max(1, min(len(DEFAULT_CHANNELS), 1 + round(math.log2(max(1.0, side / LOWEST_SIDE)))))
        return DEFAULT_CHANNELS[:n_levels]


class _Block(nn.Module):
    """A residual block of two convolutions, scaled and shifted by the embedding in between; it starts as a shortcut."""

    def __init__(self, n_in: int, n_out: int, n_dims: int, width: int) -> None:
        super().__init__()
        convolution = CONVOLUTIONS[n_dims]
        self.norm = _norm(n_in)
        self.first = convolution(n_in, n_out, 3, padding=1)
        self.told = nn.Linear(width, 2 * n_out)
        self.second_norm = _norm(n_out)
        self.last = zeroed(convolution(n_out, n_out, 3, padding=1))
        self.shortcut = nn.Identity() if n_in == n_out else convolution(n_in, n_out, 1)
        self.act = nn.SiLU()

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        inner = self.first(self.act(self.norm(h)))
        told = self.told(embedding)
        scale, shift = told.view(*told.shape, *[1] * (h.ndim - 2)).chunk(2, 1)
        inner = self.last(self.act(self.second_norm(inner) * (1 + scale) + shift))
        residual: Tensor = self.shortcut(h) + inner
        return residual


class _UNet(nn.Module):
    def __init__(self, x_shape: Shape, network: UNet, channels: tuple[int, ...], context_size: int) -> None:
        super().__init__()
        n_dims = len(x_shape) - 1
        self.x_shape, self.factor = x_shape, network.factor
        folded, width = x_shape[0] * network.factor**n_dims, 2 * channels[0]
        convolution = CONVOLUTIONS[n_dims]
        self.embedding = TimeEmbedding(width, context_size)
        self.layout = ChannelsLast()
        self.entrance = convolution(folded, channels[0], 3, padding=1)

        def blocks(n_in: int, n_out: int, n_skipped: int = 0) -> nn.ModuleList:
            inputs = [n_in + n_skipped, *(n_out + n_skipped for _ in range(network.blocks - 1))]
            return nn.ModuleList(_Block(each, n_out, n_dims, width) for each in inputs)

        self.downs = nn.ModuleList(blocks(a, b) for a, b in pairwise((channels[0], *channels)))
        lower = (*channels[1:], channels[-1])
        self.ups = nn.ModuleList(blocks(a, b, b) for a, b in zip(lower[::-1], channels[::-1], strict=True))
        self.norm = _norm(channels[0])
        self.exit = zeroed(convolution(channels[0], folded, 3, padding=1))
        self.act = nn.SiLU()

    def forward(self, u: Tensor, t: Tensor, context: Tensor | None) -> Tensor:
        embedding = self.embedding(t, context)
        h = self.entrance(self.layout(fold(u, self.factor)))
        skips: list[list[Tensor]] = []
        for level, blocks in enumerate(self.downs):
            h = _halved(h) if level else h
            skips.append([])
            assert isinstance(blocks, nn.ModuleList)
            for block in blocks:
                h = block(h, embedding)
                skips[-1].append(h)
        for level, blocks in zip(reversed(range(len(self.downs))), self.ups, strict=True):
            assert isinstance(blocks, nn.ModuleList)
            for block, skipped in zip(blocks, reversed(skips[level]), strict=True):
                h = block(torch.cat([h, skipped], 1), embedding)
            h = _doubled(h, skips[level - 1][-1]) if level else h
        raw: Tensor = self.exit(self.act(self.norm(h)))
        return unfold(raw, self.factor, self.x_shape[1:])


def _norm(n_channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(math.gcd(n_channels, max(1, n_channels // GROUP_CHANNELS)), n_channels)


def _halved(h: Tensor) -> Tensor:
    """The mean of windows of 2 x 2; windows at the end may be smaller."""
    pool = F.avg_pool1d if h.ndim == 3 else F.avg_pool2d
    return pool(h, tuple(min(2, side) for side in h.shape[2:]), ceil_mode=True)


def _doubled(h: Tensor, like: Tensor) -> Tensor:
    """Each value twice along each axis, as far as the map of the higher resolution goes."""
    for axis in range(2, h.ndim):
        h = h.repeat_interleave(2, axis)
    return cropped(h, tuple(like.shape[2:]))
