"""Several scales: what has been said of an image's detail does not go through the rest of the layers."""

import math
from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

from likely.bijections.bijection import Bijection, no_stretch
from likely.contract import Shape


class Scale(NamedTuple):
    """A bijection, and the shape (c, *sides) of a row that it gives."""

    bijection: Bijection
    out_shape: Shape


@final
class MultiScale(Bijection):
    """From (batch, c, *sides) to (batch, n): after each scale but the last, the first half of the channels leaves.

    The smaller half, of an odd number; of a single channel none. What leaves stands first in y. log|det dy/dx| is the
    sum of the scales'.

    Args:
        scales: the first is applied first; each takes the channels that stayed.

    Raises:
        ValueError: without a scale.

    Reference: Density estimation using Real NVP (Dinh et al., 2017), arXiv:1605.08803, section 3.6, equations 14 to 16
    """

    def __init__(self, scales: Sequence[Scale]) -> None:
        super().__init__()
        if not scales:
            raise ValueError("MultiScale needs at least one scale, got none")
        self.scales = nn.ModuleList(scale.bijection for scale in scales)
        self.shapes = [tuple(scale.out_shape) for scale in scales]
        self.leaving = [shape[0] // 2 for shape in self.shapes[:-1]]

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`."""
        log_det, gone = no_stretch(x), list[Tensor]()
        for i, scale in enumerate(self.scales):
            x, own = scale(x, context)
            log_det = log_det + own
            left, x = self._parted(i, x)
            gone.append(left)
        return torch.cat(gone, 1), log_det

    def start(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `Bijection.start`: each scale starts from what stayed of the one before."""
        gone = list[Tensor]()
        for i, scale in enumerate(self.scales):
            assert isinstance(scale, Bijection)
            left, x = self._parted(i, scale.start(x, context))
            gone.append(left)
        return torch.cat(gone, 1)

    def _parted(self, i: int, x: Tensor) -> tuple[Tensor, Tensor]:
        """What leaves after scale i, flat, and what stays."""
        n_leaving = self.leaving[i] if i < len(self.leaving) else x.shape[1]
        return x[:, :n_leaving].flatten(1), x[:, n_leaving:]

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`."""
        last = self.shapes[-1]
        sizes = [n * math.prod(shape[1:]) for n, shape in zip(self.leaving, self.shapes, strict=False)]
        *gone, rest = y.split_with_sizes([*sizes, math.prod(last)], 1)
        x, log_det = self._undone(len(sizes), rest.unflatten(1, last), context)
        for i in reversed(range(len(sizes))):
            left = gone[i].unflatten(1, (self.leaving[i], *self.shapes[i][1:]))
            x, own = self._undone(i, torch.cat([left, x], 1), context)
            log_det = log_det + own
        return x, log_det

    def _undone(self, i: int, y: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        scale = self.scales[i]
        assert isinstance(scale, Bijection)
        return scale.inverse(y, context)
