"""log p(x) by quadrature, where a code is one or two values: what every estimate is held against."""

import math

import torch
from torch import Tensor

from likely.contract import LatentDensity
from likely.rng import stream, torch_draws

CODES_AT_ONCE = 16_384
REACH = 8.0
"""The grid ends so many standard deviations of the prior from its mean."""

COARSEST, FINEST = 60, 960
"""Intervals on each side of the grid, doubled until the answers stay."""


@torch.no_grad()
def quadrature(model: LatentDensity, x: Tensor, condition: Tensor | None = None, *, tolerance: float = 1e-4) -> Tensor:
    """log of the integral of p(x | z) p(z) over codes of one or two values, by the trapezoidal rule.

    For smooth functions that vanish at the edge the rule converges exponentially in the number of points: the grid is
    made twice as fine until no row's answer moves by more than the tolerance.

    Args:
        model: in evaluation mode.
        x: (n, *x_shape).
        condition: (n, *condition_shape), or None.
        tolerance: nats.

    Returns:
        (n,), float64, on the CPU.

    Raises:
        ValueError: if a code has more than two values, or the finest grid is too coarse for p(x | z).
    """
    n_axes = math.prod(model.z_shape)
    if n_axes > 2:
        raise ValueError(f"quadrature takes codes of one or two values, got {n_axes}; take annealed_estimate")
    with stream("quadrature"), torch_draws(model):
        draws = model.draw_prior(4096).double().flatten(1)
    middle, reach = draws.mean(0), REACH * draws.std(0)
    n, before = COARSEST, _integrated(model, x, condition, middle, reach, COARSEST)
    while n < FINEST:
        n *= 2
        now = _integrated(model, x, condition, middle, reach, n)
        if torch.equal(now, before) or (now - before).abs().max() <= tolerance:
            return now
        before = now
    raise ValueError(f"p(x | z) is too narrow for {n} points on each side; take annealed_estimate")


def _integrated(
    model: LatentDensity, x: Tensor, condition: Tensor | None, middle: Tensor, reach: Tensor, n: int
) -> Tensor:
    lines = [torch.linspace(-1, 1, n + 1, dtype=torch.float64, device=x.device)] * len(middle)
    z = middle + reach * torch.cartesian_prod(*lines).view(-1, len(middle))
    log_cell = (2 * reach / n).log().sum()
    size = max(1, CODES_AT_ONCE // len(x))
    pieces = []
    like = next(model.parameters())
    for some in z.to(like).unflatten(1, model.z_shape).split(size):
        k = len(some)
        rows = x.repeat_interleave(k, 0)
        given = None if condition is None else condition.repeat_interleave(k, 0)
        codes = some.repeat(len(x), *[1] * len(model.z_shape))
        log_px = model.log_likelihood(rows, codes, given).view(len(x), k)
        pieces.append((log_px.double() + model.log_prior(some).double()).logsumexp(1))
    return (torch.stack(pieces).logsumexp(0) + log_cell).cpu()
