"""Posteriors fitted row by row: an encoder is no judge of rows that lack what it always saw."""

from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Independent

from likely import rng
from likely.contract import Belief, Shape, repeated
from likely.likelihoods import observed_log_prob, split_missing
from likely.variational.posteriors import LOG_SCALE_RANGE, Full

N_STEPS = 100
STEP_SIZE = 0.1
"""Of Adam, in the units of the code; it falls to zero."""

EPSILON = 1e-3
"""Nats per unit of the code: slopes far below move nothing, so that rounding does not grow into another answer."""

N_START = 64
"""Draws that tell where the encoder's posterior lies, and how wide it is."""


class Imputer(Protocol):
    """A model with codes, as far as imputation needs it; shapes as in `likely.contract.LatentDensity`."""

    z_shape: Shape

    def infer(self, x: Tensor, condition: Tensor | None = None) -> Belief: ...

    def log_prior(self, z: Tensor) -> Tensor: ...

    def observe(self, z: Tensor, condition: Tensor | None = None) -> Independent: ...


class ObservedRows:
    """Rows of which some values are missing, and how well codes explain the others.

    Args:
        model: fitted.
        y: (batch, *x_shape), NaN where something is missing.
        condition: (batch, *condition_shape), or None.
    """

    def __init__(self, model: Imputer, y: Tensor, condition: Tensor | None) -> None:
        self.model, self.y, self.condition = model, y, condition
        self.x, self.present = split_missing(y)

    def explained(self, z: Tensor) -> tuple[Tensor, Independent]:
        """log p(x_observed, z) of codes z (k, batch, *z_shape): (k, batch), nats; and p(x | z) of all k * batch."""
        k, codes = len(z), z.flatten(0, 1)
        observation = self.model.observe(codes, repeated(self.condition, k))
        log_likelihood = observed_log_prob(observation, repeated(self.x, k), repeated(self.present, k))
        return (log_likelihood + self.model.log_prior(codes)).view(k, -1), observation


def refined(model: Imputer, y: Tensor, condition: Tensor | None = None) -> Full:
    """For each row, a normal near p(z | what is there): where much is missing, values of the code depend on each other.

    From where the encoder sees it, the bound of the row on what is there is raised step by step. All rows share the
    noise and none moves another's normal; the same rows have the same answer.

    Args:
        model: fitted.
        y: (batch, *x_shape), NaN where something is missing.
        condition: (batch, *condition_shape), or None.

    Returns:
        The normals, over codes (batch, z_size); their covariances are whole.

    Reference: Semi-Amortized Variational Autoencoders (Kim et al., 2018), arXiv:1802.02550, section 3
    """
    # Answers are given under inference mode, whose tensors know no gradients.
    with torch.inference_mode(False), torch.enable_grad(), rng.stream("refinement"):
        rows = ObservedRows(model, y.clone(), None if condition is None else condition.clone())
        numbers = [value.requires_grad_() for value in _start(rows)]
        optimizer = torch.optim.Adam(numbers, lr=STEP_SIZE, betas=(0.9, 0.95), eps=EPSILON)
        for step in range(N_STEPS):
            optimizer.param_groups[0]["lr"] = STEP_SIZE * (1 - step / N_STEPS)
            loss = -_bound(rows, _normal(*numbers)).sum()
            for value, slope in zip(numbers, torch.autograd.grad(loss, numbers), strict=True):
                value.grad = slope.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)  # far out a decoder may overflow
            optimizer.step()
        return _normal(*numbers).detached()


def _start(rows: ObservedRows) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and log standard deviation of the encoder's posterior, each (batch, z_size), and nothing between values."""
    with torch.no_grad():
        noise = _noise(rows, N_START)
        z, _ = rows.model.infer(rows.y, rows.condition).draw(noise - noise.mean(0))
        loc, log_scale = z.mean(0), z.std(0).log().clamp(*LOG_SCALE_RANGE)
        return loc, log_scale, loc.new_zeros(*loc.shape, loc.shape[1])


def _normal(loc: Tensor, log_scale: Tensor, between: Tensor) -> Full:
    scale = log_scale.clamp(*LOG_SCALE_RANGE).exp()
    return Full(loc, torch.diag_embed(scale) + scale.unsqueeze(2) * between.tril(-1))


def _bound(rows: ObservedRows, belief: Full) -> Tensor:
    """The bound of each row by one draw and its mirror image, whose errors of first order cancel: (batch,)."""
    noise = _noise(rows, 1)
    z, log_q = belief.draw(torch.cat([noise, -noise]))
    return (rows.explained(z)[0] - log_q).mean(0)


def _noise(rows: ObservedRows, n: int) -> Tensor:
    return rng.normal(n, 1, *rows.model.z_shape, like=rows.y)
