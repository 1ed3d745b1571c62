"""Masked networks: outputs that each see some of the inputs, in one pass."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.networks.activations import ACTIVATIONS, Activation


class MaskedLinear(nn.Linear):
    """A dense layer whose weights are multiplied by a mask of zeros and ones, (out, in), in every pass."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, in) to (batch, out)."""
        return F.linear(x, self.weight * self.get_buffer("mask"), self.bias)


class AutoregressiveMLP(nn.Module):
    """(batch, n) to (batch, outputs, n): what stands at place i depends on inputs that come before i, and on a context.

    Args:
        n: how many inputs.
        hidden: widths of the layers between.
        outputs: numbers for each input.
        context_size: how many numbers of a context all outputs see.
        order: (n,), the place of each input in the order; by default as they stand.
        activation: after each hidden layer.

    Reference: MADE: Masked Autoencoder for Distribution Estimation (Germain et al., 2015), arXiv:1502.03509
    """

    def __init__(
        self,
        n: int,
        hidden: tuple[int, ...],
        outputs: int,
        *,
        context_size: int = 0,
        order: Tensor | None = None,
        activation: Activation = "silu",
    ) -> None:
        super().__init__()
        self.outputs = outputs
        masks = autoregressive_masks(torch.arange(n) if order is None else order, hidden, outputs)
        self.first = MaskedLinear(masks[0])
        self.rest = nn.ModuleList(MaskedLinear(mask) for mask in masks[1:])
        self.context = nn.Linear(context_size, len(masks[0]), bias=False) if context_size else None
        self.activation = ACTIVATIONS[activation]()

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x (batch, n), context (batch, context_size): (batch, outputs, n)."""
        h = self.first(x)
        if self.context is not None:
            h = h + self.context(context)
        for layer in self.rest:
            h = layer(self.activation(h))
        return h.unflatten(1, (self.outputs, -1))

    @property
    def last(self) -> MaskedLinear:
        """The layer that gives the outputs."""
        return self.rest[-1] if len(self.rest) else self.first  # type: ignore[return-value]


def autoregressive_masks(order: Tensor, hidden: tuple[int, ...], outputs: int) -> list[Tensor]:
    """Masks (out, in), layer by layer, of a network whose output i sees inputs before i in the order only.

    Hidden units have degrees 0 to n - 2, in turn: a unit of degree d sees inputs of places up to d, and an output at
    place i sees units of degrees below i.
    """
    n = len(order)
    degrees = [order, *(torch.arange(width) % max(1, n - 1) for width in hidden)]
    masks = [(up[:, None] >= down[None, :]).float() for down, up in pairwise(degrees)]
    last = (order[:, None] > degrees[-1][None, :]).float()
    return [*masks, last.repeat(outputs, 1)]
