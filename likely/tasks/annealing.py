"""log p(x) by annealed importance sampling: a check of a bound that does not ask the posterior it comes from."""

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from likely.contract import LatentDensity
from likely.rng import normal_like, restart, stream, torch_draws, uniform
from likely.tasks.importance import LogProbEstimate, estimated, joined

CODES_AT_ONCE = 2048
"""So many (chain, row) pairs move at a time."""

POWER = 4
"""Of the curve that temperatures follow: a posterior changes most where the likelihood begins to count."""

FIRST_STEP = 0.5
ACCEPTANCE = 0.65
ADAPTATION = 0.5
"""The step size of a row changes by exp(ADAPTATION * (acceptance - ACCEPTANCE)) from one temperature to the next."""

JITTER = 0.2
"""A move's step size is longer or shorter by up to this share: an orbit of some length would come back to its start."""


@dataclass(frozen=True)
class Annealing:
    """How chains go from the prior to the posterior.

    Attributes:
        n_chains: counted chains per row; a quarter as many go beside them, set their step sizes and do not count.
        n_temperatures: steps from prior to posterior.
        n_leapfrog: gradients per step. At equal cost more steps of one leave less error than fewer of many.
    """

    n_chains: int = 16
    n_temperatures: int = 2000
    n_leapfrog: int = 1

    def __post_init__(self) -> None:
        for name in ("n_chains", "n_temperatures", "n_leapfrog"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def n_pilots(self) -> int:
        """Chains per row that set the step sizes."""
        return max(2, self.n_chains // 4)

    @property
    def n_gradients(self) -> int:
        """How often a row is decoded and differentiated."""
        return (self.n_chains + self.n_pilots) * (1 + (self.n_temperatures - 1) * self.n_leapfrog)

    def temperatures(self) -> list[float]:
        """From 0 to 1.

        Reference: Marginal Likelihood Estimation via Power Posteriors (Friel & Pettitt, 2008)
        """
        return [(i / self.n_temperatures) ** POWER for i in range(self.n_temperatures + 1)]


def annealed_estimate(
    model: LatentDensity,
    x: Tensor,
    condition: Tensor | None = None,
    *,
    annealing: Annealing | None = None,
    seed: int = 0,
) -> LogProbEstimate:
    """log p(x) by annealed importance sampling along p(z) p(x | z)^t, with Hamiltonian moves.

    Each row's step size follows the acceptance of pilot chains of the same row, which are not counted: so the moves of
    a counted chain depend on nothing of its own past, and the mean weight is p(x) in mean, however few the steps are.

    Args:
        model: in evaluation mode. Only codes are differentiated.
        x: (n, *x_shape).
        condition: (n, *condition_shape), or None.
        annealing: chains and steps.
        seed: of the noise, which is the same for every row.

    Returns:
        The estimate, float64, on the CPU; `one_sample` is the mean log-weight of a chain.

    Raises:
        ValueError: if there are no rows.

    Reference: Annealed importance sampling (Neal, 2001), arXiv:physics/9803008; for decoders On the Quantitative
        Analysis of Decoder-Based Generative Models (Wu et al., 2017), arXiv:1611.04273
    """
    if not len(x):
        raise ValueError("log p(x) is estimated for at least one row, got none")
    plan = Annealing() if annealing is None else annealing
    size = max(1, CODES_AT_ONCE // (plan.n_chains + plan.n_pilots))
    pieces = []
    # A graph cannot be built of tensors that were made without one.
    with stream("annealing", seed), torch_draws(model), torch.inference_mode(False), torch.enable_grad():
        for start in range(0, len(x), size):
            restart("annealing", seed)
            given = None if condition is None else condition[start : start + size].clone()
            log_weights = _Chains(model, x[start : start + size].clone(), given, plan).run()
            pieces.append(estimated(log_weights[plan.n_pilots :]))
    return joined([piece for piece, _ in pieces], [shares for _, shares in pieces])


class _Point(NamedTuple):
    """Codes (chains, rows, *z_shape) with what pulls at them; the densities are (chains, rows)."""

    z: Tensor
    log_prior: Tensor
    log_likelihood: Tensor
    prior_slope: Tensor
    likelihood_slope: Tensor

    def log_density(self, t: float) -> Tensor:
        return self.log_prior + t * self.log_likelihood

    def slope(self, t: float) -> Tensor:
        return self.prior_slope + t * self.likelihood_slope


class _Chains:
    """Chains of some rows, pilots first. Noise is the same for every row; only step sizes are a row's own."""

    def __init__(self, model: LatentDensity, x: Tensor, condition: Tensor | None, plan: Annealing) -> None:
        self.model, self.plan, self.n_rows = model, plan, len(x)
        self.n_chains = plan.n_chains + plan.n_pilots
        self.x = x.repeat(self.n_chains, *[1] * (x.ndim - 1))
        self.condition = None if condition is None else condition.repeat(self.n_chains, *[1] * (condition.ndim - 1))

    def run(self) -> Tensor:
        """Log-weights (chains, rows), float64."""
        start = self.model.draw_prior(self.n_chains).unsqueeze(1)
        now = self._at(start.expand(-1, self.n_rows, *start.shape[2:]))
        log_weight = torch.zeros_like(now.log_likelihood, dtype=torch.float64)
        step = torch.full_like(now.log_prior[0], FIRST_STEP)
        temperatures = self.plan.temperatures()
        for before, t in itertools.pairwise(temperatures):
            log_weight += (t - before) * now.log_likelihood.double()
            if t == temperatures[-1]:
                break  # where the chain would go from here, no weight asks
            now, acceptance = self._moved(now, t, step)
            step = step * (ADAPTATION * (acceptance[: self.plan.n_pilots].mean(0) - ACCEPTANCE)).exp()
        return log_weight

    def _moved(self, now: _Point, t: float, step: Tensor) -> tuple[_Point, Tensor]:
        """One Hamiltonian move that leaves p(z) p(x | z)^t as it is, and the probability that it was accepted."""
        momentum = normal_like(now.z[:, :1]).expand_as(now.z)
        luck, jitter = uniform(2, self.n_chains, 1, like=now.z)
        length = self._wide(step * (1 + JITTER * (2 * jitter - 1)))
        there, end = now, momentum + length / 2 * now.slope(t)
        for i in range(self.plan.n_leapfrog):
            there = self._at(there.z + length * end)
            last = i == self.plan.n_leapfrog - 1
            end = end + (length / 2 if last else length) * there.slope(t)
        gain = there.log_density(t) - now.log_density(t) - _kinetic(end) + _kinetic(momentum)
        acceptance = gain.nan_to_num(nan=-math.inf).clamp_max(0).exp()
        taken = luck < acceptance
        kept = [torch.where(_like(taken, new), new, old) for new, old in zip(there, now, strict=True)]
        return _Point(*kept), acceptance

    def _at(self, z: Tensor) -> _Point:
        codes = z.detach().flatten(0, 1).requires_grad_()
        log_prior = self.model.log_prior(codes)
        log_likelihood = self.model.log_likelihood(self.x, codes, self.condition)
        (prior_slope,) = torch.autograd.grad(log_prior.sum(), codes)
        (likelihood_slope,) = torch.autograd.grad(log_likelihood.sum(), codes)
        found = (codes, log_prior, log_likelihood, prior_slope, likelihood_slope)
        return _Point(*(each.detach().unflatten(0, z.shape[:2]) for each in found))

    def _wide(self, step: Tensor) -> Tensor:
        return step.view(self.n_chains, self.n_rows, *[1] * len(self.model.z_shape))


def _kinetic(momentum: Tensor) -> Tensor:
    return 0.5 * momentum.square().flatten(2).sum(2)


def _like(taken: Tensor, values: Tensor) -> Tensor:
    return taken.view(*taken.shape, *[1] * (values.ndim - taken.ndim))
