"""Draws that noise decides: the distribution that they have, what a temperature makes of it, and the edges of noise."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from likely.likelihoods import (
    Bernoulli,
    Categorical,
    Columns,
    ContinuousBernoulli,
    DiscretizedLogisticMixture,
    Gaussian,
    GaussianMixture,
)
from tests.likelihood_cases import PARTS, raw_for, shape_of

WHOLE = [Bernoulli(), Categorical(5), DiscretizedLogisticMixture(6)]
CONTINUOUS = [
    ContinuousBernoulli(),
    Gaussian(),
    Gaussian(outliers=0.3),
    GaussianMixture(components=3, outliers=0.0),
    GaussianMixture(components=3, outliers=0.2),
]
N_DRAWS = 40_000


def grid(n=N_DRAWS):
    """Noise that is spread evenly: what comes of it has its distribution without chance."""
    return ((torch.arange(n, dtype=torch.float64) + 0.5) / n).unsqueeze(1)


def one_raw(part, seed=3):
    return torch.randn(1, part.raw_channels, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def draws(part, raw, temperature=1.0, noise=None):
    noise = grid() if noise is None else noise
    return part.build((1,)).double().draw(raw.expand(len(noise), -1), noise, temperature)[:, 0]


def probabilities(part, raw):
    """(levels,), by log_prob."""
    n = getattr(part, "levels", 2)
    x = torch.linspace(0, 1, n, dtype=torch.float64).view(-1, 1)
    return part.build((1,)).double()(raw.expand(n, -1)).log_prob(x).exp()


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("part", WHOLE, ids=str)
def test_levels_are_drawn_as_often_as_their_tempered_probabilities_say(part, temperature):
    raw = one_raw(part)
    p = probabilities(part, raw) ** (1 / temperature)
    counts = torch.bincount((draws(part, raw, temperature) * (len(p) - 1)).round().long(), minlength=len(p))
    # Of an even grid each level has what it should, but for one at either end of its interval.
    assert (counts - N_DRAWS * p / p.sum()).abs().max() <= 2


@pytest.mark.parametrize("part", [*WHOLE, ContinuousBernoulli(), Gaussian()], ids=str)
def test_more_noise_is_never_a_smaller_value(part):
    x = draws(part, one_raw(part), noise=grid(5000))
    assert (x.diff() >= 0).all()
    assert x[0] < x[-1]


@pytest.mark.parametrize("part", CONTINUOUS, ids=str)
def test_real_draws_have_the_density(part):
    """Kolmogorov and Smirnov's distance to the integral of the density; evenly spread noise comes far nearer."""
    raw = one_raw(part)
    x = draws(part, raw).sort().values
    lowest, highest = (0.0, 1.0) if isinstance(part, ContinuousBernoulli) else (-130.0, 130.0)
    at = torch.linspace(lowest, highest, 520_001, dtype=torch.float64).unsqueeze(1)
    density = part.build((1,)).double()(raw.expand(len(at), -1)).log_prob(at).exp()
    cdf = torch.cumulative_trapezoid(density, at[:, 0])
    reached = torch.from_numpy(np.interp(x.numpy(), at[1:, 0].numpy(), cdf.numpy()))
    assert (reached - grid()[:, 0]).abs().max() < 1e-3


