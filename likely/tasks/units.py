"""What a code says of rows: its rate, which of its values are in use, and whether the posterior has collapsed."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from likely.contract import Belief, Encoder, LatentDensity
from likely.rng import normal, restart, stream, torch_draws

ACTIVE = 0.01
"""A value of the code is active where the posterior mean varies over rows by more than this (Burda et al., 2016)."""

MIN_RATE = 0.1
"""Nats. A code of a smaller rate has collapsed: it tells less than a seventh of a bit of a row, and no bound can owe it
more than that over a decoder that sees no code."""

N_DRAWS = 128
ROWS_AT_ONCE = 256
VALUES_AT_ONCE = 4_000_000
TOLERANCE = 1e-3
"""Rates by formula are taken where they add up to the rate by draws, but for this share of it."""


@dataclass(frozen=True)
class CodeUse:
    """What a code says of some rows.

    Attributes:
        rate: (n,), KL(q(z | x) || p(z)) of each row, nats.
        variance: (units,), of the posterior mean over the rows.
        unit_rates: (units,), the mean rate of each unit, nats; None where the rate does not fall into units.
    """

    rate: Tensor
    variance: Tensor
    unit_rates: Tensor | None

    @property
    def active(self) -> Tensor:
        """(units,): whether a unit's posterior mean varies over rows."""
        return self.variance > ACTIVE

    @property
    def n_active(self) -> int:
        """How many units are active."""
        return int(self.active.sum())

    @property
    def mean_rate(self) -> float:
        """Nats per row."""
        return float(self.rate.mean())

    @property
    def collapsed(self) -> bool:
        """Whether the code says next to nothing of any row."""
        return not self.n_active or self.mean_rate < MIN_RATE


@torch.no_grad()
def code_use(model: LatentDensity, x: Tensor, condition: Tensor | None = None, *, seed: int = 0) -> CodeUse:
    """What the code says of rows.

    Rates are those of the formula where the belief has one (`rates()`) that holds for the model's prior; else the mean
    over draws of log q(z | x) - log p(z).

    Args:
        model: in evaluation mode.
        x: (n, *x_shape); n > 1, as a variance is asked for.
        condition: (n, *condition_shape), or None.
        seed: of the draws.

    Returns:
        Rate, variance and rate by unit; float64, on the CPU.

    Raises:
        ValueError: if there are fewer than two rows.

    Reference: Importance Weighted Autoencoders (Burda et al., 2016), arXiv:1509.00519, section 5.2
    """
    if len(x) < 2:
        raise ValueError(f"what varies over rows takes at least two of them, got {len(x)}")
    size = max(1, min(ROWS_AT_ONCE, VALUES_AT_ONCE // (N_DRAWS * math.prod(model.z_shape))))
    by_draws, by_formula, means = [], [], []
    with stream("code use", seed), torch_draws(model):
        for start in range(0, len(x), size):
            restart("code use", seed)
            rows, given = x[start : start + size], None if condition is None else condition[start : start + size]
            belief = model.infer(rows, given)
            z, log_q = belief.draw(_noise(model))
            log_p = model.log_prior(z.flatten(0, 1)).view_as(log_q)
            by_draws.append((log_q - log_p).double().mean(0).cpu())
            mean = model.encode(rows, given) if isinstance(model, Encoder) else z.mean(0)
            means.append(mean.flatten(1).double().cpu())
            by_formula.append(_rates(belief))
    variance = torch.cat(means).var(0)
    rate = torch.cat(by_draws)
    parts = None if any(each is None for each in by_formula) else torch.cat([e for e in by_formula if e is not None])
    if parts is None or (parts.sum(1) - rate).abs().mean() > TOLERANCE * (1 + rate.abs().mean()):
        return CodeUse(rate, variance, None)
    unit_rates = parts.mean(0) if parts.shape[1] == len(variance) else None
    return CodeUse(parts.sum(1), variance, unit_rates)


def _rates(belief: Belief) -> Tensor | None:
    rates = getattr(belief, "rates", None)
    return None if rates is None else rates().double().cpu()


def _noise(model: LatentDensity) -> Tensor:
    """Draws of mean 0 and mean square 1 in each value: rates that are squares of them come out exactly."""
    like = next(model.parameters())
    half = normal(N_DRAWS // 2, 1, *model.z_shape, like=like)
    both = torch.cat([half, -half])
    return both / both.square().mean(0, keepdim=True).sqrt()
