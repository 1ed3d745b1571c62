"""Autoregressive bijections."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from likely.bijections.bijection import Bijection, at_least_float32, start_at_zero
from likely.bijections.transformers import Affine, Transformer
from likely.networks.activations import Activation
from likely.networks.masked import AutoregressiveMLP


@final
class Autoregressive(Bijection):
    """y_i = f(x_i), with the numbers of f functions of x_1 to x_(i-1) and of the context.

    Its Jacobian is triangular, with log|det dy/dx| = sum of log f'(x_i). Starts as the identity. Forward takes one
    pass of the network; the inverse takes n, and is exact after them.

    Args:
        n: how many values.
        hidden: widths of the masked network.
        transformer: f.
        context_size: how many numbers of a context it sees.
        activation: of the network.
        dropout: the share of the network's hidden values that is left out at each training step.

    Reference: Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016),
        arXiv:1606.04934; the other way round, Masked Autoregressive Flow for Density Estimation (Papamakarios et al.,
        2017), arXiv:1705.07057, equations 3 and 4
    """

    def __init__(
        self,
        n: int,
        hidden: Sequence[int] = (128,),
        *,
        transformer: Transformer = Affine(),
        context_size: int = 0,
        activation: Activation = "silu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.n, self.transformer = n, transformer
        self.network = AutoregressiveMLP(
            n, hidden, transformer.outputs, context_size=context_size, activation=activation, dropout=dropout
        )
        start_at_zero(self.network.last)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`."""
        y, log_slope = self.transformer.forward(x, self._raw(x, context))
        return y, log_slope.sum(1)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`."""
        x, places = at_least_float32(torch.zeros_like(y)), torch.arange(self.n, device=y.device)
        log_slope = x
        for place in range(self.n):
            found, log_slope = self.transformer.inverse(y, self._raw(x, context))
            # One value a pass. All values a pass would do as well on paper, but those whose turn has not come are
            # then far off, and one that overflows turns the others to NaN, masked or not.
            x = torch.where(places == place, found, x)
        # The last pass saw all the values that any slope depends on.
        return x, log_slope.sum(1)

    def _raw(self, x: Tensor, context: Tensor | None) -> Tensor:
        return at_least_float32(self.network(x, context))
