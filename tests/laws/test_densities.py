"""Numbers that claim to be log-probabilities, against sums, integrals and brute force."""

import functools
import math

import pytest
import torch
from scipy.stats import chisquare
from torch import nn

from likely.contract import (
    BoundedDensity,
    Density,
    Energy,
    EstimatedDensity,
    ExactDensity,
    LatentDensity,
    Sampler,
    repeated,
)
from likely.likelihoods import Gaussian
from likely.models import VAE
from likely.networks import MLP
from tests.laws.mass import beside, mass
from tests.zoo import CONDITIONAL, EVERY, ZOO, Entry, with_capability

PLANAR = [name for name in with_capability(LatentDensity, of=EVERY) if EVERY[name].make().z_shape == (2,)]
"""Whose codes are two numbers: what stands under an integral over codes can be summed on a grid."""
OF_STATES = [
    name
    for name, entry in EVERY.items()
    if entry.states() is not None and (issubclass(entry.kind(), ExactDensity) or name in PLANAR)
]
"""Whose rows are one of so few states that all their probabilities can be known."""


def judged_by_mass(entry: Entry) -> bool:
    """Whether the mean of 1 / p over draws can be known: a density that is no energy, of reals or of few states."""
    model = entry.make()
    if not isinstance(model, Sampler) or not isinstance(model, ExactDensity | BoundedDensity):
        return False
    if isinstance(model, EstimatedDensity) and model.method != "exact trace":
        return False
    return not model.discrete or entry.states() is not None


OF_DRAWS = [name for name, entry in EVERY.items() if name not in OF_STATES and judged_by_mass(entry)]


def one_condition(name: str) -> torch.Tensor | None:
    """One condition, (1, *condition_shape), for all rows; None where there is none."""
    return EVERY[name].condition()[:1] if name in CONDITIONAL else None


