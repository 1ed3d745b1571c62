"""Coupling layers."""

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from likely.bijections.bijection import Bijection, at_least_float32, bounded, start_at_zero
from likely.networks.activations import ACTIVATIONS, Activation
from likely.networks.context import with_context


@final
class AffineCoupling(Bijection):
    """y_a = x_a and y_b = x_b exp(s) + t, with s and t functions of x_a and of the context.

    a is the first half of the values (the smaller one, of an odd number) and b the second. log|det dy/dx| is the sum of
    s; |s_i| stays below 3. Starts as the identity. One pass of the network both ways.

    Args:
        n: how many values, at least 2.
        hidden: widths of the network.
        context_size: how many numbers of a context it sees.
        flip: keeps the second half and moves the first.
        activation: of the network.

    Reference: Density estimation using Real NVP (Dinh et al., 2017), arXiv:1605.08803, equations 4 to 8
    """

    def __init__(
        self,
        n: int,
        hidden: Sequence[int] = (128,),
        *,
        context_size: int = 0,
        flip: bool = False,
        activation: Activation = "silu",
    ) -> None:
        super().__init__()
        if n < 2:
            raise ValueError(f"AffineCoupling needs at least 2 values to couple, got {n}")
        self.sizes, self.context_size, self.flip = (n // 2, n - n // 2), context_size, flip
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
        first, second = x.split_with_sizes(self.sizes, 1)
        return (second, first) if self.flip else (first, second)

    def _joined(self, kept: Tensor, moved: Tensor) -> Tensor:
        return torch.cat([moved, kept] if self.flip else [kept, moved], 1)

    def _numbers(self, kept: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Log-scales and shifts of the half that moves."""
        raw = at_least_float32(self.network(with_context(kept, context, self.context_size)))
        log_scale, shift = raw.chunk(2, 1)
        return bounded(log_scale), shift
