"""Posteriors fitted row by row: an encoder sees no covariance, and is no judge of rows that lack what it always saw."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor
from torch.distributions import Independent

from likely import rng
from likely.contract import MAX_ROWS_AT_ONCE, Belief, Shape, repeated
from likely.likelihoods import observed_log_prob, split_missing
from likely.variational.posteriors import LOG_SCALE_RANGE, Full

N_STEPS = 50
RATE = 0.3
"""Of a step along the natural gradient; it falls to zero. 1 would go all the way where the posterior is normal."""

N_DRAWS = 16
"""Codes that a step looks at; half of them are mirror images of the others."""

MAX_CHANGE, MAX_MOVE = 2.0, 10.0
"""What a step changes of a row at most: of the precision, relative to what it is, and of the mean, in standard
deviations. Far from the posterior slopes are steep, and say little."""

STEEPEST = 1e9
"""Slopes of log p(x, z), nats per unit of the code, whose squares are still numbers."""

N_START = 64
"""Draws that tell where the encoder's posterior lies, and how wide it is."""

LogJoint = Callable[[Tensor], Tensor]
"""log p(x, z) of codes z (k, batch, z_size): (k, batch), nats."""


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

    Args:
        model: fitted.
        y: (batch, *x_shape), NaN where something is missing.
        condition: (batch, *condition_shape), or None.

    Returns:
        The normals, over codes (batch, z_size); their covariances are whole.

    Reference: as `nearest_normal`
    """
    # Answers are given under inference mode, whose tensors know no gradients.
    with torch.inference_mode(False), torch.enable_grad(), rng.stream("refinement"):
        rows = ObservedRows(model, y.clone(), None if condition is None else condition.clone())
        start = moments(model.infer(rows.y, rows.condition), rng.normal(N_START, 1, *model.z_shape, like=y))
        return nearest_normal(lambda z: rows.explained(z)[0], start)


@torch.no_grad()
def moments(belief: Belief, noise: Tensor) -> Full:
    """The normal of independent values with the mean and the spread of a belief: noise (k, 1, *z_shape)."""
    z = belief.draw(noise - noise.mean(0))[0].flatten(2)
    return Full(z.mean(0), torch.diag_embed(z.std(0).log().clamp(*LOG_SCALE_RANGE).exp()))


def nearest_normal(log_joint: LogJoint, start: Full) -> Full:
    """For each row, the normal q(z) of the highest bound E_q[log p(x, z) - log q(z)], its covariance whole.

    By natural gradients, which take few steps: with slopes g of log p(x, z) - log q(z) at draws z = mean + L e, in
    units of q itself, the precision L^-T (I + A) L^-1 has the step A = -E[g e^T], and the mean L E[g]. No noise is left
    where q is the posterior, as all slopes are zero there; a factor of I + A + A A / 2 in place of I + A stays positive
    definite whatever A is. All rows share the noise and none moves another's normal; the same rows have the same
    answer. A gradient is asked for, of z alone.

    Args:
        log_joint: of the rows.
        start: (batch, z_size).

    Returns:
        The normals, over codes (batch, z_size), without gradients.

    Reference: Sticking the Landing (Roeder et al., 2017), arXiv:1703.09194; Handling the Positive-Definite
        Constraint in the Bayesian Learning Rule (Lin et al., 2020), arXiv:2002.10060; row by row as in
        Semi-Amortized Variational Autoencoders (Kim et al., 2018), arXiv:1802.02550
    """
    loc, triangle = start.loc.detach(), start.triangle.detach()
    for step in range(N_STEPS):
        half = rng.normal(N_DRAWS // 2, 1, *loc.shape[1:], like=loc)
        move, change = _slopes(log_joint, loc, triangle, torch.cat([half, -half]))
        # A step that would change much is cut short, for mean and precision alike.
        rate = (MAX_CHANGE / change.flatten(1).norm(dim=1)).clamp_max(RATE * (1 - step / N_STEPS)).view(-1, 1, 1)
        factor = _factor_of_inverse(rate * change)
        along = rate * (factor @ (factor.mT @ move.unsqueeze(2)))
        along = along * (MAX_MOVE / along.norm(dim=1, keepdim=True)).clamp_max(1)
        loc, triangle = loc + (triangle @ along).squeeze(2), triangle @ factor
    return Full(loc, triangle)


def _slopes(log_joint: LogJoint, loc: Tensor, triangle: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """E[g] (batch, z_size) and -E[g e^T], made symmetric, (batch, z_size, z_size): see `nearest_normal`."""
    k, size = len(noise), max(1, MAX_ROWS_AT_ONCE // len(loc))
    move, change = torch.zeros_like(loc), torch.zeros_like(triangle)
    for e in noise.split(size):
        z = (loc + (triangle @ e.permute(1, 2, 0)).permute(2, 0, 1)).requires_grad_()
        (slope,) = torch.autograd.grad(log_joint(z).sum(), z)
        # Far out a decoder may overflow.
        slope = slope.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0).clamp(-STEEPEST, STEEPEST)
        g = torch.einsum("kbi,bij->kbj", slope, triangle) + e  # that of -log q(z) is e, in units of q
        move += g.sum(0) / k
        change -= torch.einsum("kbi,kbj->bij", g, e.expand_as(g)) / k
    return move, (change + change.mT) / 2


def _factor_of_inverse(a: Tensor) -> Tensor:
    """Lower triangular T with T T^T the inverse of I + a + a a / 2: (batch, n, n)."""
    eye = torch.eye(a.shape[1], dtype=a.dtype, device=a.device)
    # The Cholesky factor from the last value to the first is upper triangular, and its inverse transposed is T.
    upper = torch.linalg.cholesky((eye + a + a @ a / 2).flip(1, 2)).flip(1, 2)
    return torch.linalg.solve_triangular(upper.mT, eye.expand_as(a), upper=False)
