"""Encoders for models that judge rows: built as a critic is, with a code where that has a score."""

import torch
from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.codec import beside
from likely.networks.context import check_context
from likely.networks.critics import build_critic


class RowEncoder(nn.Module):
    """Rows to codes: features, and a context beside them, to numbers.

    Args:
        trunk: (batch, *x_shape) to (batch, n_features).
        n_features: how many features that is.
        code_size: how many numbers a code has.
        context_size: numbers of a condition, 0 for none.
    """

    def __init__(self, trunk: nn.Module, n_features: int, code_size: int, context_size: int = 0) -> None:
        super().__init__()
        self.trunk, self.context_size = trunk, context_size
        self.head = nn.Linear(n_features + context_size, code_size)
        with torch.no_grad():  # codes start near zero: a log-scale of that is a scale of one
            self.head.weight.mul_(0.1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(batch, code_size)."""
        check_context(context, self.context_size)
        code: Tensor = self.head(beside(self.trunk(x), context))
        return code


def build_row_encoder(x_shape: Shape, code_size: int, context_size: int = 0, *, width: int | None = None) -> RowEncoder:
    """An encoder for rows of this shape; arguments as for `likely.networks.critics.build_critic`."""
    critic = build_critic(x_shape, width=width)
    return RowEncoder(critic.trunk, critic.n_features, code_size, context_size)
