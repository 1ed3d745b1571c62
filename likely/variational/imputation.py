"""Imputation: what could stand where values are missing, by a model's posterior given the values that are there."""

import math

import torch
from torch import Tensor

from likely import rng
from likely.contract import MAX_ROWS_AT_ONCE, Operator
from likely.corruptions import missing_values
from likely.likelihoods import ordinary_draw
from likely.variational.posteriors import Full
from likely.variational.refinement import Imputer, ObservedRows, refined

N_PROPOSALS = 256
"""Codes that are weighed for the mean of each row."""

N_LEAST, N_MORE_PER_DRAW, DRAWS_AT_ONCE = 64, 16, 25
"""Codes of which a few draws take one each: at least so many, and more for each draw, so that few share one."""


def impute(
    model: Imputer, y: Tensor, operator: Operator, condition: Tensor | None = None, *, n_proposals: int = N_PROPOSALS
) -> Tensor:
    """The mean of what is missing given what is there, by self-normalized importance sampling.

    Codes are drawn from a normal that was fitted to what is there of each row (`refined`). All rows share the noise,
    so that the answer for a row does not depend on its neighbors; the same rows have the same answer.

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
    kept = missing_values(y, operator)
    lacking = y.isnan().flatten(1).any(1)
    filled = y.clone()
    if lacking.any():
        filled[lacking] = _mean(model, y[lacking], None if condition is None else condition[lacking], n_proposals)
    return kept.project(filled, y)


def draw_missing(
    model: Imputer, y: Tensor, operator: Operator, condition: Tensor | None = None, n_samples: int = 1
) -> Tensor:
    """Draws of what is missing given what is there: a code by its weight among others, and values by that code.

    Each row has noise of its own: whatever is computed of a whole draw, such as the mean
    of a column, has the uncertainty that it should have. Outliers, for which a likelihood allows, are not drawn.

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
    kept = missing_values(y, operator)
    rows, belief = ObservedRows(model, y, condition), refined(model, y, condition)
    draws = []
    for n in _pieces(n_samples, DRAWS_AT_ONCE):
        codes = _resampled(rows, belief, n)
        draws += [kept.project(ordinary_draw(model.observe(each, condition)), y) for each in codes]
    return torch.stack(draws)


def _mean(model: Imputer, y: Tensor, condition: Tensor | None, n_proposals: int) -> Tensor:
    """E[x | what is there]: (batch, *x_shape)."""
    rows, belief = ObservedRows(model, y, condition), refined(model, y, condition)
    top = torch.full((len(y),), -math.inf, dtype=y.dtype, device=y.device)
    total, weighted = torch.zeros_like(top), torch.zeros_like(y)
    with rng.stream("imputation"):
        noise = rng.normal(n_proposals, 1, *model.z_shape, like=y)
    for piece in noise.split(max(1, MAX_ROWS_AT_ONCE // len(y))):
        z, log_q = belief.draw(piece)
        log_joint, observation = rows.explained(z)
        log_weight = log_joint - log_q
        # One pass over the decoder: weights are relative to the largest so far, and so is what was summed by them.
        highest = torch.maximum(top, log_weight.amax(0))
        shrink, weight = (top - highest).exp(), (log_weight - highest).exp()
        total = total * shrink + weight.sum(0)
        mean = observation.mean.view(len(z), *y.shape)
        weighted = weighted * _beside(shrink, y) + torch.einsum("kb,kb...->b...", weight, mean)
        top = highest
    return weighted / _beside(total, y)


def _resampled(rows: ObservedRows, belief: Full, n: int) -> Tensor:
    """n codes for each row, nearly from p(z | what is there): (n, batch, z_size)."""
    loc = belief.loc
    top = loc.new_full((n, len(loc)), -math.inf)
    chosen = loc.expand(n, *loc.shape)
    for k in _pieces(N_LEAST + N_MORE_PER_DRAW * n, max(1, MAX_ROWS_AT_ONCE // len(loc))):
        z, log_q = belief.draw(rng.normal(k, *loc.shape, like=loc))
        log_weight = rows.explained(z)[0] - log_q
        # The largest of log-weight plus Gumbel noise is a choice by weight, and needs no second pass.
        best, place = (log_weight + rng.gumbel(n, *log_weight.shape, like=loc)).max(1)
        found = z[place, torch.arange(len(loc), device=loc.device)]
        chosen = torch.where((best > top).unsqueeze(2), found, chosen)
        top = torch.maximum(top, best)
    return chosen


def _pieces(n: int, size: int) -> list[int]:
    return [min(size, n - i) for i in range(0, n, size)]


def _beside(value: Tensor, rows: Tensor) -> Tensor:
    """(batch,) with the axes of rows."""
    return value.view(-1, *[1] * (rows.ndim - 1))
