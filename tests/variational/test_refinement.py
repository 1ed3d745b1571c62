"""Normals fitted row by row, against posteriors that are normal and known."""

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from likely.variational import refinement
from likely.variational.posteriors import Full
from likely.variational.refinement import nearest_normal

SIZE = 5


def targets(n: int = 6, seed: int = 0) -> MultivariateNormal:
    """One a row: from narrow to wide, each with values that depend on each other."""
    g = torch.Generator().manual_seed(seed)
    root = torch.randn(n, SIZE, SIZE, generator=g, dtype=torch.float64) / SIZE**0.5
    scale = torch.logspace(-2, 0.5, n, dtype=torch.float64).view(-1, 1, 1)
    covariance = scale.square() * (root @ root.mT + 0.3 * torch.eye(SIZE, dtype=torch.float64))
    return MultivariateNormal(torch.randn(n, SIZE, generator=g, dtype=torch.float64), covariance)


def near(target: MultivariateNormal, away: float, width: float) -> Full:
    """A start of independent values: so many standard deviations away, and so many times as wide as it should be."""
    scale = target.variance.sqrt()
    return Full(target.mean + away * scale, torch.diag_embed(width * scale))


def fitted(target: MultivariateNormal, start: Full, seed: int = 0) -> MultivariateNormal:
    with torch.enable_grad():
        found = nearest_normal(target.log_prob, start, torch.Generator().manual_seed(seed))
    assert not found.loc.requires_grad
    return MultivariateNormal(found.loc, scale_tril=found.triangle)


@pytest.mark.parametrize(
    ("away", "width"), [(0.0, 1.0), (3.0, 0.3), (-2.0, 4.0), (20.0, 1.0), (0.0, 30.0), (10.0, 5.0)]
)
def test_a_normal_posterior_is_found_whatever_its_width(away, width):
    target = targets()
    start = near(target, away, width)
    found = fitted(target, start)
    before = kl_divergence(MultivariateNormal(start.loc, scale_tril=start.triangle), target)
    assert (kl_divergence(found, target) < 0.02).all()
    assert before.min() > 0.2


def test_a_row_moves_no_other():
    target = targets()
    start = near(target, 2.0, 0.5)
    alone = fitted(target, start)
    steep = MultivariateNormal(target.mean, scale_tril=target.scale_tril.clone())
    steep._unbroadcasted_scale_tril[0] *= 1e-4
    beside = fitted(steep, start)
    torch.testing.assert_close(beside.mean[1:], alone.mean[1:])
    torch.testing.assert_close(beside.scale_tril[1:], alone.scale_tril[1:])


def test_slopes_that_are_no_numbers_move_nothing():
    """A decoder that overflows on one side, and has slopes beyond all measure on the other."""
    target, most = targets(), torch.tensor(1e300, dtype=torch.float64)

    def log_joint(z: Tensor) -> Tensor:
        wild = torch.where(z[:, :2, 0] > target.mean[:2, 0], math.nan, most) * z[:, :2].sum(2)
        return torch.cat([wild, target.log_prob(z)[:, 2:]], 1)

    with torch.enable_grad():
        found = nearest_normal(log_joint, near(target, 1.0, 0.5), torch.Generator().manual_seed(0))
    assert found.loc.isfinite().all()
    assert found.triangle.isfinite().all()
    assert (found.triangle.diagonal(dim1=1, dim2=2) > 0).all()
    rest = MultivariateNormal(found.loc[2:], scale_tril=found.triangle[2:])
    assert (kl_divergence(rest, MultivariateNormal(target.mean[2:], target.covariance_matrix[2:])) < 0.02).all()


def test_memory_is_bounded_and_pieces_change_nothing(monkeypatch):
    target, seen = targets(), []
    start = near(target, 2.0, 0.5)
    whole = fitted(target, start)
    monkeypatch.setattr(refinement, "MAX_ROWS_AT_ONCE", 20)

    def log_joint(z: Tensor) -> Tensor:
        seen.append(z.shape[0] * z.shape[1])
        return target.log_prob(z)

    with torch.enable_grad():
        found = nearest_normal(log_joint, start, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found.loc, whole.mean)
    assert max(seen) <= 20
