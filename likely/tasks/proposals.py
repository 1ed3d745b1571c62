"""What codes of rows are drawn from when log p(x) is estimated: the model's own posterior, or a better one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from likely.contract import MAX_ROWS_AT_ONCE, Belief, LatentDensity, Shape, repeated
from likely.variational.posteriors import Full
from likely.variational.refinement import N_DRAWS, N_START, N_STEPS, moments, nearest_normal

WIDENING = 0.5
"""How much wider than the fitted normal codes are drawn, over the root of their number of values: were the normal the
posterior itself, a sample would be worth a quarter of a nat less, whatever the size of the code."""

N_JUDGED = 64
"""Draws that tell whether a fitted normal has a higher bound than the posterior it began at."""

N_DECODED = 3 * N_STEPS * N_DRAWS + 2 * N_JUDGED
"""How often a row is decoded until its proposal is fitted; a gradient costs as much as two more times."""


@dataclass(frozen=True)
class _Part:
    """Rows at `places` of the batch, and what their codes are drawn from."""

    places: Tensor
    x: Tensor
    condition: Tensor | None
    belief: Belief


class Proposal:
    """Distributions over the codes of some rows, each with its own.

    Args:
        model: in evaluation mode.
        parts: of the rows; each row is in one of them.
        width: what noise is multiplied with, where nothing else is asked for.
    """

    def __init__(self, model: LatentDensity, parts: Sequence[_Part], width: float) -> None:
        self.model, self.parts, self.width = model, parts, width

    def log_weights(self, noise: Tensor, width: float | None = None) -> Tensor:
        """log p(x, z) - log q(z) of codes drawn from the proposal, widened.

        Args:
            noise: standard normal, (k, 1, *z_shape).
            width: of the noise that codes are made of; by default the proposal's own.

        Returns:
            (k, n), nats.
        """
        width = self.width if width is None else width
        values = math.prod(self.model.z_shape)
        # From the density of standard normal noise to that of noise so wide: the draw is one to one with its noise.
        correction = 0.5 * (width**2 - 1) * noise.square().flatten(1).sum(1) - values * math.log(width)
        log_w = noise.new_empty(len(noise), sum(len(part.places) for part in self.parts))
        for part in self.parts:
            size = max(1, MAX_ROWS_AT_ONCE // len(part.places))
            drawn = [_log_weights(self.model, part, width * piece) for piece in noise.split(size)]
            log_w[:, part.places] = torch.cat(drawn) - correction.unsqueeze(1)
        return log_w


def posterior(model: LatentDensity, x: Tensor, condition: Tensor | None) -> Proposal:
    """q(z | x) as it was learned."""
    return Proposal(model, [_Part(torch.arange(len(x), device=x.device), x, condition, model.infer(x, condition))], 1.0)


def refined_posterior(model: LatentDensity, x: Tensor, condition: Tensor | None) -> Proposal:
    """For each row a normal of a whole covariance that is fitted to it, or q(z | x) where the bound of that is higher.

    Args:
        model: in evaluation mode. Only codes are differentiated.
        x: (n, *x_shape).
        condition: (n, *condition_shape), or None.

    Returns:
        The proposal, by default a little wider than either: what is fitted by this bound is too narrow.
    """
    like = next(model.parameters())
    generator = torch.Generator(like.device).manual_seed(0)
    normal = _fitted(model, x, condition, generator)
    noise = torch.randn((N_JUDGED, 1, *model.z_shape), dtype=like.dtype, device=like.device, generator=generator)
    everywhere = torch.arange(len(x), device=x.device)
    own, new = (
        Proposal(model, [_Part(everywhere, x, condition, belief)], 1.0).log_weights(noise).mean(0)
        for belief in (model.infer(x, condition), _Shaped(normal, model.z_shape))
    )
    better = new > own  # False where the fit is not finite
    parts = []
    for places, fitted in ((everywhere[better], True), (everywhere[~better], False)):
        if len(places):
            rows, given = x[places], None if condition is None else condition[places]
            row_normal = Full(normal.loc[places], normal.triangle[places])
            belief = _Shaped(row_normal, model.z_shape) if fitted else model.infer(rows, given)
            parts.append(_Part(places, rows, given, belief))
    return Proposal(model, parts, 1 + WIDENING / math.sqrt(math.prod(model.z_shape)))


def _fitted(model: LatentDensity, x: Tensor, condition: Tensor | None, generator: torch.Generator) -> Full:
    """A normal near p(z | x) for each row, over codes laid flat."""
    like, shape = next(model.parameters()), model.z_shape
    # A graph cannot be built of tensors that were made without one.
    with torch.inference_mode(False), torch.enable_grad():
        x, condition = x.clone(), None if condition is None else condition.clone()
        noise = torch.randn((N_START, 1, *shape), dtype=like.dtype, device=like.device, generator=generator)
        start = moments(model.infer(x, condition), noise)
        return nearest_normal(lambda z: _log_joint(model, x, condition, z.unflatten(2, shape)), start, generator)


class _Shaped:
    """A normal over codes laid flat, as a belief about codes of some shape."""

    def __init__(self, normal: Full, z_shape: Shape) -> None:
        self.normal, self.z_shape = normal, z_shape

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As `likely.contract.Belief.draw`."""
        z, log_q = self.normal.draw(noise.flatten(2))
        return z.unflatten(2, self.z_shape), log_q


def _log_weights(model: LatentDensity, part: _Part, noise: Tensor) -> Tensor:
    z, log_q = part.belief.draw(noise)
    return _log_joint(model, part.x, part.condition, z) - log_q


def _log_joint(model: LatentDensity, x: Tensor, condition: Tensor | None, z: Tensor) -> Tensor:
    """log p(x, z) of codes (k, n, *z_shape): (k, n)."""
    k, codes = len(z), z.flatten(0, 1)
    log_likelihood = model.log_likelihood(repeated(x, k), codes, repeated(condition, k))
    return (log_likelihood + model.log_prior(codes)).view(k, -1)
