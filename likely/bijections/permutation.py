"""Permutations: which value stands where matters to bijections that treat values unlike."""

import random
from collections.abc import Sequence
from typing import Self, final

import torch
from torch import Tensor

from likely.bijections.bijection import Bijection, no_stretch


@final
class Permutation(Bijection):
    """y_i = x_order[i]. Volumes stay: log|det dy/dx| = 0.

    Whoever builds one builds it again by the same arguments: the order is not saved with weights.

    Args:
        order: which value comes to each place.

    Raises:
        ValueError: if order does not hold each value once.
    """

    def __init__(self, order: Sequence[int]) -> None:
        super().__init__()
        n = len(order)
        if sorted(order) != list(range(n)):
            raise ValueError(f"order must hold each of 0 to {n - 1} once, got {list(order)[:20]}")
        self.register_buffer("order", torch.tensor(list(order)), persistent=False)
        self.register_buffer("back", torch.tensor(sorted(range(n), key=order.__getitem__)), persistent=False)

    @classmethod
    def reversal(cls, n: int) -> Self:
        """The last value first."""
        return cls(range(n - 1, -1, -1))

    @classmethod
    def shuffle(cls, n: int, seed: int) -> Self:
        """Any order, the same for the same seed."""
        # Python promises this sequence for all versions to come; torch promises none of its own.
        draw = random.Random(seed).random
        return cls(sorted(range(n), key=lambda _: draw()))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`; a context changes nothing."""
        return x.index_select(1, self.get_buffer("order")), no_stretch(x)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`; a context changes nothing."""
        return y.index_select(1, self.get_buffer("back")), no_stretch(y)
