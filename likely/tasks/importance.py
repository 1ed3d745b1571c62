"""log p(x) by importance samples: how much tighter than by one sample, and how far to be trusted."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from likely.contract import MAX_ROWS_AT_ONCE, LatentDensity, repeated
from likely.rng import normal, restart, stream, torch_draws
from likely.tasks.proposals import posterior, refined_posterior
from likely.tasks.tails import Tail, foreseen_variance, heavy_from, too_few

ROWS_AT_ONCE = 256
WEIGHTS_AT_ONCE = 4_000_000
COVARIANCES_AT_ONCE = 8_000_000
"""Rows are estimated so many at a time, and at most so many (sample, row) pairs and values of covariances of them."""


@dataclass(frozen=True)
class LogProbEstimate:
    """log p(x) of rows, as the logarithm of a mean of k random weights whose expectation is p(x).

    In mean such an estimate is at most log p(x). Rows share their noise, so their errors go together: `mean_error`
    knows it.

    Attributes:
        log_prob: (n,), the estimate of each row, nats.
        error: (n,), its standard error and `shortfall` in one, nats. log p(x) is within two of them 19 times of 20, and
            9 of 10 where tails are nearly heavy; of rows that are `heavy` they say nothing. NaN where k is 1.
        shortfall: (n,), how far below log p(x) it may well be: what weights larger than those drawn would add, by the
            shape of their tail, and half the variance, for the logarithm; nats. Of weights too few for a shape, as if
            they were log-normal.
        pareto_shape: (n,), of the tail of a row's weights (`likely.tasks.tails`); above `heavy_from` the weights are
            heavy-tailed. NaN where k is below 100, too few to tell.
        effective_samples: (n,), (sum of weights)^2 / sum of squared weights: k where all count alike, 1 where one does.
        one_sample: (n,), the mean of the logarithms of the weights, nats: of samples of the posterior the bound by one.
        mean_error: of the mean of `log_prob` over the rows, as an estimate for these very rows: standard error and
            mean shortfall in one.
        n_samples: k.
    """

    log_prob: Tensor
    error: Tensor
    shortfall: Tensor
    pareto_shape: Tensor
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

    @property
    def heavy_from(self) -> float:
        """The Pareto shape above which this many weights are heavy-tailed."""
        return heavy_from(self.n_samples)

    @property
    def heavy(self) -> Tensor:
        """(n,): rows of heavy-tailed weights, for which the estimate is a lower bound; none where k is below 100."""
        return ~(self.pareto_shape <= self.heavy_from) & (not too_few(self.n_samples))

    @property
    def n_heavy(self) -> int:
        """How many rows are heavy."""
        return int(self.heavy.sum())


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
    refine: bool = True,
    width: float | None = None,
    seed: int = 0,
) -> LogProbEstimate:
    """log p(x) by importance samples from a normal that is fitted to each row, or from the model's own posterior.

    Posteriors that were learned by a bound are too narrow, and in the wrong direction where codes depend on each other:
    a few of their weights are huge and seldom drawn. A normal with a whole covariance, fitted to the row and then
    widened a little, leaves few weights that are (`likely.tasks.proposals`); with as many samples the estimate is
    nearer to log p(x), and its error is known.

    Args:
        model: in evaluation mode.
        x: (n, *x_shape); in memory at once are as many (sample, row) pairs as `likely.contract` allows.
        condition: (n, *condition_shape), or None.
        n_samples: draws per row.
        refine: False draws from the posterior as it was learned, which makes the bound of the literature.
        width: of the noise that codes are drawn from, in standard deviations; by default 1 for the posterior, and a
            little more for normals that were fitted.
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
    if width is not None and not width > 0:
        raise ValueError(f"width must be positive, got {width}")
    if not len(x):
        raise ValueError("log p(x) is estimated for at least one row, got none")
    made = refined_posterior if refine else posterior
    pieces = []
    with stream("importance", seed), torch_draws(model):
        for rows, given in _pieces(x, condition, _rows_at_once(model, n_samples, refine)):
            proposal = made(model, rows, given)
            restart("importance", seed)
            noise = _noise(model, n_samples)
            pieces.append(estimated(proposal.log_weights(noise, width)))
    return joined([piece for piece, _ in pieces], [shares for _, shares in pieces])


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
            noise = _noise(model, n_samples)
            belief = model.infer(rows, given)
            distortion, rate = torch.zeros(2, len(rows), dtype=torch.float64)
            for piece in noise.split(max(1, MAX_ROWS_AT_ONCE // len(rows))):
                (z, log_q), k = belief.draw(piece), len(piece)
                codes = z.flatten(0, 1)
                log_likelihood = model.log_likelihood(repeated(rows, k), codes, repeated(given, k)).view(k, -1)
                distortion -= log_likelihood.double().sum(0).cpu() / n_samples
                rate += (log_q - model.log_prior(codes).view(k, -1)).double().sum(0).cpu() / n_samples
            distortions.append(distortion)
            rates.append(rate)
    return OneSampleBound(torch.cat(distortions), torch.cat(rates))


def estimated(log_weights: Tensor) -> tuple[LogProbEstimate, Tensor]:
    """What log-weights (k, n) say of n rows, and how much of their estimates each sample carries, in sum: (k,)."""
    log_w = log_weights.double().cpu()
    k, n = log_w.shape
    log_prob = log_w.logsumexp(0) - math.log(k)
    weights = (log_w - log_prob).exp()  # their mean is 1
    tail = Tail.of(weights)
    variance = foreseen_variance(weights, tail) / k if k > 1 else torch.full_like(log_prob, math.nan)
    if tail.unknown:
        shortfall = torch.maximum(variance / 2, _log_normal_mean(log_w) - log_prob)
    else:
        shortfall = variance / 2 + tail.unseen()
    shares = weights.sum(1)
    estimate = LogProbEstimate(
        log_prob,
        (variance + shortfall.square()).sqrt(),
        shortfall,
        tail.shape,
        k / weights.square().mean(0),
        log_w.mean(0),
        _mean_error(shares / n, shortfall),
        n_samples=k,
    )
    return estimate, shares


def joined(pieces: list[LogProbEstimate], shares: list[Tensor]) -> LogProbEstimate:
    """Estimates of all rows, from those of some rows after others whose samples had the same noise."""
    shortfall = torch.cat([piece.shortfall for piece in pieces])
    return LogProbEstimate(
        torch.cat([piece.log_prob for piece in pieces]),
        torch.cat([piece.error for piece in pieces]),
        shortfall,
        torch.cat([piece.pareto_shape for piece in pieces]),
        torch.cat([piece.effective_samples for piece in pieces]),
        torch.cat([piece.one_sample for piece in pieces]),
        _mean_error(torch.stack(shares).sum(0) / len(shortfall), shortfall),
        pieces[0].n_samples,
    )


def _mean_error(shares: Tensor, shortfall: Tensor) -> float:
    """Of the mean of n logarithms, by the delta method: sample j moves it by the mean of its relative weights."""
    if len(shares) == 1:
        return math.nan
    weights = shares.unsqueeze(1)
    variance = foreseen_variance(weights, Tail.of(weights)) / len(shares)
    # The expected parts of errors add up over rows, as errors of mean zero do not.
    return math.hypot(float(variance.sqrt()), float(shortfall.mean()))


def _log_normal_mean(log_w: Tensor) -> Tensor:
    """log of the mean of log-normal weights (k, n), by the moments of their logarithms: (n,).

    Weights of long chains are nearly log-normal, as their logarithms are sums of many terms; but some chains get stuck.
    No weight counts as further below the median than the largest is above it: such weights add nothing to the mean.

    Reference: Annealed importance sampling (Neal, 2001), arXiv:physics/9803008
    """
    log_w = torch.maximum(log_w, 2 * log_w.quantile(0.5, 0) - log_w.amax(0))
    return log_w.mean(0) + log_w.var(0) / 2


def _rows_at_once(model: LatentDensity, n_samples: int, refine: bool) -> int:
    most = min(ROWS_AT_ONCE, WEIGHTS_AT_ONCE // n_samples)
    return max(1, min(most, COVARIANCES_AT_ONCE // math.prod(model.z_shape) ** 2) if refine else most)


def _noise(model: LatentDensity, n_samples: int) -> Tensor:
    like = next(model.parameters())
    return normal(n_samples, 1, *model.z_shape, like=like)


def _pieces(x: Tensor, condition: Tensor | None, size: int) -> list[tuple[Tensor, Tensor | None]]:
    rows = x.split(size)
    return list(zip(rows, [None] * len(rows) if condition is None else condition.split(size), strict=True))
