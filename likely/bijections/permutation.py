"""Permutations."""

from typing import Self, final

import torch
from torch import Tensor

from likely.bijections.bijection import Bijection


@final
class Permutation(Bijection):
    """y_i = x_order[i].

    Args:
        order: (n,), which value comes to each place.
    """

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        if not torch.equal(order.sort().values, torch.arange(len(order))):
            raise ValueError(f"order must hold each of 0 to {len(order) - 1} once, got {order.tolist()[:20]}")
        self.register_buffer("order", order)

    @classmethod
    def reversal(cls, n: int) -> Self:
        """The last value first."""
        return cls(torch.arange(n - 1, -1, -1))

    @classmethod
    def shuffle(cls, n: int, generator: torch.Generator | None = None) -> Self:
        """Any order, by a generator or the global one."""
        return cls(torch.randperm(n, generator=generator))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`."""
        return x[:, self.get_buffer("order")], x.new_zeros(len(x))

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`."""
        return y[:, self.get_buffer("order").argsort()], y.new_zeros(len(y))