@pytest.mark.parametrize("temperature", [0.25, 4.0])
def test_temperature_multiplies_the_variance_of_a_normal(temperature):
    part, raw = Gaussian(), torch.tensor([[0.7, -0.2]], dtype=torch.float64)
    scale = math.sqrt(temperature) * (0.03 + math.log1p(math.exp(-0.2)))
    expected = stats.norm(0.7, scale).ppf(grid()[:, 0].numpy())
    np.testing.assert_allclose(draws(part, raw, temperature).numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
@pytest.mark.parametrize("logit", [-40.0, -3.0, -1e-7, 0.0, 1e-3, 4.0, 900.0])
def test_temperature_divides_the_slope_of_a_continuous_bernoulli(logit, temperature):
    x = draws(ContinuousBernoulli(), torch.tensor([[logit]], dtype=torch.float64), temperature)
    slope = logit / temperature
    rate = abs(slope)
    # An exponential distribution cut off at 1, the other way round where it rises.
    noise = grid()[:, 0].numpy()
    u = 1 - noise if slope > 0 else noise
    falling = u if rate < 1e-6 else stats.truncexpon(rate, scale=1 / rate).ppf(u)
    np.testing.assert_allclose(x.numpy(), 1 - falling if slope > 0 else falling, atol=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_raises_weights_to_a_power_and_widens_components(temperature):
    part = GaussianMixture(components=2, min_scale=0.01, outliers=0.0)
    raw = torch.tensor([[0.0, 1.0, -30.5, 30.5, -1.0, -1.0]], dtype=torch.float64)  # far apart: around -31 and 31
    x = draws(part, raw, temperature)
    share = 1 / (1 + math.exp(-1 / temperature))
    assert (x > 0).double().mean().item() == pytest.approx(share, abs=1e-4)
    scale = math.sqrt(temperature) * (0.01 + math.log1p(math.exp(-1.0)))
    assert x[x > 0].std().item() == pytest.approx(scale, rel=1e-3)
    assert x[x < 0].std().item() == pytest.approx(scale, rel=1e-3)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_changes_the_share_of_outliers(temperature):
    part, raw = Gaussian(outliers=0.2), torch.tensor([[0.0, -9.0]], dtype=torch.float64)
    share = 0.2 ** (1 / temperature) / (0.2 ** (1 / temperature) + 0.8 ** (1 / temperature))
    # All ordinary draws lie within 6 of their scales of 0, and of the outliers those in between are known.
    near = 6 * 0.031 * math.sqrt(temperature)
    beyond = 2 * stats.norm.sf(near / (10 * math.sqrt(temperature)))
    x = draws(part, raw, temperature)
    assert (x.abs() > near).double().mean().item() == pytest.approx(share * beyond, abs=1e-3)


@pytest.mark.parametrize("part", WHOLE, ids=str)
def test_cold_draws_are_the_likeliest_value(part):
    raw = one_raw(part)
    mode = probabilities(part, raw).argmax().item() / (getattr(part, "levels", 2) - 1)
    assert (draws(part, raw, 1e-4) == mode).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("part", PARTS, ids=str)
def test_noise_at_its_ends_gives_values_that_can_be(part, dtype):
    """The largest number below 1 is below a sum of probabilities too that rounding left short of 1."""
    n_values = math.prod(shape_of(part))
    ends = torch.tensor([0.0, 1 - torch.finfo(dtype).eps / 2], dtype=dtype)
    noise = ends.repeat_interleave(300).view(-1, 1).expand(-1, n_values).reshape(-1, *shape_of(part))
    raw = 8 * raw_for(part, n=len(noise), dtype=dtype)
    observation = part.build(shape_of(part)).to(dtype)
    x = observation.draw(raw, noise)
    assert x.shape == noise.shape
    assert x.dtype == dtype
    assert observation(raw).log_prob(x).isfinite().all()


def test_a_level_without_probability_is_never_drawn():
    logits = torch.full((1, 256), -1e4)
    logits[:, [3, 100]] = torch.tensor([0.0, 0.5])
    noise = torch.cat([torch.zeros(1), torch.rand(5000), torch.tensor([1 - 2**-24])]).unsqueeze(1)
    drawn = Categorical(256).build((1,)).draw(logits.expand(len(noise), -1), noise)
    assert set((drawn * 255).round().int().flatten().tolist()) == {3, 100}


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_raw_numbers_of_half_precision_are_read_in_float32(part):
    raw = raw_for(part, dtype=torch.bfloat16)
    noise, observation = torch.rand(7, *shape_of(part)), part.build(shape_of(part))
    assert torch.equal(observation.draw(raw, noise), observation.draw(raw.float(), noise))


def test_a_category_is_drawn_by_the_first_noise_of_its_values():
    part = Columns((1, 4))
    raw = torch.randn(1, part.raw_channels * 5).expand(1000, -1)
    noise = torch.rand(1000, 5)
    observation = part.build((5,))
    x = observation.draw(raw, noise)
    again = observation.draw(raw, torch.cat([noise[:, :2], torch.rand(1000, 3)], 1))
    assert torch.equal(x, again)
    level = x[:, 1:].argmax(1)[noise[:, 1].argsort()]
    assert (level.diff() >= 0).all()
    assert len(level.unique()) > 1
