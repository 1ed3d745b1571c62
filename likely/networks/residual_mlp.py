"""A residual network of fully connected layers that is told a time."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.velocity import TimeEmbedding, VelocityNetwork, zeroed


@dataclass(frozen=True)
class ResidualMLP(VelocityNetwork):
    """Fully connected residual blocks, each scaled and shifted by what time and context say.

    Attributes:
        width: of the path that the blocks add to, and of their hidden layers; None chooses by the number of values.
        blocks: how many.

    Reference: for scale and shift, Scalable Diffusion Models with Transformers (Peebles & Xie, 2023),
        arXiv:2212.09748, section 3.2
    """

    width: int | None = None
    blocks: int = 4

    def build(self, x_shape: Shape, context_size: int) -> nn.Module:
        """As `VelocityNetwork.build`; takes any shape."""
        n = math.prod(x_shape)
        width = min(512, max(128, 2 ** math.ceil(math.log2(4 * n)))) if self.width is None else self.width
        return _ResidualMLP(tuple(x_shape), width, self.blocks, context_size)


class _Block(nn.Module):
    """h + f(h), f two layers between which scale and shift of the embedding stand."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.told = nn.Linear(width, 2 * width)
        self.first = nn.Linear(width, width)
        self.act = nn.SiLU()
        self.last = zeroed(nn.Linear(width, width))

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.told(embedding).chunk(2, 1)
        told = self.norm(h) * (1 + scale) + shift
        residual: Tensor = self.last(self.act(self.first(told)))
        return h + residual


class _ResidualMLP(nn.Module):
    def __init__(self, x_shape: Shape, width: int, n_blocks: int, context_size: int) -> None:
        super().__init__()
        n = math.prod(x_shape)
        self.x_shape = x_shape
        self.embedding = TimeEmbedding(width, context_size)
        self.entrance = nn.Linear(n, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(n_blocks))
        self.norm = nn.LayerNorm(width)
        self.exit = zeroed(nn.Linear(width, n))

    def forward(self, u: Tensor, t: Tensor, context: Tensor | None) -> Tensor:
        embedding = self.embedding(t, context)
        h = self.entrance(u.flatten(1))
        for block in self.blocks:
            h = block(h, embedding)
        return self.exit(self.norm(h)).view(-1, *self.x_shape)
