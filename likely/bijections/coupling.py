"""Coupling layers."""

from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from likely.bijections.bijection import Bijection, bounded, start_at_zero
from likely.networks.activations import ACTIVATIONS, Activation


@final
class AffineCoupling(Bijection):
    """One half of the values stays; the other becomes x exp(s) + t, with s and t of the half that stays.

    One pass both ways. Starts as the identity.

    Args:
        n: how many values, at least 2.
        hidden: widths of the network.
        context_size: how many numbers of a context it sees.
        flip: moves the first half instead of the second.
        activation: of the network.

    Reference: Density estimation using Real NVP (Dinh et al., 2017), arXiv:1605.08803, equations 7 and 8
    """

    def __init__(
        self,
        n: int,
        hidden: tuple[int, ...] = (128,),
        *,
        context_size: int = 0,
        flip: bool = False,
        activation: Activation = "silu",
    ) -> None:
        super().__init__()
        if n < 2:
            raise ValueError(f"AffineCoupling needs at least 2 values to couple, got {n}")
        self.sizes, self.flip = (n // 2, n - n // 2), flip
        moved, kept = self.sizes if flip else self.sizes[::-1]
        sizes = (kept + context_size, *hidden)
        layers = [module for a, b in pairwise(sizes) for module in (nn.Linear(a, b), ACTIVATIONS[activation]())]
        last = nn.Linear(sizes[-1], 2 * moved)
        start_at_zero(last)
        self.network = nn.Sequential(*layers, last)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`."""
        kept, moved = self._halves(x)
        log_scale, shift = self._numbers(kept, context)
        return self._joined(kept, moved * log_scale.exp() + shift), log_scale.sum(1)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`."""
        kept, moved = self._halves(y)
        log_scale, shift = self._numbers(kept, context)
        return self._joined(kept, (moved - shift) * (-log_scale).exp()), -log_scale.sum(1)

    def _halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.split(self.sizes, 1)
        return (second, first) if self.flip else (first, second)

    def _joined(self, kept: Tensor, moved: Tensor) -> Tensor:
        return torch.cat([moved, kept] if self.flip else [kept, moved], 1)

    def _numbers(self, kept: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        raw = self.network(kept if context is None else torch.cat([kept, context], 1)).to(kept.dtype)
        log_scale, shift = raw.chunk(2, 1)
        return bounded(log_scale), shift
