"""Coupling layers."""

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
from torch import Tensor, nn

from likely.bijections.bijection import Bijection, at_least_float32, start_at_zero
from likely.bijections.transformers import Affine, Transformer
from likely.networks.activations import ACTIVATIONS, Activation
from likely.networks.context import with_context
from likely.networks.dropout import Dropout


@final
class Coupling(Bijection):
    """y_a = x_a and y_b = f(x_b) value by value, with the numbers of f functions of x_a and of the context.

    a is the first half of the values (the smaller one, of an odd number) and b the second. log|det dy/dx| is the sum of
    log f'. Starts as the identity. One pass of the network both ways.

    Args:
        n: how many values, at least 2.
        hidden: widths of the network.
        transformer: f: additive as in NICE, affine as in RealNVP, or a spline.
        context_size: how many numbers of a context it sees.
        flip: keeps the second half and moves the first.
        activation: of the network.
        dropout: the share of the network's hidden values that is left out at each training step.

    Raises:
        ValueError: for a single value, which has nothing to be coupled with.

    Reference: Density estimation using Real NVP (Dinh et al., 2017), arXiv:1605.08803, equations 4 to 8
    """

    def __init__(
        self,
        n: int,
        hidden: Sequence[int] = (128,),
        *,
        transformer: Transformer = Affine(),
        context_size: int = 0,
        flip: bool = False,
        activation: Activation = "silu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if n < 2:
            raise ValueError(f"Coupling needs at least 2 values to couple, got {n}")
        self.sizes, self.context_size, self.flip = (n // 2, n - n // 2), context_size, flip
        self.transformer = transformer
        moved, kept = self.sizes if flip else self.sizes[::-1]
        layers: list[nn.Module] = []
        for a, b in pairwise((kept + context_size, *hidden)):
            layers += [nn.Linear(a, b), ACTIVATIONS[activation](), *([Dropout(dropout)] if dropout else [])]
        last = nn.Linear(hidden[-1] if hidden else kept + context_size, transformer.outputs * moved)
        start_at_zero(last)
        self.network = nn.Sequential(*layers, last)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`."""
        kept, moved = self._halves(x)
        moved, log_slope = self.transformer.forward(moved, self._raw(kept, context, moved.shape[1]))
        return self._joined(kept, moved), log_slope.sum(1)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`."""
        kept, moved = self._halves(y)
        moved, log_slope = self.transformer.inverse(moved, self._raw(kept, context, moved.shape[1]))
        return self._joined(kept, moved), log_slope.sum(1)

    def _halves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = x.split_with_sizes(self.sizes, 1)
        return (second, first) if self.flip else (first, second)

    def _joined(self, kept: Tensor, moved: Tensor) -> Tensor:
        return torch.cat([moved, kept] if self.flip else [kept, moved], 1)

    def _raw(self, kept: Tensor, context: Tensor | None, n_moved: int) -> Tensor:
        raw = at_least_float32(self.network(with_context(kept, context, self.context_size)))
        return raw.view(len(raw), self.transformer.outputs, n_moved)
