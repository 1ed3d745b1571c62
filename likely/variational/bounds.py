"""Bounds: what a model with codes raises in training, in place of the log p(x) that it cannot compute."""

import abc
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from likely.contract import Objective
from likely.variational.posteriors import Diagonal, DiagonalNormal, GaussianPosterior, Posterior


class OneDraw(NamedTuple):
    """One code for each row: z (batch, z_size), distortion (batch,) and rates (batch, parts), in nats."""

    z: Tensor
    distortion: Tensor
    rates: Tensor


class ManyDraws(NamedTuple):
    """Codes for each row: z (k, batch, z_size); log p(x | z) and log q(z | x) - log p(z), each (k, batch), nats."""

    z: Tensor
    log_likelihood: Tensor
    log_ratio: Tensor


class Inference(abc.ABC):
    """What a bound may ask a model about some rows."""

    @abc.abstractmethod
    def draw_one(self) -> OneDraw:
        """A code for each row; the rates by formula where there is one, else log q - log p at the draw."""

    @abc.abstractmethod
    def draw_many(self, n: int, *, path_only: bool) -> ManyDraws:
        """n codes for each row.

        Args:
            n: how many.
            path_only: whether the gradient reaches the posterior only by way of z, and not by log q itself.
        """

    @abc.abstractmethod
    def total_correlation(self, z: Tensor) -> Tensor:
        """How far the values of z are from independent over all rows: a scalar, nats."""


class WarmUp(abc.ABC):
    """How the weight of the rate grows from 0 to 1 with the steps of training. Subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def weight(self, step: Tensor) -> Tensor:
        """The weight at a step, both scalars: on the device, so that no step waits for it."""


@dataclass(frozen=True)
class LinearWarmUp(WarmUp):
    """From 0 to 1 in `steps` steps of training, and 1 from there.

    Reference: Generating Sentences from a Continuous Space (Bowman et al., 2016), arXiv:1511.06349
    """

    steps: int = 2000

    def __post_init__(self) -> None:
        _check_positive(self, steps=self.steps)

    def weight(self, step: Tensor) -> Tensor:
        """As `WarmUp.weight`."""
        return (step / self.steps).clamp_max(1.0)


@dataclass(frozen=True)
class CyclicalWarmUp(WarmUp):
    """From 0 to 1 again and again: `cycles` times, each `period` steps long, of which `rising` is the share that rises.

    Reference: Cyclical Annealing Schedule (Fu et al., 2019), arXiv:1903.10145, equation 6
    """

    period: int = 2000
    cycles: int = 4
    rising: float = 0.5

    def __post_init__(self) -> None:
        _check_positive(self, period=self.period, cycles=self.cycles, rising=self.rising)
        if self.rising > 1:
            raise ValueError(f"CyclicalWarmUp: rising is a share of a cycle, at most 1, got {self.rising}")

    def weight(self, step: Tensor) -> Tensor:
        """As `WarmUp.weight`."""
        place = (step % self.period) / (self.rising * self.period)
        return torch.where(step < self.cycles * self.period, place.clamp_max(1.0), torch.ones_like(place))


class BoundObjective(nn.Module, abc.ABC):
    """A bound with its weight on the rate, and where its warm-up stands."""

    def __init__(self, beta: float, warm_up: WarmUp | None) -> None:
        super().__init__()
        self.beta, self.warm_up = beta, warm_up
        if warm_up is not None:
            self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def rate_weight(self) -> Tensor | float:
        """Of this step. What is held out is judged by the whole rate, or the first steps would seem the best."""
        if self.warm_up is None or not self.training:
            return self.beta
        return self.beta * self.warm_up.weight(self.get_buffer("step"))

    def after_step(self) -> None:
        """Counts a step of training."""
        if self.warm_up is not None:
            self.get_buffer("step").add_(1)

    @abc.abstractmethod
    def forward(self, inference: Inference) -> Objective:
        """The objective of each row."""


class Bound(abc.ABC):
    """What is raised in training. Its subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def build(self, beta: float, posterior: Posterior | None) -> BoundObjective:
        """The module, for a rate that weighs `beta`.

        Args:
            beta: weight of the rate.
            posterior: that is drawn from; None for one of several layers.

        Raises:
            ValueError: if they do not go together; names what does.
        """


@dataclass(frozen=True)
class ELBO(Bound):
    """E_q[log p(x | z)] - KL(q(z | x) || p(z)), by one draw a row and step.

    Warm-up and free bits are ways of training: on rows held out, and in every answer, the bound is as it is.

    Attributes:
        warm_up: how the weight of the rate grows; None weighs it in full from the first step.
        free_bits: nats that each part of the code may cost in mean before it is pressed down: keeps parts alive.
        total_correlation: weight of the total correlation of the code, which asks its values to be independent
            of each other; nats per nat. Estimated over the rows of a batch and added to each of them alike.

    Reference: for free bits, Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016),
        arXiv:1606.04934, equation 15; for total correlation, Isolating Sources of Disentanglement in Variational
        Autoencoders (Chen et al., 2018), arXiv:1802.04942, with the rows of the batch as all rows
    """

    warm_up: WarmUp | None = None
    free_bits: float = 0.0
    total_correlation: float = 0.0

    def __post_init__(self) -> None:
        if self.free_bits < 0 or self.total_correlation < 0:
            raise ValueError(
                f"ELBO: free_bits and total_correlation must not be negative, got {self.free_bits} and "
                f"{self.total_correlation}"
            )

    def build(self, beta: float, posterior: Posterior | None) -> BoundObjective:
        """As `Bound.build`; the total correlation needs a diagonal posterior."""
        if self.total_correlation and not isinstance(posterior, DiagonalNormal):
            raise ValueError(
                "ELBO: total_correlation compares values of the code one by one, which takes a single layer of them "
                "and posterior=DiagonalNormal()"
            )
        return _ELBOObjective(self, beta)


