"""Autoregressive bijections."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from likely.bijections.bijection import Bijection, at_least_float32, bounded, start_at_zero
from likely.networks.activations import Activation
from likely.networks.masked import AutoregressiveMLP


@final
class MaskedAffine(Bijection):
    """y_i = x_i exp(s_i) + t_i, with s_i and t_i functions of x_1 to x_(i-1) and of the context.

    Its Jacobian is triangular, with log|det dy/dx| = sum of s_i. |s_i| stays below 3. Starts as the identity. Forward
    takes one pass of the network; the inverse takes n, and is exact after them.

    Args:
        n: how many values.
        hidden: widths of the masked network.
        context_size: how many numbers of a context it sees.
        activation: of the network.

    Reference: Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016),
        arXiv:1606.04934; the other way round, Masked Autoregressive Flow for Density Estimation (Papamakarios et al.,
        2017), arXiv:1705.07057, equations 3 and 4
    """

    def __init__(
        self, n: int, hidden: Sequence[int] = (128,), *, context_size: int = 0, activation: Activation = "silu"
    ) -> None:
        super().__init__()
        self.n = n
        self.network = AutoregressiveMLP(n, hidden, 2, context_size=context_size, activation=activation)
        start_at_zero(self.network.last)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`."""
        log_scale, shift = self._numbers(x, context)
        return x * log_scale.exp() + shift, log_scale.sum(1)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`."""
        x, places = torch.zeros_like(y), torch.arange(self.n, device=y.device)
        for place in range(self.n):
            log_scale, shift = self._numbers(x, context)
            # One value a pass. All values a pass would do as well on paper, but those whose turn has not come are
            # then far off, and one that overflows turns the others to NaN, masked or not.
            x = torch.where(places == place, (y - shift) * (-log_scale).exp(), x)
        return x, -log_scale.sum(1)

    def _numbers(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Log-scales and shifts, (batch, n) each."""
        log_scale, shift = at_least_float32(self.network(x, context)).unbind(1)
        return bounded(log_scale), shift
