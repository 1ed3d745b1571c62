"""Numbers that claim to be log-probabilities, against sums, integrals and brute force."""

import itertools
import math

import pytest
import torch
from scipy.stats import chisquare
from torch import nn

from likely.contract import ExactDensity, LatentDensity, Sampler
from likely.likelihoods import Gaussian
from likely.models import VAE
from likely.networks import MLP
from likely.variational import Standard
from tests.zoo import ZOO, with_capability

OPTIONS = ("vae-full", "vae-autoregressive", "vae-mixture", "vae-vampprior", "vae-flow-prior", "ladder-bits")
"""Posteriors, priors and layers of a VAE of four bits."""

N_LEVELS = {
    "vae-bits": 2,
    "vae-levels": 4,
    "vae-logistics": 4,
    "little-autoregressive": 2,
    **dict.fromkeys(OPTIONS, 2),
    **dict.fromkeys(
        (
            "made-bits",
            "made-linear-bits",
            "made-orders",
            "made-orders-apart",
            "nade-bits",
            "pixel-rnn-bits",
            "pixel-rnn-row-bits",
        ),
        2,
    ),
    **dict.fromkeys(("pixel-cnn-bits", "gated-pixel-cnn-bits"), 2),
    **dict.fromkeys(("pixel-cnn-levels", "gated-pixel-cnn-levels"), 4),
    **dict.fromkeys(("made-levels", "nade-levels", "pixel-rnn-levels"), 4),
}
STATES = {name: ZOO[name] for name in N_LEVELS}


def all_states(name: str) -> torch.Tensor:
    """Every state of a tiny discrete x: (levels ** n_values, *x_shape)."""
    shape, n_levels = ZOO[name].make().x_shape, N_LEVELS[name]
    rows = list(itertools.product(range(n_levels), repeat=math.prod(shape)))
    return (torch.tensor(rows, dtype=torch.float64) / (n_levels - 1)).view(-1, *shape)


