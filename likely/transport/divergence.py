"""The trace of a field's derivative: what a density gains or loses on its way."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from likely import rng
from likely.contract import repeated

LINES_AT_ONCE = 4096
"""So many derivatives along a line are taken at once."""

Velocity = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""A field: t (batch,), w (batch, n), context (batch, ...) or None; gives (batch, n)."""


@dataclass(frozen=True)
class Trace:
    """Lines along which the derivative is looked at: every axis for the trace itself, random ones for estimates of it.

    Attributes:
        lines: (k, n); all rows share them.
        exact: whether the parts add up to the trace, or each is an estimate of it by itself.

    Reference: FFJORD (Grathwohl et al., 2019), arXiv:1810.01367, equation 7
    """

    lines: Tensor
    exact: bool

    @classmethod
    def in_full(cls, like: Tensor) -> "Trace":
        """Along every axis of points such as these (batch, n)."""
        return cls(torch.eye(like.shape[1], dtype=like.dtype, device=like.device), True)

    @classmethod
    def estimated(cls, like: Tensor, n_samples: int) -> "Trace":
        """Hutchinson's estimates for points such as these (batch, n), one for each of `n_samples` lines."""
        return cls(rademacher(n_samples, like), False)

    def velocity(self, field: Velocity, t: Tensor, w: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """The field at t (batch,) and w (batch, n), and its trace (batch, 1), or estimates of it (batch, k)."""
        pieces = self.lines.split(max(1, LINES_AT_ONCE // len(w)))
        looked = [_looked(field, piece, t, w, context) for piece in pieces]
        parts = torch.cat([part for _, part in looked]).T
        return looked[0][0], parts.sum(1, keepdim=True) if self.exact else parts


def _looked(field: Velocity, lines: Tensor, t: Tensor, w: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """The velocity (batch, n), and line * derivative * line for each line: (k, batch)."""
    k = len(lines)
    with torch.enable_grad():
        points = repeated(w, k).requires_grad_()
        velocity = field(repeated(t, k), points, repeated(context, k))
        # (k * batch, n), each line for the whole batch in turn
        along = lines.repeat_interleave(len(w), 0)
        (change,) = torch.autograd.grad(velocity, points, along)
    return velocity[: len(w)].detach(), (change * along).sum(1).view(k, -1)


def rademacher(n: int, like: Tensor) -> Tensor:
    """Lines (n, values) of 1 and -1, by the toss of a coin."""
    return rng.integers(2, n, like.shape[1], like=like).to(like.dtype) * 2 - 1
