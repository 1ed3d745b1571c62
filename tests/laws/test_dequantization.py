"""A density of dequantized levels bounds their probability: against the same model with every bin integrated."""

import math

import numpy as np
import torch

import likely.fitted
from likely.data import infer_schema, open_source
from likely.fitted import Fitted
from likely.likelihoods import Gaussian
from likely.models import VAE
from likely.networks import MLP
from likely.registry import Spec
from likely.rng import restart, seeded
from tests.laws.test_densities import grid
from tests.laws.test_variational import shaken

LEVELS = 4
N_NOISES = 60


def every_state() -> np.ndarray:
    """Two pixels of LEVELS levels: (16, 1, 2), as a caller has them."""
    return np.stack(np.meshgrid(*[np.arange(LEVELS)] * 2, indexing="ij"), -1).reshape(-1, 1, 2).astype(np.uint8)


def model_of(x_shape) -> VAE:
    """A density that is neither flat over a bin nor a spike in it, and that correlates the pixels."""
    with torch.no_grad(), seeded("a density"):
        model = shaken(VAE(x_shape, 2, network=MLP((8,)), likelihood=Gaussian()).double().eval(), 0.2)
        model.codec.head.weight.zero_()  # a posterior that is the prior: weights without tails
        model.codec.head.bias.zero_()
        last, n = model.codec.decoder[-1], math.prod(x_shape)
        last.bias[n:] -= 2.0
        loc = model.observe(model.draw_prior(1000)).base_dist.loc.flatten(1)
        last.weight[:n] *= 0.3 / loc.std(0)[:, None]
        last.bias[:n] *= 0.3 / loc.std(0)
        last.bias[:n] += 0.5 - 0.3 * loc.mean(0) / loc.std(0)
    return model


@torch.no_grad()
def log_probability(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """log of the integral over z and over each value's bin, the last by the normal's distribution function."""
    z, log_weight = grid()
    log_weight = log_weight + model.log_prior(z)
    values = model.observe(z).base_dist
    half = 0.5 / (LEVELS - 1)
    each = [
        (values.cdf((row + half).expand_as(values.loc)) - values.cdf((row - half).expand_as(values.loc))) for row in x
    ]
    return torch.stack([(p.clamp_min(1e-300).log().flatten(1).sum(1) + log_weight).logsumexp(0) for p in each])


def test_a_density_of_levels_is_in_mean_below_the_probability_of_its_bin(monkeypatch):
    rows = every_state()
    schema = infer_schema(open_source(rows))
    assert (schema.domain, schema.levels) == ("levels", LEVELS)
    model = model_of(schema.x_shape)
    fitted = Fitted(model, Spec("vae"), schema)
    assert fitted.continuous
    assert fitted.density_mark == "<="
    exact = log_probability(model, schema.to_model(rows).double()).numpy()
    assert 0.5 < np.exp(exact).sum() < 1  # the rest lies beyond the levels
    found = []
    for number in range(N_NOISES):
        # What an answer draws is fixed; its mean is over what it might have been.
        monkeypatch.setattr(likely.fitted, "restart", lambda *key, number=number: restart(*key, number))
        found.append(fitted.log_prob(rows, n_samples=200))
    found = np.stack(found)
    mean, error = found.mean(0), found.std(0) / math.sqrt(N_NOISES)
    assert (mean < exact + 4 * error).all()
    # As near as Jensen leaves it: a slope forgotten would put it log(LEVELS - 1) lower or higher a pixel.
    assert (exact - mean).mean() < 0.6
    assert (exact - mean).mean() > 0.001
