"""log p(x) by importance samples of the posterior: how much tighter than by one sample, and how far to be trusted."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from likely.contract import MAX_ROWS_AT_ONCE, LatentDensity
from likely.rng import normal, restart, stream, torch_draws

ROWS_AT_ONCE = 256
WEIGHTS_AT_ONCE = 4_000_000
"""Rows are estimated so many at a time, and at most so many (sample, row) pairs of them."""


@dataclass(frozen=True)
class LogProbEstimate:
    """log p(x) of rows, as the logarithm of a mean of k random weights whose expectation is p(x).

    In mean such an estimate is at most log p(x): it is short of it by about `error` squared / 2, and by more where few
    weights count. Rows share their noise, so their errors go together: `mean_error` knows it.

    Attributes:
        log_prob: (n,), the estimate of each row, nats.
        error: (n,), its standard error by the delta method, std of the weights / their mean / sqrt(k), nats; too small
            where `effective_samples` is less than about ten, and where the posterior leaves out codes that explain a
            row: it knows nothing of weights that were never drawn. NaN where k is 1.
        effective_samples: (n,), (sum of weights)^2 / sum of squared weights: k where all count alike, 1 where one does.
        one_sample: (n,), the bound by one sample: the mean over k draws, nats.
        mean_error: the standard error of the mean of `log_prob` over the rows, as an estimate for these very rows.
        n_samples: k.
    """

    log_prob: Tensor
    error: Tensor
    effective_samples: Tensor
    one_sample: Tensor
    mean_error: float
    n_samples: int

    def __len__(self) -> int:
        return len(self.log_prob)

    @property
    def mean(self) -> float:
        """The mean of `log_prob` over the rows."""
        return float(self.log_prob.mean())


@dataclass(frozen=True)
class OneSampleBound:
    """The bound by one sample of each row in its two addends, -distortion - rate.

    Attributes:
        distortion: (n,), -log p(x | z) in mean over z from the posterior, nats.
        rate: (n,), log q(z | x) - log p(z) in mean over z from the posterior, nats: what the code says of the row.
    """

    distortion: Tensor
    rate: Tensor


@torch.no_grad()
def importance_estimate(
    model: LatentDensity,
    x: Tensor,
    condition: Tensor | None = None,
    *,
    n_samples: int = 1000,
    width: float = 1.0,
    seed: int = 0,
) -> LogProbEstimate:
    """log p(x) by importance samples from the posterior, or from one that is wider.

    Posteriors that were learned by a bound are too narrow; a few of their weights are huge and seldom drawn. A width of
    1.15 or so finds more of them: no longer the bound that was learned, but nearer to log p(x).

    Args:
        model: in evaluation mode.
        x: (n, *x_shape); in memory at once are as many (sample, row) pairs as `likely.contract` allows.
        condition: (n, *condition_shape), or None.
        n_samples: draws per row.
        width: standard deviation of the noise that codes are drawn from; 1 is the posterior itself.
        seed: of the noise, which is the same for every row.

    Returns:
        The estimate, float64, on the CPU.

    Raises:
        ValueError: if there are no rows, `n_samples` is smaller than 1, or `width` is not positive.

    Reference: Importance Weighted Autoencoders (Burda et al., 2016), arXiv:1509.00519, equation 8; for the effective
        sample size, A note on importance sampling using standardized weights (Kong, 1992)
    """
    if n_samples < 1:
        raise ValueError(f"n_samples must be at least 1, got {n_samples}")
    if not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    if not len(x):
        raise ValueError("log p(x) is estimated for at least one row, got none")
    size = max(1, min(ROWS_AT_ONCE, WEIGHTS_AT_ONCE // n_samples))
    pieces = []
    with stream("importance", seed), torch_draws(model):
        for rows, given in _pieces(x, condition, size):
            restart("importance", seed)
            if width == 1:
                weights = model.log_weights(rows, given, n_samples=n_samples)
            else:
                weights = _widened_log_weights(model, rows, given, n_samples, width)
            pieces.append(estimated(weights))
    return joined([piece for piece, _ in pieces], [shares for _, shares in pieces])


def _widened_log_weights(
    model: LatentDensity, x: Tensor, condition: Tensor | None, n_samples: int, width: float
) -> Tensor:
    """As `LatentDensity.log_weights`, for codes from noise of another width: (n_samples, batch)."""
    like = next(model.parameters())
    belief, values = model.infer(x, condition), math.prod(model.z_shape)
    noise = width * normal(n_samples, 1, *model.z_shape, like=like)
    weights = []
    for piece in noise.split(max(1, MAX_ROWS_AT_ONCE // len(x))):
        z, log_q = belief.draw(piece)
        # From the density of standard normal noise to that of the noise which was drawn.
        log_q = log_q + 0.5 * (1 - width**-2) * piece.square().flatten(2).sum(2) - values * math.log(width)
        k, codes = len(z), z.flatten(0, 1)
        rows = x.repeat(k, *[1] * (x.ndim - 1))
        given = None if condition is None else condition.repeat(k, *[1] * (condition.ndim - 1))
        log_joint = model.log_likelihood(rows, codes, given) + model.log_prior(codes)
        weights.append(log_joint.view(k, -1) - log_q)
    return torch.cat(weights)


@torch.no_grad()
def one_sample_bound(
    model: LatentDensity, x: Tensor, condition: Tensor | None = None, *, n_samples: int = 1, seed: int = 0
) -> OneSampleBound:
    """The evidence lower bound of each row, split into distortion and rate.

    Args:
        model: in evaluation mode.
        x: (n, *x_shape).
        condition: (n, *condition_shape), or None.
        n_samples: draws per row that both are the mean of.
        seed: of the noise, which is the same for every row.

    Returns:
        Both, float64, on the CPU.
    """
    distortions, rates = [], []
    with stream("one sample", seed), torch_draws(model):
        for rows, given in _pieces(x, condition, ROWS_AT_ONCE):
            restart("one sample", seed)
            like = next(model.parameters())
            noise = normal(n_samples, 1, *model.z_shape, like=like)
            belief = model.infer(rows, given)
            distortion, rate = torch.zeros(2, len(rows), dtype=torch.float64)
            for each in noise.split(1):
                z, log_q = (drawn.squeeze(0) for drawn in belief.draw(each))
                distortion -= model.log_likelihood(rows, z, given).double().cpu() / n_samples
                rate += (log_q - model.log_prior(z)).double().cpu() / n_samples
            distortions.append(distortion)
            rates.append(rate)
    return OneSampleBound(torch.cat(distortions), torch.cat(rates))


def estimated(log_weights: Tensor) -> tuple[LogProbEstimate, Tensor]:
    """What log-weights (k, n) say of n rows, and how much of their estimates each sample carries, in sum: (k,)."""
    log_w = log_weights.double().cpu()
    k, n = log_w.shape
    total = log_w.logsumexp(0)
    effective = (2 * total - (2 * log_w).logsumexp(0)).exp()
    error = ((k / effective - 1).clamp_min(0) / (k - 1)).sqrt() if k > 1 else torch.full_like(total, math.nan)
    shares = k * (log_w - total).exp().sum(1)
    estimate = LogProbEstimate(
        total - math.log(k), error, effective, log_w.mean(0), _mean_error(shares, n), n_samples=k
    )
    return estimate, shares


def joined(pieces: list[LogProbEstimate], shares: list[Tensor]) -> LogProbEstimate:
    """Estimates of all rows, from those of some rows after others whose samples had the same noise."""
    n = sum(map(len, pieces))
    return LogProbEstimate(
        torch.cat([piece.log_prob for piece in pieces]),
        torch.cat([piece.error for piece in pieces]),
        torch.cat([piece.effective_samples for piece in pieces]),
        torch.cat([piece.one_sample for piece in pieces]),
        _mean_error(torch.stack(shares).sum(0), n),
        pieces[0].n_samples,
    )


def _mean_error(shares: Tensor, n: int) -> float:
    """The delta method for the mean of n logarithms: sample j moves it by the mean of its relative weights."""
    k = len(shares)
    return float((shares / n).std() / math.sqrt(k)) if k > 1 else math.nan


def _pieces(x: Tensor, condition: Tensor | None, size: int) -> list[tuple[Tensor, Tensor | None]]:
    rows = x.split(size)
    return list(zip(rows, [None] * len(rows) if condition is None else condition.split(size), strict=True))