class _ELBOObjective(BoundObjective):
    def __init__(self, part: ELBO, beta: float) -> None:
        super().__init__(beta, part.warm_up)
        self.part = part

    def forward(self, inference: Inference) -> Objective:
        z, distortion, rates = inference.draw_one()
        rate, weight = rates.sum(1), self.rate_weight()
        terms = {"distortion": distortion, "rate": rate}
        total = distortion + weight * rate
        if self.part.free_bits and self.training:
            # Where the mean is below the allowance, rate and allowance add up to a constant: no gradient presses.
            unused = (self.part.free_bits - rates.mean(0)).clamp_min(0).sum()
            terms["free_bits"] = unused.expand_as(rate)
            total = total + weight * terms["free_bits"]
        if self.part.total_correlation:
            terms["total_correlation"] = inference.total_correlation(z).expand_as(rate)
            total = total + self.part.total_correlation * terms["total_correlation"]
        return Objective(total, terms)


@dataclass(frozen=True)
class ImportanceWeighted(Bound):
    """log of the mean of k importance weights p(x, z) / q(z | x): tighter than the ELBO, the more the larger k.

    Attributes:
        n_samples: k, draws a row and step.
        warm_up: how the weight of the rate grows; None weighs it in full from the first step.
        doubly_reparameterized: whether the encoder learns by the doubly reparameterized gradient, which does not
            fade as k grows; None where the posterior's density has a formula, which it takes.

    Reference: Importance Weighted Autoencoders (Burda et al., 2016), arXiv:1509.00519; the gradient: Doubly
        Reparameterized Gradient Estimators for Monte Carlo Objectives (Tucker et al., 2019), arXiv:1810.04152
    """

    n_samples: int = 5
    warm_up: WarmUp | None = None
    doubly_reparameterized: bool | None = None

    def __post_init__(self) -> None:
        _check_positive(self, n_samples=self.n_samples)

    def build(self, beta: float, posterior: Posterior | None) -> BoundObjective:
        """As `Bound.build`."""
        has_formula = isinstance(posterior, GaussianPosterior)
        if self.doubly_reparameterized and not has_formula:
            raise ValueError(
                "ImportanceWeighted: doubly_reparameterized takes a posterior whose density has a formula, such as "
                "DiagonalNormal or FullNormal over a single layer of codes; leave it out"
            )
        twice = has_formula if self.doubly_reparameterized is None else self.doubly_reparameterized
        return _ImportanceWeightedObjective(self, beta, twice)


class _ImportanceWeightedObjective(BoundObjective):
    def __init__(self, part: ImportanceWeighted, beta: float, twice: bool) -> None:
        super().__init__(beta, part.warm_up)
        self.part, self.twice = part, twice

    def forward(self, inference: Inference) -> Objective:
        twice = self.twice and torch.is_grad_enabled()
        z, log_likelihood, log_ratio = inference.draw_many(self.part.n_samples, path_only=twice)
        rate_weight = self.rate_weight()
        log_weight = log_likelihood - rate_weight * log_ratio
        total = math.log(self.part.n_samples) - log_weight.logsumexp(0)
        if twice:
            total = _doubly_reparameterized(total, log_weight, z, rate_weight)
        distortion, rate = -log_likelihood.mean(0), log_ratio.mean(0)
        # What k draws gain over one: the addends are those of the bound by one draw.
        gain = total - distortion - rate
        return Objective(total, {"distortion": distortion, "rate": rate, "importance_weighting": gain})


def _doubly_reparameterized(total: Tensor, log_weight: Tensor, z: Tensor, rate_weight: Tensor | float) -> Tensor:
    """The same numbers, whose gradient weighs each draw by w, and on its way through z by w once more (equation 8).

    What log q gives by itself is minus (1 - w) of what comes through z in mean; where the rate does not weigh 1, as
    much less or more of it.
    """
    share = log_weight.detach().softmax(0)
    if z.requires_grad:
        again = (1 - rate_weight * (1 - share)).unsqueeze(-1)
        z.register_hook(lambda gradient: gradient * again)
    surrogate = -(share * log_weight).sum(0)
    return total.detach() + surrogate - surrogate.detach()


def total_correlation(belief: Diagonal, z: Tensor) -> Tensor:
    """KL(q(z) || prod_j q(z_j)), a scalar in nats, where q(z) is the mean of q(z | x) over the rows of a batch.

    Args:
        belief: of the batch.
        z: (batch, z_size), a draw of each row.
    """
    each = belief.log_prob_each(z.unsqueeze(1))  # (draw, row, z_size)
    log_n = math.log(len(z))
    joint = each.sum(2).logsumexp(1) - log_n
    return (joint - (each.logsumexp(1) - log_n).sum(1)).mean()


def _check_positive(part: WarmUp | Bound, **numbers: float) -> None:
    for name, number in numbers.items():
        if not number > 0:
            raise ValueError(f"{type(part).__name__}: {name} must be positive, got {number}")
