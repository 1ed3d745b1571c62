"""Whether a model's draws and its density belong to each other, in any number of dimensions, without an integral.

The mean of q(x) / p(x) over draws x of p is 1 for any density q: a density that is off by a factor c has a mean of
1 / c, one without a log-determinant another one. Where only unbiased weights of p are known, their mean over draws of
q, divided by q, is the share of p's draws that are where q is.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from likely.contract import BoundedDensity, Density, EstimatedDensity, ExactDensity, Sampler

MANY_VALUES = 50
"""A value of x that takes more than so many different values among the draws is a real number."""
CLAMP = 3.0
"""Standardized values beyond this count as this where correlations are measured: tails tell nothing of the middle."""


@dataclass(frozen=True)
class Mass:
    """What the density of draws adds up to.

    Attributes:
        mean: 1 where sampler and density agree.
        error: its standard error.
        effective: how many draws of equal weight would tell as much (Kish, 1965).
    """

    mean: float
    error: float
    effective: float


class Middle:
    """A density q where most draws of p are: what it knows of p is a sample.

    Real values: the normal with the sample's medians, interquartile scales and correlations, cut off at the ellipsoid
    that holds half of the sample and at the box between its 1st and 99th percentiles, so that q is nowhere where p may
    have no density, and no tail decides the mean. Other values: one of the states that are frequent, each as likely.
    """

    def __init__(self, sample: Tensor) -> None:
        self.real = torch.tensor([len(column.unique()) > MANY_VALUES for column in sample.T])
        self.states = self._frequent(sample[:, ~self.real])
        reals = sample[:, self.real]
        self.n = reals.shape[1]
        if self.n:
            self._shape(reals)

    @staticmethod
    def _frequent(values: Tensor) -> Tensor | None:
        if not values.shape[1]:
            return None
        states, counts = values.unique(dim=0, return_counts=True)
        return states[counts >= 0.01 * len(values)]

    def _shape(self, reals: Tensor) -> None:
        low, middle, high = reals.quantile(torch.tensor([0.25, 0.5, 0.75]).to(reals), dim=0)
        scale = (high - low) / 1.349  # the interquartile range of a standard normal
        standardized = ((reals - middle) / scale).clamp(-CLAMP, CLAMP)
        self.middle, self.triangle = middle, scale[:, None] * torch.linalg.cholesky(correlations(standardized))
        self.low, self.high = reals.quantile(torch.tensor([0.01, 0.99]).to(reals), dim=0)
        self.limit = self._squared_distance(reals).median()
        normal = torch.randn(200_000, self.n, generator=torch.Generator().manual_seed(0), dtype=reals.dtype)
        tried = middle + normal @ self.triangle.T
        self.drawn = tried[self._inside(tried)]
        log_kept = math.log(len(self.drawn) / len(tried))
        log_volume = 0.5 * self.n * math.log(2 * math.pi) + self.triangle.diagonal().log().sum().item()
        self.log_constant = log_volume + log_kept

    def _squared_distance(self, reals: Tensor) -> Tensor:
        centered = (reals - self.middle).T
        return torch.linalg.solve_triangular(self.triangle, centered, upper=False).square().sum(0)

    def _inside(self, reals: Tensor) -> Tensor:
        in_box = ((reals >= self.low) & (reals <= self.high)).all(1)
        return in_box & (self._squared_distance(reals) <= self.limit)

    def log_prob(self, x: Tensor) -> Tensor:
        """log q of rows (batch, n_values): (batch,), -inf outside."""
        log_q = torch.zeros(len(x), dtype=x.dtype)
        if self.n:
            reals = x[:, self.real]
            log_normal = -0.5 * self._squared_distance(reals) - self.log_constant
            log_q = log_normal.masked_fill(~self._inside(reals), -math.inf)
        if self.states is not None:
            known = (x[:, None, ~self.real] == self.states).all(2).any(1)
            log_q = (log_q - math.log(len(self.states))).masked_fill(~known, -math.inf)
        return log_q

    def draw(self, n: int) -> Tensor:
        """(n, n_values), n at most some ten thousands."""
        x = torch.empty(n, len(self.real), dtype=torch.float64)
        if self.n:
            assert n <= len(self.drawn)
            x[:, self.real] = self.drawn[:n]
        if self.states is not None:
            x[:, ~self.real] = self.states[torch.randint(len(self.states), (n,))]
        return x


def correlations(columns: Tensor) -> Tensor:
    """Of (batch, n): (n, n), also where n is 1."""
    return columns.T.corrcoef().view(columns.shape[1], columns.shape[1])


@torch.no_grad()
def mass(model: Sampler, n_judging: int = 15_000, condition: Tensor | None = None) -> Mass:
    """Of a model's own draws: some choose q, others judge.

    Args:
        model: with a density, of whichever kind.
        n_judging: how many judge.
        condition: (1, *condition_shape), the same for all draws, or None.
    """
    n_choosing = 5000
    draws = model.sample(n_choosing + n_judging, beside(condition, n_choosing + n_judging))
    q, judging = Middle(draws[:n_choosing].flatten(1)), draws[n_choosing:]
    log_q = q.log_prob(judging.flatten(1))
    if isinstance(model, ExactDensity | EstimatedDensity):
        return of_draws(model, judging, log_q, condition)
    share = (log_q > -math.inf).double().mean()
    return of_middle(model, q, share, n_judging, condition)


def beside(condition: Tensor | None, n: int) -> Tensor | None:
    """The one condition, n times."""
    return None if condition is None else condition.expand(n, *condition.shape[1:])


def of_draws(model: Density, x: Tensor, log_q: Tensor, condition: Tensor | None) -> Mass:
    """The mean of q / p over draws x of p."""
    inside = log_q > -math.inf
    weight = torch.zeros_like(log_q)
    log_p = torch.cat([log_prob(model, rows, beside(condition, len(rows))) for rows in x[inside].split(5000)])
    weight[inside] = (log_q[inside] - log_p).exp()
    return Mass(weight.mean().item(), (weight.std() / len(weight) ** 0.5).item(), effective(weight))


def log_prob(model: Density, x: Tensor, condition: Tensor | None) -> Tensor:
    """log p of each row."""
    if isinstance(model, ExactDensity):
        return model.log_prob(x, condition)
    assert model.method == "exact trace", "the estimate is random: in mean it is log p, but its exponential is not p"
    return model.estimate(x, condition).value


def of_middle(model: BoundedDensity, q: Middle, share: Tensor, n: int, condition: Tensor | None) -> Mass:
    """The mean of p / q over draws of q, divided by the share of p's draws that are where q is.

    The bound is the log of a mean of weights that are p(x) in mean: no matter how few of them there are.
    """
    x = q.draw(n).view(n, *model.x_shape)
    pieces = x.split(50)  # each with noise of its own: rows of one call share theirs
    bounds = [model.log_prob_bound(rows, beside(condition, len(rows)), n_samples=32) for rows in pieces]
    weight = (torch.cat(bounds) - q.log_prob(x.flatten(1))).exp()
    mean = weight.mean() / share
    by_weights = torch.stack([each.mean() for each in weight.split(50)]).std() / len(pieces) ** 0.5 / share
    by_draws = mean * ((1 - share) / (share * n)).sqrt()
    return Mass(mean.item(), (by_weights**2 + by_draws**2).sqrt().item(), effective(weight))


def effective(weight: Tensor) -> float:
    return (weight.sum() ** 2 / weight.square().sum()).item()
