"""Imputation: what could stand where values are missing, by a model's posterior given the values that are there."""

import math
from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.distributions import Independent

from likely.contract import MAX_ROWS_AT_ONCE, Belief, Operator, Shape, repeated
from likely.corruptions import start
from likely.corruptions.noise import Kept
from likely.errors import UserError
from likely.likelihoods import observed_log_prob, split_missing

N_PROPOSALS = 64
"""Codes that are weighed for each row, and for each draw."""


class Imputer(Protocol):
    """A model with codes, as far as imputation needs it; shapes as in `likely.contract.LatentDensity`."""

    z_shape: Shape

    def infer(self, x: Tensor, condition: Tensor | None = None) -> Belief: ...

    def log_prior(self, z: Tensor) -> Tensor: ...

    def observe(self, z: Tensor, condition: Tensor | None = None) -> Independent: ...


class _Proposals(NamedTuple):
    """Codes z (k, batch, *z_shape), their log-weights (k, batch), and the mean of x given each (k, batch, *x_shape)."""

    z: Tensor
    log_weight: Tensor
    mean: Tensor


def impute(
    model: Imputer, y: Tensor, operator: Operator, condition: Tensor | None = None, *, n_proposals: int = N_PROPOSALS
) -> Tensor:
    """The mean of what is missing given what is there, by self-normalized importance sampling.

    All rows share the noise, so that the answer for a row does not depend on its neighbors.

    Args:
        model: fitted.
        y: (batch, *x_shape), NaN where something is missing.
        operator: what left the values out.
        condition: (batch, *condition_shape), or None.
        n_proposals: codes that are weighed for each row.

    Returns:
        (batch, *x_shape): what is there as it is.

    Raises:
        UserError: if the operator does not leave values out.

    Reference: MIWAE: Deep Generative Modelling and Imputation of Incomplete Data Sets (Mattei & Frellsen, 2019),
        arXiv:1812.02633, equation 11
    """
    kept = _missing_values(y, operator)
    top = torch.full((len(y),), -math.inf, dtype=y.dtype, device=y.device)
    total, weighted = torch.zeros_like(top), torch.zeros_like(y)
    generator = torch.Generator(y.device).manual_seed(0)  # the same question has the same answer
    for piece in _proposals(model, y, condition, n_proposals, generator):
        # One pass over the decoder: weights are relative to the largest so far, and so is what was summed by them.
        highest = torch.maximum(top, piece.log_weight.amax(0))
        shrink, weight = (top - highest).exp(), (piece.log_weight - highest).exp()
        total = total * shrink + weight.sum(0)
        weighted = weighted * _beside(shrink, y) + torch.einsum("kb,kb...->b...", weight, piece.mean)
        top = highest
    return kept.project(weighted / _beside(total, y), y)


def draw_missing(
    model: Imputer, y: Tensor, operator: Operator, condition: Tensor | None = None, n_samples: int = 1
) -> Tensor:
    """Draws of what is missing given what is there: a code by its weight among others, and values by that code.

    Args:
        model: fitted.
        y: (batch, *x_shape), NaN where something is missing.
        operator: what left the values out.
        condition: (batch, *condition_shape), or None.
        n_samples: draws per row.

    Returns:
        (n_samples, batch, *x_shape): what is there as it is.

    Raises:
        UserError: if the operator does not leave values out.

    Reference: as `impute`, section 3.3 (sampling importance resampling)
    """
    kept = _missing_values(y, operator)
    found = [(piece.z, piece.log_weight) for piece in _proposals(model, y, condition, N_PROPOSALS * n_samples)]
    z, log_weight = (torch.cat(each) for each in zip(*found, strict=True))
    draws = []
    # Each draw has proposals of its own: from shared ones, draws would agree with each other by chance.
    for codes, weights in zip(z.chunk(n_samples), log_weight.chunk(n_samples), strict=True):
        below = weights.softmax(0).cumsum(0)
        chosen = (below < torch.rand((), dtype=y.dtype, device=y.device)).sum(0).clamp_max(len(codes) - 1)
        code = codes[chosen, torch.arange(len(y), device=y.device)]
        draws.append(kept.project(model.observe(code, condition).sample(), y))
    return torch.stack(draws)


def _proposals(
    model: Imputer, y: Tensor, condition: Tensor | None, n: int, generator: torch.Generator | None = None
) -> Iterator[_Proposals]:
    belief = model.infer(y, condition)
    x, present = split_missing(y)
    noise = torch.randn(n, 1, *model.z_shape, dtype=y.dtype, device=y.device, generator=generator)
    for piece in noise.split(max(1, MAX_ROWS_AT_ONCE // len(y))):
        k = len(piece)
        z, log_q = belief.draw(piece)
        codes = z.flatten(0, 1)
        observation = model.observe(codes, repeated(condition, k))
        log_joint = observed_log_prob(observation, repeated(x, k), repeated(present, k)) + model.log_prior(codes)
        yield _Proposals(z, log_joint.view(k, -1) - log_q, observation.mean.view(k, *y.shape))


def _missing_values(y: Tensor, operator: Operator) -> Kept:
    if isinstance(operator, Kept) and math.isnan(operator.fill):
        start(y, operator)  # says what is wrong with the shape of y
        return operator
    raise UserError(
        f"this model fills in what is missing, and {type(operator).__name__} is something else; name what was erased "
        "(Erasing), or fit denoising_autoencoder, which undoes what it is taught"
    )


def _beside(value: Tensor, rows: Tensor) -> Tensor:
    """(batch,) with the axes of rows."""
    return value.view(-1, *[1] * (rows.ndim - 1))
