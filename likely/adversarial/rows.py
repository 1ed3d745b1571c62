"""Rows as the networks of a game see them: around zero, of size one."""

import torch
from torch import Tensor, nn

from likely.contract import Shape


class RowScale(nn.Module):
    """Between rows and the scale of the networks: numbers that are standardized, or an interval made [-1, 1].

    Args:
        x_shape: of one row.
        bounds: (low, high) that all values lie between: what is made is squashed into them; None for numbers
            without bounds, whose location and scale the first rows tell.
    """

    loc: Tensor
    scale: Tensor

    def __init__(self, x_shape: Shape, bounds: tuple[float, float] | None) -> None:
        super().__init__()
        self.bounds = bounds
        low, high = (-1.0, 1.0) if bounds is None else bounds
        if not low < high:
            raise ValueError(f"bounds must be a lower and a higher number, got ({low}, {high})")
        # Columns have scales of their own, pixels one scale for all.
        shape = x_shape if len(x_shape) == 1 else (1,) * len(x_shape)
        self.register_buffer("loc", torch.full(shape, (low + high) / 2))
        self.register_buffer("scale", torch.full(shape, (high - low) / 2))

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Learns location and scale from training rows (n, *x_shape), where there are no bounds."""
        if self.bounds is not None:
            return
        values = x if x.ndim == 2 else x.flatten().unsqueeze(1)
        scale = values.std(0, correction=0)
        self.loc.copy_(values.mean(0).view_as(self.loc))
        self.scale.copy_(torch.where(scale > 0, scale, torch.ones_like(scale)).view_as(self.scale))

    def inside(self, x: Tensor) -> Tensor:
        """Rows in the networks' scale."""
        return (x - self.loc) / self.scale

    def made(self, raw: Tensor) -> Tensor:
        """What a generator gave, in the networks' scale: within the bounds where there are any."""
        return raw if self.bounds is None else raw.tanh()

    def outside(self, x: Tensor) -> Tensor:
        """Rows in the networks' scale as rows."""
        return x * self.scale + self.loc
