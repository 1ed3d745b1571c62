"""Posteriors and priors against formulas of their own, quadrature, change of variables, and their draws."""

import math

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal, kl_divergence

from likely.likelihoods import Bernoulli
from likely.models import VAE
from likely.networks import MLP
from likely.variational import (
    DiagonalNormal,
    FlowPrior,
    FullNormal,
    InverseAutoregressive,
    NormalMixture,
    StandardNormal,
    VampPrior,
)

N_ROWS = 6
GAUSSIANS = {"diagonal": DiagonalNormal(), "full": FullNormal()}
POSTERIORS = {**GAUSSIANS, "autoregressive": InverseAutoregressive(steps=3, hidden=(8,), context_size=4)}
PRIORS = {
    "standard": (StandardNormal(), DiagonalNormal()),
    "mixture": (NormalMixture(3), DiagonalNormal()),
    "vampprior": (VampPrior(4), DiagonalNormal()),
    "vampprior, full": (VampPrior(4), FullNormal()),
    "flow": (FlowPrior(layers=3, hidden=(8,)), DiagonalNormal()),
}
"""Each prior with a posterior that it goes with."""


def shaken(module: torch.nn.Module, scale: float = 0.3) -> torch.nn.Module:
    """With weights that are nothing special: many a mistake leaves zeros and ones as they are."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(scale * torch.randn_like(parameter))
    return module


def belief_of(posterior, z_size=3, scale=0.6):
    """Of N_ROWS rows, from an encoder that says this and that."""
    head = shaken(posterior.build(z_size).double())
    return head(scale * torch.randn(N_ROWS, head.code_size, dtype=torch.float64))


def model_with(prior, posterior, z_size=2):
    model = VAE((4,), z_size, network=MLP((8,)), likelihood=Bernoulli(), posterior=posterior, prior=prior)
    return shaken(model.double().eval(), 0.15)


def as_distribution(belief):
    """The same belief by torch.distributions."""
    if hasattr(belief, "triangle"):
        return MultivariateNormal(belief.loc, scale_tril=belief.triangle)
    return Independent(Normal(belief.loc, belief.scale), 1)


def standard_like(belief):
    zeros = torch.zeros_like(belief.loc)
    if hasattr(belief, "triangle"):
        return MultivariateNormal(zeros, scale_tril=torch.eye(zeros.shape[1]).to(zeros))
    return Independent(Normal(zeros, torch.ones_like(zeros)), 1)


@pytest.mark.parametrize("name", GAUSSIANS)
def test_the_rate_by_formula_is_that_of_the_literature_and_of_draws(name):
    belief = belief_of(GAUSSIANS[name])
    rate = belief.rates().sum(1)
    assert torch.allclose(rate, kl_divergence(as_distribution(belief), standard_like(belief)), rtol=1e-12)
    z, log_q = belief.draw(torch.randn(20_000, N_ROWS, 3, dtype=torch.float64))
    each = log_q - standard_like(belief).log_prob(z)
    error = each.std(0) / math.sqrt(len(each))
    assert ((each.mean(0) - rate).abs() < 4 * error).all()


@pytest.mark.parametrize("name", GAUSSIANS)
def test_a_posterior_with_a_formula_says_of_its_draws_what_its_density_says(name):
    belief = belief_of(GAUSSIANS[name])
    z, log_q = belief.draw(torch.randn(50, N_ROWS, 3, dtype=torch.float64))
    for density in (belief.log_prob(z), belief.detached().log_prob(z), as_distribution(belief).log_prob(z)):
        assert torch.allclose(density, log_q, rtol=1e-11)


@pytest.mark.parametrize("name", POSTERIORS)
def test_each_row_has_its_own_draws_however_the_noise_is_given(name):
    """(k, 1, z_size) noise, which answers share, against the same written out for every row, and one by one."""
    belief = belief_of(POSTERIORS[name])
    noise = torch.randn(5, 1, 3, dtype=torch.float64)
    shared, apart = belief.draw(noise), belief.draw(noise.expand(5, N_ROWS, 3).contiguous())
    one_by_one = [belief.draw(each) for each in noise.split(1)]
    assert shared[0].shape == (5, N_ROWS, 3)
    assert shared[1].shape == (5, N_ROWS)
    for a, b in zip(shared, apart, strict=True):
        assert torch.allclose(a, b, rtol=1e-12)
    for a, pieces in zip(shared, zip(*one_by_one, strict=True), strict=True):
        assert torch.allclose(a, torch.cat(pieces), rtol=1e-12)


def test_draws_of_a_full_normal_have_the_covariance_of_its_triangle():
    belief = belief_of(FullNormal(), scale=1.5)
    z, _ = belief.draw(torch.randn(100_000, 1, 3, dtype=torch.float64))
    expected = belief.triangle @ belief.triangle.mT
    assert torch.equal(belief.triangle.triu(1), torch.zeros_like(belief.triangle))
    assert (belief.triangle.diagonal(dim1=1, dim2=2) > 0).all()
    off = expected - torch.diag_embed(expected.diagonal(dim1=1, dim2=2))
    assert (off.abs().amax((1, 2)) > 0.1).sum() >= 3  # or the test would say nothing
    for row in range(N_ROWS):
        found = z[:, row].T.cov()
        # The standard error of each covariance of a normal.
        variance = expected[row].diagonal()
        error = ((expected[row].square() + variance[:, None] * variance) / len(z)).sqrt()
        assert ((found - expected[row]).abs() < 5 * error).all()


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_density_of_a_draw_is_its_noises_by_change_of_variables(name):
    """log q(z) = log N(noise; 0, I) - log|det dz/dnoise|, the Jacobian by autograd."""
    belief = belief_of(POSTERIORS[name])
    noise = torch.randn(1, N_ROWS, 3, dtype=torch.float64)

    def draws(noise: Tensor) -> Tensor:
        return belief.draw(noise)[0].squeeze(0)

    jacobian = torch.autograd.functional.jacobian(draws, noise)[:, :, 0]  # (row, 3, row, 3)
    own = torch.stack([jacobian[i, :, i] for i in range(N_ROWS)])
    for i in range(N_ROWS):  # and no row reaches into another
        jacobian[i, :, i] = 0
    assert not jacobian.any()
    base = Normal(0.0, 1.0).log_prob(noise).sum(-1)
    assert torch.allclose(belief.draw(noise)[1], base - own.slogdet().logabsdet, rtol=1e-10)


def cells(n: int, reach: float, each: int):
    """Edges of n * n cells of a square, and the points (cells * each^2, 2) that each is summed over."""
    edges = torch.linspace(-reach, reach, n + 1, dtype=torch.float64)
    width = 2 * reach / n
    inside = (torch.arange(each, dtype=torch.float64) + 0.5) / each * width
    line = (edges[:-1, None] + inside).flatten()
    return edges, torch.cartesian_prod(line, line), math.log((width / each) ** 2)


@torch.no_grad()
def cell_probabilities(log_prob, n: int, reach: float, each: int = 12) -> Tensor:
    """(n, n), by the midpoint rule."""
    _, points, log_area = cells(n, reach, each)
    p = (log_prob(points) + log_area).exp()
    return p.view(n, each, n, each).sum((1, 3))


@pytest.mark.parametrize("name", PRIORS)
@torch.no_grad()
def test_a_prior_integrates_to_one_and_its_draws_follow_it(name):
    model, n_draws, n, reach = model_with(*PRIORS[name]), 100_000, 16, 6.0
    everywhere = cell_probabilities(model.log_prior, 8 * n, 8 * reach, each=4)
    assert everywhere.sum().item() == pytest.approx(1, abs=1e-5)
    expected = cell_probabilities(model.log_prior, n, reach)
    z = model.draw_prior(n_draws)
    place = ((z + reach) / (2 * reach) * n).floor().long()
    within = ((place >= 0) & (place < n)).all(1)
    counts = torch.bincount(place[within] @ torch.tensor([n, 1]), minlength=n * n).double()
    p, enough = expected.flatten(), expected.flatten() * n_draws > 10
    observed = torch.cat([counts[enough], n_draws - counts[enough].sum()[None]])
    predicted = torch.cat([p[enough], 1 - p[enough].sum()[None]]) * n_draws
    keep = predicted > 5
    assert keep.sum() > 20
    observed, predicted = observed[keep], predicted[keep]
    assert chisquare(observed, predicted * observed.sum() / predicted.sum()).pvalue > 1e-4


@pytest.mark.parametrize("posterior", [DiagonalNormal(), FullNormal()])
@torch.no_grad()
def test_a_vampprior_is_the_mean_of_the_posteriors_of_its_pseudo_inputs(posterior):
    model = model_with(VampPrior(4), posterior)
    belief = as_distribution(model.infer(model.code_prior.pseudo_inputs))
    z = torch.randn(30, 2, dtype=torch.float64)
    by_definition = belief.log_prob(z[:, None]).exp().mean(1).log()
    assert torch.allclose(model.log_prior(z), by_definition, rtol=1e-10)


@torch.no_grad()
def test_a_vampprior_starts_as_training_rows_a_little_apart():
    prior = VampPrior(6).build(2, (4,))
    rows = torch.rand(4, 4)
    prior.start(rows)
    again = prior.pseudo_inputs
    of_row = torch.cdist(again, rows).argmin(1)
    assert torch.allclose(again, rows[of_row], atol=0.06)
    assert of_row[:4].unique().tolist() == [0, 1, 2, 3]  # all of them, in any order, before one comes twice
    assert of_row[4:].tolist() == of_row[:2].tolist()
    assert not torch.equal(again[0], again[4])


def mixture_by_torch(module):
    scale = module.log_scale.exp()
    return MixtureSameFamily(Categorical(logits=module.logits), Independent(Normal(module.loc, scale), 1))


@pytest.mark.parametrize("log_scale", [0.0, -2.0, -3.9])
@torch.no_grad()
def test_the_expanded_squares_of_a_mixture_are_the_squares(log_scale):
    """The same mixture written down component by component; in float32 the digits lost stay few."""
    module = shaken(NormalMixture(20).build(30, (4,)).double())
    module.log_scale.mul_(0.1).add_(log_scale).clamp_min_(-4)
    module.loc.add_(5.0)  # away from the origin, where expanded squares are in the worst place
    density = module.given(lambda rows: None)
    z = density.draw(500)
    exact = mixture_by_torch(module).log_prob(z)
    assert torch.allclose(density.log_prob(z), exact, rtol=1e-9)
    rounded = module.float().given(lambda rows: None).log_prob(z.float())
    # What rounding z itself to float32 does, which nobody can undo, and as much again as a square's rounding.
    unavoidable = (mixture_by_torch(module.double()).log_prob(z.float().double()) - exact).abs().max()
    precision = torch.exp(torch.tensor(-2 * log_scale)).item()
    size = precision * (z - module.loc.mean(0)).square().sum(1).max().item()
    assert (rounded - exact).abs().max() < unavoidable + 4 * torch.finfo(torch.float32).eps * size
    assert (rounded - exact).abs().max() < 0.25


@pytest.mark.parametrize("name", [*PRIORS])
@torch.no_grad()
def test_densities_of_codes_are_in_float32_where_networks_run_in_bfloat16(name):
    """What autocast does to a matrix product of squares costs nats."""
    prior, posterior = PRIORS[name]
    module = shaken(prior.build(10, (4,)), 0.02)
    head = posterior.build(10)
    belief = head(torch.randn(4, head.code_size))
    density = module.given(lambda rows: belief)
    z = torch.randn(50, 10)
    exact = density.log_prob(z)
    noise = torch.randn(3, 4, 10)
    draws, log_q = belief.draw(noise)
    with torch.autocast("cpu", torch.bfloat16):
        rounded, (draws_again, log_q_again) = density.log_prob(z), belief.draw(noise)
    assert rounded.dtype == draws_again.dtype == log_q_again.dtype == torch.float32
    assert torch.allclose(draws_again, draws, rtol=1e-5, atol=1e-6)
    assert torch.allclose(log_q_again, log_q, rtol=1e-5)
    if name != "flow":  # whose network may round
        assert torch.allclose(rounded, exact, rtol=1e-5)
