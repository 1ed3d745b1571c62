"""Paths from noise to rows that a linear operator maps to what is known of them."""

import torch
from torch import Tensor

from likely.corruptions import LinearOperator, finish
from likely.odes import State, integrate_in_steps
from likely.transport.divergence import Velocity
from likely.transport.path import GaussianPath

N_ITERATIONS = 20
"""Of conjugate gradients, which need no more than there are values, and fewer where variances are alike."""


def guided(
    velocity: Velocity,
    path: GaussianPath,
    y: Tensor,
    operator: LinearOperator,
    noise: Tensor,
    n_steps: int,
    context: Tensor | None = None,
) -> Tensor:
    """Rows drawn from what they could be, given y = A x: the field's own paths, bent toward what A maps to y.

    At each step the field proposes where the path would end, w + (1 - t) velocity. That end is projected onto A x = y,
    by the shortest way in units of what the data's covariance leaves open at that time, and the path goes on toward
    it. For normal data these are exact draws of p(x | y), as the steps become small.

    Args:
        velocity: the field.
        path: whose coordinates it is in.
        y: (batch, *y_shape); NaN constrains nothing.
        operator: what became of x.
        noise: (batch, n), where paths begin.
        n_steps: how many, of two evaluations each.
        context: (batch, ...) handed on to the field, or None.

    Returns:
        (batch, *x_shape), which A maps to y.

    Reference: Pseudoinverse-Guided Diffusion Models for Inverse Problems (Song et al., 2023), equation 7, with the
        covariance of Tweedie Moment Projected Diffusions (Boys et al., 2023), arXiv:2310.06721, of the data's normal
    """
    known = Known(path, y, operator)

    def bent(t: Tensor, state: State, context: Tensor | None) -> State:
        (w,) = state
        left = 1 - t[:, None]
        end = w + left * velocity(t, w, context)
        # What is open of each coordinate's end at t, but for a factor common to all.
        open_variance = path.marginal(t).residual.square()
        return ((known.projected(end, open_variance) - w) / left,)

    (w,) = integrate_in_steps(bent, (noise,), 0.0, 1.0, n_steps, context=context)
    return finish(path.rows(w), y, operator)


class Known:
    """What y = A x says of coordinates.

    Args:
        path: whose coordinates.
        y: (batch, *y_shape); NaN constrains nothing.
        operator: what became of x.
    """

    def __init__(self, path: GaussianPath, y: Tensor, operator: LinearOperator) -> None:
        self.path, self.y, self.operator = path, y, operator
        self.nothing = torch.zeros_like(y).masked_fill(y.isnan(), torch.nan)

    def projected(self, w: Tensor, variance: Tensor) -> Tensor:
        """The point that A maps to y and that is nearest to w (batch, n), where directions count by 1 / variance."""
        rows = self.path.rows(w)
        off = self.path.turned((self.operator.project(rows, self.y) - rows).flatten(1) / self.path.scale)
        if self.path.rotation is None:
            return w + off
        bent = w + variance * self._solved(off, variance)
        rows = self.path.rows(bent)
        return self.path.coordinates(self.operator.project(rows, self.y))

    def _seen(self, directions: Tensor) -> Tensor:
        """The part of directions (batch, n) that A does not map to zero."""
        rows = self.path.unturned(directions).view(-1, *self.path.x_shape)
        unseen = self.operator.project(rows, self.nothing)
        return self.path.turned((rows - unseen).flatten(1))

    def _solved(self, off: Tensor, variance: Tensor) -> Tensor:
        """q with seen(variance * q) = off, among what A sees, by conjugate gradients."""
        q, residual, line = torch.zeros_like(off), off, off
        size = first = _squared(residual)
        for _ in range(min(N_ITERATIONS, off.shape[1])):
            pushed = self._seen(variance * line)
            length = _share(size, (line * pushed).sum(1, keepdim=True))
            # What is left near rounding lies where A sees nothing, and would be divided by nothing.
            length = torch.where(size > torch.finfo(off.dtype).eps * first, length, 0)
            q, residual = q + length * line, residual - length * pushed
            before, size = size, _squared(residual)
            line = residual + _share(size, before) * line
        return q


def _squared(directions: Tensor) -> Tensor:
    return directions.square().sum(1, keepdim=True)


def _share(a: Tensor, b: Tensor) -> Tensor:
    """a / b; 0 where there is nothing left to divide."""
    return torch.where(b > 0, a / b.clamp_min(torch.finfo(b.dtype).tiny), 0)