def grid(n: int = 161, reach: float = 16.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (n * n, 2) and log-weights of a trapezoidal rule for N(0, I) in two dimensions."""
    line = torch.linspace(-reach, reach, n, dtype=torch.float64)
    z = torch.cartesian_prod(line, line)
    log_weight = -0.5 * z.square().sum(1) - math.log(2 * math.pi) + 2 * math.log(2 * reach / (n - 1))
    return z, log_weight


@torch.no_grad()
def log_prob_by_quadrature(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """log of the integral of p(x | z) p(z) over a two-dimensional z, decoder by decoder call: (batch,)."""
    z, log_weight = grid()
    log_weight = log_weight + model.log_prior(z) - Standard(2).log_prob(z)
    observation = model.observe(z)
    rows = [observation.log_prob(row.expand(len(z), *row.shape)) for row in x]
    return torch.stack([(log_px + log_weight).logsumexp(0) for log_px in rows])


@torch.no_grad()
def exact(name: str, x: torch.Tensor) -> torch.Tensor:
    model = ZOO[name].model()
    return model.log_prob(x) if isinstance(model, ExactDensity) else log_prob_by_quadrature(model, x)


@pytest.mark.parametrize("name", STATES)
def test_probabilities_of_all_states_sum_to_one(name):
    assert exact(name, all_states(name)).exp().sum().item() == pytest.approx(1, abs=1e-8)


def test_an_exact_probability_equals_brute_force():
    """Bit by bit, each conditional from its own definition, against the model's one matrix product."""
    model = ZOO["little-autoregressive"].model()
    for state in all_states("little-autoregressive"):
        bits, p = state.flatten(), 1.0
        for i in range(4):
            logit = model.bias[i] + sum(model.weight[i, j] * bits[j] for j in range(i))
            one = 1 / (1 + math.exp(-logit))
            p *= one if bits[i] == 1 else 1 - one
        assert model.log_prob(state[None]).exp().item() == pytest.approx(p, rel=1e-12)


def test_an_autoregressive_jacobian_is_strictly_triangular():
    model = ZOO["little-autoregressive"].model()
    jacobian = torch.autograd.functional.jacobian(lambda x: model.logits(x[None])[0], torch.rand(4).double())
    assert torch.equal(jacobian.triu(), torch.zeros(4, 4).double())
    assert (jacobian.tril(-1) != 0).sum() == 6


@pytest.mark.parametrize("name", STATES)
def test_frequencies_of_samples_match_the_density(name):
    n, states = 100_000, all_states(name)
    draws = torch.cat([ZOO[name].model().sample(n // 10) for _ in range(10)])
    n_levels = N_LEVELS[name]
    place = n_levels ** torch.arange(states[0].numel() - 1, -1, -1)
    index = ((draws * (n_levels - 1)).round().long().flatten(1) * place).sum(1)
    counts = torch.bincount(index, minlength=len(states)).double()
    expected = exact(name, states).exp() * n
    enough = expected > 10
    observed = torch.cat([counts[enough], counts[~enough].sum()[None]])
    predicted = torch.cat([expected[enough], expected[~enough].sum()[None]])
    keep = predicted > 0
    assert chisquare(observed[keep], predicted[keep] * observed.sum() / predicted.sum()).pvalue > 1e-4


@pytest.mark.parametrize(
    "name",
    [
        *("vae-bits", "vae-levels", "vae-logistics", "vae-unit", "vae-real", "vae-outliers", "vae-fixed-scale"),
        *("vae-vampprior-full", *OPTIONS),
    ],
)
@torch.no_grad()
def test_a_bound_is_below_log_p_and_reaches_it(name):
    model, x = ZOO[name].model(), ZOO[name].x()[:8]
    log_p = log_prob_by_quadrature(model, x)
    draws = torch.stack([model.log_prob_bound(x) for _ in range(400)])
    error = draws.std(0) / math.sqrt(len(draws))
    assert (draws.mean(0) <= log_p + 4 * error + 1e-9).all()
    many = torch.stack([model.log_prob_bound(x, n_samples=4000) for _ in range(5)]).mean(0)
    assert (many - log_p).abs().max() < 0.05
    assert (many > draws.mean(0) - 4 * error).all()


@pytest.mark.parametrize("name", with_capability(LatentDensity))
@torch.no_grad()
def test_the_objective_is_minus_the_bound_and_the_rate_is_alive(name):
    model, x = ZOO[name].model(), ZOO[name].x()[:4]
    objectives = [model(x) for _ in range(3000)]
    minus_objective = -torch.stack([objective.total for objective in objectives])
    bounds = torch.stack([model.log_prob_bound(x) for _ in range(3000)])
    error = ((minus_objective.var(0) + bounds.var(0)) / 3000).sqrt()
    assert ((minus_objective.mean(0) - bounds.mean(0)).abs() < 5 * error + 1e-9).all()
    rate = torch.stack([objective.terms["rate"] for objective in objectives]).mean(0)
    assert (rate > 0).all()


def test_the_rate_is_the_divergence_of_the_posterior():
    model, x = ZOO["vae-bits"].model(), ZOO["vae-bits"].x()
    belief = model.infer(x)
    q = torch.distributions.Independent(torch.distributions.Normal(belief.loc, belief.scale), 1)
    p = torch.distributions.Independent(torch.distributions.Normal(0 * belief.loc, 0 * belief.loc + 1), 1)
    assert torch.allclose(model(x).terms["rate"], torch.distributions.kl_divergence(q, p))


@torch.no_grad()
def test_a_linear_gaussian_vae_keeps_the_order_of_bounds():
    """ELBO <= IWAE_k <= log p, rising in k, and all equal where the posterior is exact."""
    x = ZOO["vae-real"].x()
    model = VAE((5,), 2, network=MLP((), linear_path=True), likelihood=Gaussian(scale=0.5)).double().eval()
    encoder, decoder = nn.Linear(5, 4).double(), nn.Linear(2, 5).double()
    decoder.weight.copy_(torch.randn(5, 2))
    model.codec.start_linear(encoder, decoder)
    w, b = decoder.weight, decoder.bias
    covariance = w @ w.T + 0.25 * torch.eye(5)
    log_p = torch.distributions.MultivariateNormal(b, covariance).log_prob(x)

    def bound(k: int) -> torch.Tensor:
        torch.manual_seed(4)
        return torch.stack([model.log_prob_bound(x, n_samples=k) for _ in range(2000 // k)]).mean(0).mean()

    bounds = [bound(1), bound(10), bound(200)]
    assert bounds[0] < bounds[1] < bounds[2] < log_p.mean() + 0.05
    rotation = torch.linalg.svd(w, full_matrices=False).Vh
    decoder.weight.copy_(w @ rotation.T)  # posterior axes along z: a diagonal one is exact
    precision = torch.linalg.inv(w.T @ w / 0.25 + torch.eye(2))
    encoder.weight.copy_(torch.cat([precision @ w.T / 0.25, torch.zeros(2, 5)]))
    encoder.bias.copy_(torch.cat([-precision @ w.T @ b / 0.25, 0.5 * precision.diagonal().log()]))
    model.codec.start_linear(encoder, decoder)
    for n_samples in (1, 7):
        assert torch.allclose(model.log_prob_bound(x, n_samples=n_samples), log_p, atol=1e-9)


@pytest.mark.parametrize("name", with_capability(ExactDensity, Sampler))
@torch.no_grad()
def test_entropy_of_samples_matches_the_density(name):
    """E[-log p] under the model's own samples agrees with a second, independent batch; a shifted model would not."""
    model = ZOO[name].model()
    first, second = (-model.log_prob(model.sample(20_000)) for _ in range(2))
    error = (first.std() + second.std()) / math.sqrt(20_000)
    assert abs(first.mean() - second.mean()) < 5 * error
