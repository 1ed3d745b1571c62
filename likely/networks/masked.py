"""Masked networks: outputs that each see some of the inputs, all of them in one pass.

Reference: MADE: Masked Autoencoder for Distribution Estimation (Germain et al., 2015), arXiv:1502.03509
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.networks.activations import ACTIVATIONS, Activation
from likely.networks.context import with_context
from likely.networks.dropout import Dropout


@final
class MaskedLinear(nn.Linear):
    """y = (W * mask) x + b. The mask multiplies in every pass and never touches the weights.

    Args:
        mask: (out, in), zeros and ones. It is rebuilt with the layer, not saved.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(batch, in) to (batch, out), through another mask where one is given."""
        return F.linear(x, self.weight * (self.mask if mask is None else mask), self.bias)


@final
class AutoregressiveMLP(nn.Module):
    """Numbers for each input that depend on the inputs before it, and on all of a context.

    With no hidden layer the dependence is linear. Hidden layers narrower than n inputs (with a context, n; else n - 1)
    lose some of the dependencies; wider ones lose none.

    Args:
        n: how many inputs.
        hidden: widths of the layers between.
        outputs: numbers for each input.
        context_size: how many numbers of a context all outputs see.
        order: the place of each input, 0 for the first; by default as they stand.
        activation: after each hidden layer.
        dropout: the share of hidden values that is left out at each training step.

    Reference: MADE: Masked Autoencoder for Distribution Estimation (Germain et al., 2015), arXiv:1502.03509
    """

    def __init__(
        self,
        n: int,
        hidden: Sequence[int],
        outputs: int,
        *,
        context_size: int = 0,
        order: Sequence[int] | None = None,
        activation: Activation = "silu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.n, self.outputs, self.context_size = n, outputs, context_size
        masks = autoregressive_masks(range(n) if order is None else order, hidden, outputs, context_size=context_size)
        self.layers = nn.ModuleList(MaskedLinear(mask) for mask in masks)
        self.activation = nn.Sequential(ACTIVATIONS[activation](), Dropout(dropout))

    def forward(self, x: Tensor, context: Tensor | None = None, masks: Sequence[Tensor] | None = None) -> Tensor:
        """What each input's numbers are.

        Args:
            x: (batch, n).
            context: (batch, context_size).
            masks: those of another order, by `autoregressive_masks` of the same sizes.

        Returns:
            (batch, outputs, n): [:, :, i] depends on inputs before i alone, and on the context.
        """
        h = with_context(x, context, self.context_size)
        for i, layer in enumerate(self.layers):
            h = layer(self.activation(h) if i else h, None if masks is None else masks[i])
        return h.view(len(h), self.outputs, self.n)

    @property
    def last(self) -> MaskedLinear:
        """The layer that gives the outputs."""
        layer = self.layers[-1]
        assert isinstance(layer, MaskedLinear)
        return layer


def autoregressive_masks(
    order: Sequence[int], hidden: Sequence[int], outputs: int, *, context_size: int = 0
) -> list[Tensor]:
    """Masks (out, in) of the layers of an `AutoregressiveMLP`, first to last.

    An input's degree is its place in the order, a context's is -1. A hidden unit of degree d sees what has degree d or
    less; the output at place p sees hidden units (or inputs, where there are none) of degrees below p, never p itself.

    Raises:
        ValueError: if order does not hold each place once.
    """
    n = len(order)
    if n < 1 or sorted(order) != list(range(n)):
        raise ValueError(f"order must hold each of 0 to n - 1 once, got {list(order)[:20]}")
    places = torch.tensor(list(order))
    # Units that see the context alone are what the first output has.
    lowest = -1 if context_size else 0
    inputs = torch.cat([places, torch.full((context_size,), -1)])
    degrees = [inputs, *(degrees_of_units(width, lowest, n - 2) for width in hidden)]
    masks = [(up[:, None] >= down[None, :]).float() for down, up in pairwise(degrees)]
    last = (places[:, None] > degrees[-1][None, :]).float()
    return [*masks, last.repeat(outputs, 1)]


def degrees_of_units(width: int, lowest: int, highest: int) -> Tensor:
    """Degrees of a hidden layer's units (width,): each in turn; in a narrow layer spread from lowest to highest."""
    n_degrees = max(1, highest - lowest + 1)
    units = torch.arange(width)
    if width >= n_degrees:
        return lowest + units % n_degrees
    return lowest + units * (n_degrees - 1) // max(1, width - 1)
