"""Presets of the VAE beside their parent, where it cannot be right: decoders are given, so that nothing dodges."""

import math
from functools import cache

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from likely.contract import Batch
from likely.likelihoods import Gaussian
from likely.networks import MLP
from likely.registry import Spec
from likely.variational import total_correlation
from tests.laws.test_densities import grid

N_STEPS = 300
SCALE = 0.3


class Banana(nn.Module):
    """Codes that explain a row lie along a bent ridge."""

    def forward(self, z: Tensor) -> Tensor:
        """(batch, 2) to (batch, 1)."""
        return z[:, 1:] + z[:, :1].square() - 1


class Ridge(nn.Module):
    """Codes that explain a row lie along a straight ridge, aslant."""

    def forward(self, z: Tensor) -> Tensor:
        """(batch, 2) to (batch, 1)."""
        return z.sum(1, keepdim=True)


def explained(decoder: nn.Module, n: int = 2000) -> Tensor:
    """Rows that a decoder of standard normal codes gives."""
    mean = decoder(torch.randn(n, 2))
    x = mean + SCALE * torch.randn_like(mean)
    return x[(x < 4).all(1)]  # the longest ridges are of the fewest rows


def curve(n: int = 2000) -> Tensor:
    """Rows along a parabola."""
    along = 3 * torch.rand(n, 1) - 1.5
    return torch.cat([along, 1.5 * along.square() - 1.5], 1) + 0.15 * torch.randn(n, 2)


def correlated(n: int = 2000) -> Tensor:
    """Two values that share a part of them."""
    return 0.8 * torch.randn(n, 1) + 0.6 * torch.randn(n, 2)


CASES = {
    "banana": (Banana(), lambda: explained(Banana()), SCALE),
    "ridge": (Ridge(), lambda: explained(Ridge()), SCALE),
    "curve": (nn.Identity(), curve, 0.1),
    "correlated": (nn.Identity(), correlated, SCALE),
}
"""A decoder of two values without weights, the rows, and the scale of the likelihood."""


@cache
@torch.enable_grad()
def trained(name: str, case: str):
    """Everything but the decoder: encoder, posterior and prior, as a preset or its parent has them."""
    decoder, rows, scale = CASES[case]
    x = rows()
    model = Spec(name, z_size=2, network=MLP((32,)), likelihood=Gaussian(scale=scale)).build(x.shape[1:])
    model.codec.decoder = decoder
    model.initialize(Batch(x))
    optimizer = torch.optim.Adam(model.parameters())
    for step in range(N_STEPS):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / N_STEPS)
        optimizer.zero_grad()
        model(x[torch.randint(len(x), (150,))]).total.mean().backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def bound(model, x: Tensor) -> float:
    """What training raised, nats."""
    return -model(x.repeat(30, 1)).total.mean().item()


@torch.no_grad()
def slack(name: str, case: str) -> float:
    """How far below the exact log p(x), by quadrature, the bound that was raised is: nats a row."""
    model = trained(name, case)
    with torch.random.fork_rng():
        torch.manual_seed(2)  # the same rows for all
        x = CASES[case][1]()[:150]
    z, log_area = (each.float() for each in grid(121, 7.0))
    log_weight = log_area + model.log_prior(z)
    observation = model.observe(z)
    exact = [(observation.log_prob(row.expand(len(z), -1)) + log_weight).logsumexp(0) for row in x]
    found = torch.stack(exact).mean().item() - bound(model, x)
    assert found > -0.01
    return found


def test_a_full_covariance_follows_a_ridge_that_is_aslant():
    assert slack("full-covariance-vae", "ridge") < 0.1
    assert slack("vae", "ridge") > 0.6


def test_an_autoregressive_posterior_follows_a_ridge_that_is_bent():
    assert slack("iaf-vae", "banana") < 0.6 * slack("vae", "banana")
    assert slack("iaf-vae", "banana") < 0.9 * slack("full-covariance-vae", "banana")


def test_importance_weights_tighten_the_bound():
    for case in ("ridge", "banana"):
        assert slack("iwae", case) < 0.6 * slack("vae", case)


@pytest.mark.parametrize("name", ["mixture-vae", "vampprior-vae", "flow-prior-vae"])
def test_a_learned_prior_knows_where_codes_lie(name):
    """Its bound is above the exact log p(x) that a standard normal prior has, and draws keep closer to the rows."""
    x = curve()
    marginal = Independent(Normal(torch.zeros(2), math.sqrt(1 + CASES["curve"][2] ** 2)), 1)
    parent = trained("vae", "curve")
    assert bound(parent, x) < marginal.log_prob(x).mean() + 0.01
    assert bound(trained(name, "curve"), x) > marginal.log_prob(x).mean() + 0.5

    def astray(model) -> float:
        """The share of draws that are far from all rows."""
        return (torch.cdist(model.draw_prior(1000), x).amin(1) > 0.3).float().mean().item()

    assert astray(trained(name, "curve")) < 0.5 * astray(parent)
    assert astray(parent) > 0.2


@torch.no_grad()
@torch.no_grad()
def test_values_of_the_code_of_the_tc_vae_are_nearer_to_independent():
    def measured(name: str) -> tuple[float, float]:
        """Total correlation of the code, and its rate: nats."""
        model, x = trained(name, "correlated"), correlated(1000)
        belief = model.infer(x)
        z, _ = belief.draw(torch.randn(1, *belief.loc.shape))
        return total_correlation(belief, z[0]).item(), belief.rates().sum(1).mean().item()

    (free, rate_of_parent), (pressed, rate) = (measured(name) for name in ("vae", "tc-vae"))
    assert pressed < 0.5 * free
    assert rate > 0.7 * rate_of_parent  # and not because there is no code left
