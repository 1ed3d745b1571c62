"""The constant that an energy lacks: by annealed importance sampling, or by a sum over all states."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from likely.contract import AnnealedEnergy, AnnealingPath
from likely.rng import stream, torch_draws
from likely.tasks.importance import estimated

KNOTS = ((0.0, 0.0), (0.035, 0.5), (0.31, 0.9), (1.0, 1.0))
"""Which share of all steps leads up to which temperature: most change is near the end.

Reference: On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov & Murray, 2008), section 6
"""


@dataclass(frozen=True)
class LogPartition:
    """log Z, as the logarithm of a mean of random weights whose expectation is Z, or exactly.

    In mean the estimate is too low, by about `error` squared / 2, and by much more where chains miss what few of them
    find: log-likelihoods that rest on it are in mean too high. The error says nothing of what no chain found.

    Attributes:
        value: log Z, nats.
        error: its standard error by the delta method, std of the weights / their mean / sqrt(n_chains), nats; 0 where
            it is exact.
        effective_samples: (sum of weights)^2 / sum of squared weights: of `n_chains` chains, as many as count; few mean
            that `error` is too small itself. 0 where it is exact.
        n_chains: how many were annealed; 0 where it is exact.
        n_temperatures: how many steps each went; 0 where it is exact.
    """

    value: float
    error: float
    effective_samples: float
    n_chains: int
    n_temperatures: int

    @property
    def exact(self) -> bool:
        """Whether all states were gone through."""
        return self.n_chains == 0

    @property
    def told(self) -> str:
        """How it was found and what that means for log-likelihoods, for whoever reads them."""
        if self.exact:
            return "an energy with its constant by a sum over all states of the hidden units"
        return (
            f"an energy with its constant estimated by annealed importance sampling ({self.n_chains} chains, "
            f"{self.n_temperatures:,} temperatures, log Z = {self.value:.2f} +- {self.error:.2f}, which is part of the "
            "error); the estimate is in mean too low, so that the log-likelihood is in mean too high"
        )


def temperatures(n: int) -> list[float]:
    """n + 1 temperatures from 0 to 1, in lines between `KNOTS`: ever closer together."""
    shares, heights = zip(*KNOTS, strict=True)
    return [float(t) for t in np.interp(np.linspace(0, 1, n + 1), shares, heights)]


@torch.no_grad()
def log_partition(
    model: AnnealedEnergy,
    *,
    n_temperatures: int = 10_000,
    n_chains: int = 100,
    ladder: Sequence[float] | None = None,
    enumerate_states: bool = True,
    seed: int = 0,
) -> LogPartition:
    """log Z of a model's energy.

    Args:
        model: in evaluation mode.
        n_temperatures: steps from the base distribution to the model's own.
        n_chains: independent ones, which the error bar comes from.
        ladder: the temperatures themselves, rising from 0 to 1, in place of `n_temperatures` of them.
        enumerate_states: False samples even where all states can be gone through.
        seed: of the chains.

    Returns:
        The estimate; exact where states are few.

    Raises:
        ValueError: if `n_temperatures` is smaller than 1, `n_chains` smaller than 2, or the ladder does not rise from
            0 to 1.

    Reference: Annealed importance sampling (Neal, 2001), arXiv:physics/9803008; On the Quantitative Analysis of Deep
        Belief Networks (Salakhutdinov & Murray, 2008)
    """
    path = model.annealing_path()
    exact = path.enumerated() if enumerate_states else None
    if exact is not None:
        return LogPartition(float(exact), 0.0, 0.0, 0, 0)
    if n_chains < 2:
        raise ValueError(f"n_chains must be at least 2 for an error bar, got {n_chains}")
    if n_temperatures < 1:
        raise ValueError(f"n_temperatures must be at least 1, got {n_temperatures}")
    steps = temperatures(n_temperatures) if ladder is None else list(ladder)
    if steps[0] != 0 or steps[-1] != 1 or any(high <= low for low, high in pairwise(steps)):
        raise ValueError(f"a ladder of temperatures must rise from 0 to 1, got {steps[:3]} ... {steps[-3:]}")
    with stream("partition", seed), torch_draws(model):
        log_weights = _annealed(path, n_chains, steps)
    estimate, _ = estimated(log_weights[:, None])
    value = float(path.log_partition) + float(estimate.log_prob)
    return LogPartition(value, float(estimate.error), float(estimate.effective_samples), n_chains, len(steps) - 1)


def _annealed(path: AnnealingPath, n: int, steps: Sequence[float]) -> Tensor:
    """log-weights of chains, (n,) float64."""
    states = path.draw(n)
    total = torch.zeros(n, dtype=torch.float64, device=states.device)
    for low, high in pairwise(steps):
        log_weight, states = path.advance(states, low, high)
        total += log_weight
    return total
