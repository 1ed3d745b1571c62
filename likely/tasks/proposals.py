"""What codes of rows are drawn from when log p(x) is estimated: the model's own posterior, or a better one."""

import abc
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from likely import rng
from likely.contract import MAX_ROWS_AT_ONCE, Belief, LatentDensity, repeated
from likely.variational.posteriors import Full
from likely.variational.refinement import N_DRAWS, N_START, N_STEPS, moments, nearest_normal

WIDENING = 0.5
"""How much wider than the fitted normal codes are drawn, over the root of their number of values: were the normal the
posterior itself, a sample would be worth a quarter of a nat less, whatever the size of the code."""

FROM_PRIOR = 0.1
"""This share of the codes is drawn from the prior: what a normal about one place leaves out, these may still find, and
no weight is larger than ten times p(x | z)."""

N_JUDGED = 64
"""Draws that tell whether a fitted normal has a higher bound than the posterior it began at."""

N_DECODED = 3 * N_STEPS * N_DRAWS + 2 * N_JUDGED
"""How often a row is decoded until its proposal is fitted; a gradient costs as much as two more times."""


@dataclass(frozen=True)
class _Rows(abc.ABC):
    """Rows that are at `places` of the batch, and how their codes are drawn."""

    model: LatentDensity
    places: Tensor
    x: Tensor
    condition: Tensor | None

    @abc.abstractmethod
    def log_weights(self, noise: Tensor, width: float, from_prior: Tensor) -> Tensor:
        """log p(x, z) - log q(z): (k, rows), nats; arguments as in `Proposal.log_weights`."""

    def in_pieces(self, codes: Tensor) -> tuple[Tensor, ...]:
        """Noise or codes (k, ...) of as many draws at once as memory is for."""
        return codes.split(max(1, MAX_ROWS_AT_ONCE // len(self.x)))

    def log_joint(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x, z) and log p(z) of codes (k, rows, *z_shape), each (k, rows)."""
        k, codes = len(z), z.flatten(0, 1)
        log_likelihood = self.model.log_likelihood(repeated(self.x, k), codes, repeated(self.condition, k))
        log_prior = self.model.log_prior(codes)
        return (log_likelihood + log_prior).view(k, -1), log_prior.view(k, -1)


@dataclass(frozen=True)
class _Believed(_Rows):
    """Rows whose codes are drawn from a belief, whose density is known at its own draws."""

    belief: Belief

    def log_weights(self, noise: Tensor, width: float, from_prior: Tensor) -> Tensor:
        # From the density of standard normal noise to that of noise so wide: a draw is one to one with its noise.
        values = noise[0].numel()
        correction = 0.5 * (width**2 - 1) * noise.square().flatten(1).sum(1) - values * math.log(width)
        pieces = []
        for piece in self.in_pieces(width * noise):
            z, log_q = self.belief.draw(piece)
            pieces.append(self.log_joint(z)[0] - log_q)
        return torch.cat(pieces) - correction.unsqueeze(1)


@dataclass(frozen=True)
class _Fitted(_Rows):
    """Rows whose codes are drawn from a normal, over codes laid flat, and a few from the prior."""

    normal: Full

    def log_weights(self, noise: Tensor, width: float, from_prior: Tensor) -> Tensor:
        wide, share = Full(self.normal.loc, width * self.normal.triangle), len(from_prior) / len(noise)
        given = from_prior.unsqueeze(1).expand(-1, len(self.x), *from_prior.shape[1:])
        pieces = [self._weighed(z, wide, share) for z in self.in_pieces(given) if len(z)]
        for piece in self.in_pieces(noise[len(from_prior) :]):
            z = wide.draw(piece.flatten(2))[0].unflatten(2, noise.shape[2:])
            pieces.append(self._weighed(z, wide, share))
        return torch.cat(pieces)

    def _weighed(self, z: Tensor, wide: Full, share: float) -> Tensor:
        """Codes weighed by the density of the mixture, whichever part of it they are from."""
        log_joint, log_prior = self.log_joint(z)
        log_q = wide.log_prob(z.flatten(2)) + math.log1p(-share)
        return log_joint - (torch.logaddexp(log_q, log_prior + math.log(share)) if share else log_q)


class Proposal:
    """Distributions over the codes of some rows, each with its own.

    Args:
        model: in evaluation mode.
        parts: of the rows; each row is in one of them.
        width: what noise is multiplied with, where nothing else is asked for.
    """

    def __init__(self, model: LatentDensity, parts: Sequence[_Rows], width: float) -> None:
        self.model, self.parts, self.width = model, parts, width

    def log_weights(self, noise: Tensor, width: float | None = None) -> Tensor:
        """log p(x, z) - log q(z) of codes drawn from the proposal, widened; a few are drawn from the prior.

        Args:
            noise: standard normal, (k, 1, *z_shape).
            width: of the noise that codes are made of; by default the proposal's own.

        Returns:
            (k, n), nats.

        Reference: for the few, Weighted Average Importance Sampling and Defensive Mixture Distributions (Hesterberg,
            1995), Technometrics 37(2)
        """
        from_prior = self.model.draw_prior(round(FROM_PRIOR * len(noise)))
        log_w = noise.new_empty(len(noise), sum(len(part.x) for part in self.parts))
        for part in self.parts:
            log_w[:, part.places] = part.log_weights(noise, self.width if width is None else width, from_prior)
        return log_w


def posterior(model: LatentDensity, x: Tensor, condition: Tensor | None) -> Proposal:
    """q(z | x) as it was learned."""
    return Proposal(model, [_believed(model, torch.arange(len(x), device=x.device), x, condition)], 1.0)


def refined_posterior(model: LatentDensity, x: Tensor, condition: Tensor | None) -> Proposal:
    """For each row a normal of a whole covariance that is fitted to it, or q(z | x) where the bound of that is higher.

    Args:
        model: in evaluation mode. Only codes are differentiated.
        x: (n, *x_shape).
        condition: (n, *condition_shape), or None.

    Returns:
        The proposal, by default a little wider than either: what is fitted by this bound is too narrow.
    """
    with rng.stream("proposal"):
        normal = _nearest(model, x, condition)
        noise = rng.normal(N_JUDGED, 1, *model.z_shape, like=next(model.parameters()))
    everywhere = torch.arange(len(x), device=x.device)
    none = noise[:0, 0]
    own = _believed(model, everywhere, x, condition).log_weights(noise, 1.0, none).mean(0)
    new = _Fitted(model, everywhere, x, condition, normal).log_weights(noise, 1.0, none).mean(0)
    parts: list[_Rows] = []
    kept = everywhere[~(new > own)]  # also where the fit is not finite
    if len(kept):
        parts.append(_believed(model, kept, x, condition))
    places = everywhere[new > own]
    if len(places):
        some = Full(normal.loc[places], normal.triangle[places])
        parts.append(_Fitted(model, places, x[places], None if condition is None else condition[places], some))
    return Proposal(model, parts, 1 + WIDENING / math.sqrt(math.prod(model.z_shape)))


def _believed(model: LatentDensity, places: Tensor, x: Tensor, condition: Tensor | None) -> _Believed:
    """The rows at some places, and what the model believes of their codes."""
    rows, given = x[places], None if condition is None else condition[places]
    return _Believed(model, places, rows, given, model.infer(rows, given))


def _nearest(model: LatentDensity, x: Tensor, condition: Tensor | None) -> Full:
    """A normal near p(z | x) for each row, over codes laid flat."""
    shape = model.z_shape
    # A graph cannot be built of tensors that were made without one.
    with torch.inference_mode(False), torch.enable_grad():
        places = torch.arange(len(x), device=x.device)
        rows = _believed(model, places, x.clone(), None if condition is None else condition.clone())
        start = moments(rows.belief, rng.normal(N_START, 1, *shape, like=next(model.parameters())))
        return nearest_normal(lambda z: rows.log_joint(z.unflatten(2, shape))[0], start)
