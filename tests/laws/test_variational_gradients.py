"""Gradient estimators of the bounds: unbiased, against closed forms, quadrature and long averages, and not fading."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from likely.likelihoods import Bernoulli, Gaussian
from likely.models import VAE
from likely.networks import MLP
from likely.variational import (
    ELBO,
    DiagonalNormal,
    FullNormal,
    ImportanceWeighted,
    InverseAutoregressive,
    LinearWarmUp,
    NormalMixture,
    StandardNormal,
    VampPrior,
)
from tests.laws.test_densities import grid
from tests.laws.test_variational import shaken

SCALE = 0.5
N_GROUPS, GROUP = 150, 400
"""Averages are of N_GROUPS times GROUP draws; the groups say how far off each average is."""


def little(prior=None, posterior=None, *, scale=0.5, **arguments) -> VAE:
    """Three bits, a code of two."""
    model = VAE(
        (3,), 2, network=MLP((4,), "tanh"), likelihood=Bernoulli(), prior=prior, posterior=posterior, **arguments
    )
    return shaken(model.double(), scale)


def like(model: VAE, **arguments) -> VAE:
    """With the same weights, and another bound."""
    other = VAE(**{**model.config(), **arguments}).double()
    other.load_state_dict(
        {name: value for name, value in model.state_dict().items() if name != "objective.step"}, False
    )
    return other


def gradients(model: VAE, x: Tensor, n_groups: int = N_GROUPS, group: int = GROUP) -> Tensor:
    """Of the mean objective of one row, drawn GROUP times: (N_GROUPS, parameters)."""
    rows = x.expand(group, -1)
    parameters = list(model.parameters())
    found = []
    for _ in range(n_groups):
        each = torch.autograd.grad(model(rows).total.mean(), parameters)
        found.append(torch.cat([gradient.flatten() for gradient in each]))
    return torch.stack(found)


def z_scores(found: Tensor, other: Tensor) -> Tensor:
    """Of the differences of the means of two sets of gradients, or of one and a vector that is exact."""
    variance = found.var(0) / len(found)
    if other.ndim == 2:
        variance = variance + other.var(0) / len(other)
        other = other.mean(0)
    return (found.mean(0) - other) / variance.sqrt().clamp_min(1e-12)


ROW = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("prior", "posterior", "beta", "warm_up"),
    [
        (StandardNormal(), DiagonalNormal(), 1.0, None),
        (StandardNormal(), FullNormal(), 1.0, None),
        (NormalMixture(2), DiagonalNormal(), 1.0, None),
        (VampPrior(2), DiagonalNormal(), 1.0, None),
        (StandardNormal(), DiagonalNormal(), 2.5, None),
        (StandardNormal(), DiagonalNormal(), 1.0, LinearWarmUp(10)),
    ],
)
def test_the_doubly_reparameterized_gradient_is_the_plain_one_in_mean(prior, posterior, beta, warm_up):
    """For each parameter of encoder, decoder and prior; whatever the rate weighs."""
    plain = little(prior, posterior, beta=beta, bound=ImportanceWeighted(4, warm_up, doubly_reparameterized=False))
    doubly = like(plain, bound=ImportanceWeighted(4, warm_up, doubly_reparameterized=True))
    for model in (plain, doubly):
        model.train()
        for _ in range(3):
            model.after_step()
    first, second = gradients(plain, ROW), gradients(doubly, ROW)
    assert z_scores(first, second).abs().max() < 5
    # The test can tell: both averages are sharp beside the gradient they are of.
    error = (first.var(0) / len(first)).sqrt().norm() + (second.var(0) / len(second)).sqrt().norm()
    assert error < 0.1 * first.mean(0).norm()


def test_both_give_the_same_objective():
    plain = little(bound=ImportanceWeighted(4, doubly_reparameterized=False))
    doubly = like(plain, bound=ImportanceWeighted(4))
    assert doubly.objective.twice
    totals = []
    for model in (plain, doubly):
        torch.manual_seed(3)
        totals.append(model(ROW.expand(20, -1)).total)
    assert torch.allclose(*totals, rtol=1e-12)


def linear(posterior, bound=None, **arguments) -> VAE:
    """x = W z + b and noise: everything about it has a formula."""
    network = MLP(())
    likelihood = Gaussian(scale=SCALE)
    model = VAE((3,), 2, network=network, likelihood=likelihood, posterior=posterior, bound=bound, **arguments)
    return shaken(model.double(), 0.3)


REAL = torch.tensor([[0.7, -0.4, 1.1]], dtype=torch.float64)


@pytest.mark.parametrize("beta", [1.0, 3.0])
@pytest.mark.parametrize("posterior", [DiagonalNormal(), FullNormal()])
def test_the_gradient_of_the_bound_is_that_of_its_closed_form(posterior, beta):
    """E_q log p(x | z) of a linear decoder = log N(x; W m + b, s^2) - tr(W S W^T) / (2 s^2)."""
    model = linear(posterior, beta=beta).train()
    decoder, belief = model.codec.decoder[-1], model.infer(REAL)
    w, b = decoder.weight, decoder.bias
    triangle = belief.triangle if isinstance(posterior, FullNormal) else torch.diag_embed(belief.scale)
    at_mean = torch.distributions.Normal(belief.loc @ w.T + b, SCALE).log_prob(REAL).sum()
    expected_log_px = at_mean - (w @ triangle[0]).square().sum() / (2 * SCALE**2)
    q = MultivariateNormal(belief.loc, scale_tril=triangle)
    p = MultivariateNormal(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
    objective = -expected_log_px + beta * torch.distributions.kl_divergence(q, p).sum()
    exact = torch.cat([g.flatten() for g in torch.autograd.grad(objective, list(model.parameters()))])
    found = gradients(model, REAL)
    assert z_scores(found, exact).abs().max() < 5
    assert (found.var(0) / len(found)).sqrt().norm() < 0.02 * exact.norm()


def test_the_gradient_of_an_autoregressive_posterior_is_that_of_quadrature():
    """Integral of q (log p(x, z) - log q) over a grid, q(z) from the inverse of the transformations."""
    model = little(posterior=InverseAutoregressive(2, (5,), context_size=3), scale=0.3).train()
    z, _ = grid(401, 20.0)
    belief = model._infer(ROW, None)
    start, log_det = belief.bijection.inverse(z, belief.context.expand(len(z), -1))
    log_q = belief.base.log_prob(start.unsqueeze(1)).squeeze(1) + log_det
    weight = log_q.exp() * (40 / 400) ** 2
    assert weight.sum().item() == pytest.approx(1, abs=1e-5)
    log_joint = model.log_likelihood(ROW.expand(len(z), -1), z) + model.log_prior(z)
    objective = (weight * (log_q - log_joint)).sum()
    parameters = list(model.parameters())
    exact = torch.cat([g.flatten() for g in torch.autograd.grad(objective, parameters)])
    found = gradients(model, ROW)
    moved = exact.abs() > 1e-9  # the first value of an autoregression has no inputs, and weights that nothing reaches
    assert moved.float().mean() > 0.8
    assert z_scores(found, exact)[moved].abs().max() < 5
    assert not found[:, ~moved].abs().max() > 1e-9
    assert (found.var(0) / len(found)).sqrt().norm() < 0.05 * exact.norm()


@torch.no_grad()
def test_with_one_sample_the_importance_weighted_objective_is_the_elbo_in_mean():
    model = little()
    rows = ROW.expand(40_000, -1)
    elbo, weighted = model(rows).total, like(model, bound=ImportanceWeighted(1))(rows).total
    error = math.sqrt((elbo.var() + weighted.var()) / len(rows))
    assert abs(elbo.mean() - weighted.mean()) < 4 * error
    assert error < 0.02 * elbo.mean()


@torch.no_grad()
def test_objectives_of_a_linear_gaussian_model_come_closer_to_log_p_with_k():
    """ELBO <= IWAE_k <= log p, rising in k, of what training lowers; all equal where the posterior is exact."""
    model = exact()
    w, b = model.codec.decoder[-1].weight, model.codec.decoder[-1].bias
    log_p = MultivariateNormal(b, w @ w.T + SCALE**2 * torch.eye(3)).log_prob(REAL).item()
    bounds = [ELBO(), *(ImportanceWeighted(k) for k in (3, 10, 300))]
    rows = REAL.expand(3000, -1)

    def mean(bound) -> tuple[float, float]:
        draws = -like(off, bound=bound)(rows).total
        return draws.mean().item(), draws.std().item() / math.sqrt(len(rows))

    for bound in bounds[1:]:
        assert torch.allclose(-like(model, bound=bound)(rows).total, torch.full((3000,), log_p).double())
    elbo = -model(rows).total  # whose rate is by formula: exact in mean
    assert abs(elbo.mean() - log_p) < 4 * elbo.std() / math.sqrt(len(rows))
    off = mistaken(model)
    found = [mean(bound) for bound in bounds]
    for (below, first), (above, second) in zip(found, [*found[1:], (log_p, 0.0)], strict=True):
        assert below < above + 4 * math.hypot(first, second)
    assert found[0][0] + 0.1 < found[1][0] + 0.05 < found[2][0] < found[3][0]
    assert abs(found[3][0] - log_p) < 0.02


def test_the_doubly_reparameterized_gradient_does_not_fade_with_k():
    """Signal over noise of the encoder's gradient falls as 1 / sqrt(k) in the plain one, and rises as sqrt(k) here.

    Reference: Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018), arXiv:1802.04537
    """
    model = mistaken(exact())
    head = model.codec.head
    size = head.weight.numel() + head.bias.numel()
    assert [name for name, _ in model.named_parameters()][:2] == ["codec.head.weight", "codec.head.bias"]

    def signal(k: int, twice: bool) -> float:
        bound = ImportanceWeighted(k, doubly_reparameterized=twice)
        found = gradients(like(model, bound=bound), REAL, 400, 32)[:, :size]
        return (found.mean(0).square().sum() / found.var(0).sum()).sqrt().item()

    assert signal(64, False) < 0.5 * signal(4, False)
    assert signal(64, True) > 1.4 * signal(4, True)


@torch.no_grad()
def mistaken(model: VAE) -> VAE:
    """With a posterior that is a little off."""
    model.codec.head.bias += torch.tensor([0.4, -0.3, 0.3, 0.4, 0.5])
    return model


@torch.no_grad()
def exact() -> VAE:
    """A linear model, whose posterior is the exact one."""
    model = linear(FullNormal())
    model.codec.decoder[-1].weight.copy_(torch.tensor([[1.0, 0.5], [-0.4, 0.8], [0.3, -0.6]]))
    model.codec.decoder[-1].bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
    w, b = model.codec.decoder[-1].weight, model.codec.decoder[-1].bias
    covariance = torch.linalg.inv(w.T @ w / SCALE**2 + torch.eye(2))
    triangle = torch.linalg.cholesky(covariance)
    head: nn.Linear = model.codec.head
    head.weight.zero_()
    head.weight[:2] = covariance @ w.T / SCALE**2
    head.bias[:2] = -head.weight[:2] @ b
    head.bias[2:4] = triangle.diagonal().log()
    head.bias[4] = triangle[1, 0] / triangle[1, 1]  # relative to the row's scale
    return model
