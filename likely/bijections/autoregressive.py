"""Autoregressive bijections."""

from typing import final

import torch
from torch import Tensor

from likely.bijections.bijection import Bijection, bounded, start_at_zero
from likely.networks.activations import Activation
from likely.networks.masked import AutoregressiveMLP


@final
class MaskedAffine(Bijection):
    """y_i = x_i exp(s_i) + t_i, with s_i and t_i of the values before i and of the context. Starts as the identity.

    Forward takes one pass, the inverse one for each value.

    Args:
        n: how many values.
        hidden: widths of the masked network.
        context_size: how many numbers of a context it sees.
        activation: of the network.

    Reference: Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016),
        arXiv:1606.04934; the other way round, Masked Autoregressive Flow (Papamakarios et al., 2017), arXiv:1705.07057
    """

    def __init__(
        self, n: int, hidden: tuple[int, ...] = (128,), *, context_size: int = 0, activation: Activation = "silu"
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
        x = torch.zeros_like(y)
        for _ in range(self.n):  # after pass i the first i values are what they were, and stay
            log_scale, shift = self._numbers(x, context)
            x = (y - shift) * (-log_scale).exp()
        return x, -log_scale.sum(1)

    def _numbers(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        raw = self.network(x, context).to(x.dtype)
        return bounded(raw[:, 0]), raw[:, 1]