def grid(n: int = 161, reach: float = 16.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (n * n, 2) and the log of what each stands for in a trapezoidal rule over the plane."""
    line = torch.linspace(-reach, reach, n, dtype=torch.float64)
    z = torch.cartesian_prod(line, line)
    return z, torch.full((len(z),), 2 * math.log(2 * reach / (n - 1)), dtype=torch.float64)


@torch.no_grad()
def log_prob_by_quadrature(
    model: LatentDensity, x: torch.Tensor, condition: torch.Tensor | None = None
) -> torch.Tensor:
    """log of the integral of p(x | z) p(z) over a two-dimensional z: (batch,)."""
    z, log_area = grid()
    log_weight, beside_z = log_area + model.log_prior(z), beside(condition, len(z))
    of_rows = [model.log_likelihood(row.expand(len(z), *row.shape), z, beside_z) for row in x]
    return torch.stack([(log_px + log_weight).logsumexp(0) for log_px in of_rows])


@functools.cache
@torch.no_grad()
def of_states(name: str) -> torch.Tensor:
    """The log-probability of every state."""
    model, x, condition = EVERY[name].model(), EVERY[name].states(), one_condition(name)
    if isinstance(model, ExactDensity):
        return model.log_prob(x, beside(condition, len(x)))
    return log_prob_by_quadrature(model, x, condition)


@pytest.mark.parametrize("kind", sorted({entry.kind() for entry in ZOO.values()}, key=lambda kind: kind.__name__))
def test_whatever_draws_and_has_a_density_is_judged(kind):
    """A model whose zoo holds nothing that a law of densities can judge needs a smaller entry."""
    if not issubclass(kind, Sampler) or not issubclass(kind, Density) or issubclass(kind, Energy):
        return
    assert kind in {EVERY[name].kind() for name in [*OF_STATES, *OF_DRAWS]}


@pytest.mark.parametrize("name", OF_STATES)
def test_probabilities_of_all_states_sum_to_one(name):
    assert of_states(name).exp().sum().item() == pytest.approx(1, abs=1e-8)


@pytest.mark.parametrize("name", [name for name in OF_STATES if issubclass(EVERY[name].kind(), Sampler)])
def test_frequencies_of_samples_match_the_density(name):
    n, states = 20_000 if name in CONDITIONAL else 100_000, EVERY[name].states().flatten(1)
    draws = EVERY[name].model().sample(n, beside(one_condition(name), n)).flatten(1)
    kinds, counts = torch.cat([states, draws]).unique(dim=0, return_counts=True)
    assert len(kinds) == len(states), "draws are states"
    place = torch.cat([kinds, states]).unique(dim=0, return_inverse=True)[1][len(kinds) :]
    counts, expected = (counts[place] - 1).double(), of_states(name).exp() * n
    enough = expected > 10
    observed = torch.cat([counts[enough], counts[~enough].sum()[None]])
    predicted = torch.cat([expected[enough], expected[~enough].sum()[None]])
    keep = predicted > 0
    assert chisquare(observed[keep], predicted[keep] * observed.sum() / predicted.sum()).pvalue > 1e-4


@pytest.mark.parametrize("name", OF_DRAWS)
def test_the_density_of_draws_has_mass_one(name):
    """A sampler with 0.9 of its noise, a density off by a factor, a log-determinant left out: all move the mean of q/p.

    Where weights are heavy-tailed the mean tells nothing: then the entry is too wild, and wants calmer weights.
    """
    exact, conditional = issubclass(EVERY[name].kind(), ExactDensity), name in CONDITIONAL
    n_judging = (3000 if conditional else 8000) if exact else 2000
    found = mass(EVERY[name].model(), n_judging, one_condition(name))
    assert found.effective > 300, found
    assert abs(found.mean - 1) < 4 * found.error, found


def test_an_exact_probability_equals_brute_force():
    """Bit by bit, each conditional from its own definition, against the model's one matrix product."""
    model = ZOO["little-autoregressive"].model()
    for state in ZOO["little-autoregressive"].states():
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


@pytest.mark.parametrize("name", PLANAR)
@torch.no_grad()
def test_a_bound_is_below_log_p_and_reaches_it(name):
    """One weight is in mean p, and the log of one is in mean below log p; a bound is the log of the mean of some."""
    n = 4000
    model, x, condition = EVERY[name].model(), EVERY[name].x()[:3], one_condition(name)
    c = beside(condition, len(x))
    log_p = log_prob_by_quadrature(model, x, condition)
    log_weights = model.log_weights(x, c, n_samples=n)
    assert (log_weights.mean(0) <= log_p + 4 * log_weights.std(0) / n**0.5 + 1e-9).all()
    weights = (log_weights - log_p).exp()
    error = weights.std(0) / n**0.5
    assert error.min() < 0.1
    assert ((weights.mean(0) - 1).abs() < 5 * error + 1e-9).all()
    for k in (1, 7):
        torch.manual_seed(7)
        bound = model.log_prob_bound(x, c, n_samples=k)
        torch.manual_seed(7)
        torch.testing.assert_close(bound, model.log_weights(x, c, n_samples=k).exp().mean(0).log())


@pytest.mark.parametrize("name", with_capability(LatentDensity, of=EVERY))
@torch.no_grad()
def test_the_objective_is_minus_the_bound_and_the_rate_is_alive(name):
    n = 3000
    model, x = EVERY[name].model(), EVERY[name].x()[:4]
    c = None if name not in CONDITIONAL else EVERY[name].condition()[:4]
    objective = model(repeated(x, n), repeated(c, n))  # each row with noise of its own
    minus_objective, rate = -objective.total.view(n, -1), objective.terms["rate"].view(n, -1)
    bounds = model.log_weights(x, c, n_samples=n)
    error = ((minus_objective.var(0) + bounds.var(0)) / n).sqrt()
    assert ((minus_objective.mean(0) - bounds.mean(0)).abs() < 5 * error + 1e-9).all()
    assert (rate.mean(0) > 0).all()


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
