"""Draws by the inverse of a distribution function: of noise, uniform on [0, 1), one number decides one value."""

import torch
from torch import Tensor


def chosen(p: Tensor, noise: Tensor) -> Tensor:
    """The first of n that the cumulated probability reaches past the noise with; never one of probability 0.

    Args:
        p: (batch, n, ...), summing to 1 over n to within rounding.
        noise: (batch, ...), uniform on [0, 1).

    Returns:
        (batch, ...), whole numbers from 0 to n - 1.
    """
    reach = p.cumsum(1) * (p > 0)
    # Of what they really sum to, so that the largest noise below 1 still is below some reach.
    u = noise.unsqueeze(1) * reach.amax(1, keepdim=True)
    return (reach > u).byte().argmax(1)


def chosen_with_rest(p: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """As `chosen`, and what is left of the noise once it has chosen: uniform again.

    Args:
        p: (batch, n, ...) float64.
        noise: (batch, ...).

    Returns:
        Two of (batch, ...): whole numbers from 0 to n - 1, and float64 between 0 and 1, both excluded.
    """
    index = chosen(p, noise)
    share = p.gather(1, index.unsqueeze(1)).squeeze(1)
    below = p.cumsum(1).gather(1, index.unsqueeze(1)).squeeze(1) - share
    return index, inside((noise.double() - below) / share, noise.dtype)


def inside(u: Tensor, dtype: torch.dtype) -> Tensor:
    """Uniform numbers in float64, away from 0 and 1, where a normal has no values, by the steps that noise has.

    Args:
        u: between 0 and 1.
        dtype: of the noise that it came from.
    """
    step = torch.finfo(dtype).eps / 2
    return u.double().clamp(step, 1 - step)
