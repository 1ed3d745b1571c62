"""Each likelihood value by value against a reference in float64, and its means and draws against itself."""

import math

import numpy as np
import pytest
import torch

from likely.errors import DataError
from likely.likelihoods import (
    LIKELIHOODS,
    OUTLIER_SCALE,
    Bernoulli,
    Categorical,
    Columns,
    ContinuousBernoulli,
    DiscretizedLogisticMixture,
    Gaussian,
    GaussianMixture,
    default_likelihood,
    observed_log_prob,
    ordinary_draw,
    split_missing,
)
from likely.rng import stream
from tests.likelihood_cases import PARTS, raw_for, shape_of, values_of


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_float32_agrees_with_float64(part):
    raw, x = raw_for(part), values_of(part)
    observation = part.build(shape_of(part))
    single = observation(raw).log_prob(x)
    double = part.build(shape_of(part)).double()(raw.double()).log_prob(x.double())
    assert torch.allclose(single.double(), double, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_half_precision_raw_numbers_are_read_in_float32(part):
    raw, x = raw_for(part, dtype=torch.bfloat16), values_of(part)
    observation = part.build(shape_of(part))
    assert torch.equal(observation(raw).log_prob(x), observation(raw.float()).log_prob(x))


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_means_are_means_of_draws(part):
    raw = raw_for(part, n=1).double()
    observation = part.build(shape_of(part)).double()
    draws = observation(raw.expand(20_000, *raw.shape[1:])).sample()
    tolerance = 6 * draws.std(0) / math.sqrt(len(draws)) + 1e-6
    if isinstance(part, DiscretizedLogisticMixture):
        tolerance = tolerance + 0.5 / (part.levels - 1)  # its mean is that before rounding, and says so
    assert ((draws.mean(0) - observation(raw).mean[0]).abs() < tolerance).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("part", PARTS, ids=str)
def test_draws_follow_the_stream_and_nothing_else(part, dtype):
    observation, before = part.build(shape_of(part))(raw_for(part, dtype=dtype)), torch.get_rng_state()
    for sample in (observation.sample, lambda: ordinary_draw(observation)):
        with stream("draws"):
            first, second = sample(), sample()
        with stream("draws"):
            assert torch.equal(sample(), first)
        assert not torch.equal(first, second)
        assert first.dtype == dtype
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("log_scale", [-2.0, -3.5, -5.0, -9.0])
def test_every_bin_of_a_discretized_logistic_equals_its_reference(log_scale):
    """A form that subtracts two sigmoids still sums to one, and gives zero for half of the bins."""
    levels, loc = 256, 0.3
    observation = DiscretizedLogisticMixture(levels, components=1).build((1,))
    floor = math.log(0.02 / (levels - 1))
    inverse = math.log(math.expm1(log_scale - floor)) if log_scale - floor < 30 else log_scale - floor
    raw = torch.tensor([[0.0, loc - 0.5, inverse + 2.0 + floor]])
    x = torch.linspace(0, 1, levels).view(-1, 1)
    ours = observation(raw.expand(levels, 3)).log_prob(x).double().numpy()

    scale = np.float64(math.exp(log_scale))
    half = 0.5 / (levels - 1)
    upper, lower = ((x.double().numpy()[:, 0] + sign * half - loc) / scale for sign in (1, -1))
    inside = -np.logaddexp(0, -upper) - np.logaddexp(0, lower) + np.log(-np.expm1(lower - upper))
    reference = np.where(
        np.arange(levels) == 0,
        -np.logaddexp(0, -upper),
        np.where(np.arange(levels) == 255, -np.logaddexp(0, lower), inside),
    )
    np.testing.assert_allclose(ours, reference, rtol=2e-3, atol=2e-4)
    assert np.exp(ours).sum() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("part", [Categorical(5), DiscretizedLogisticMixture(5), Bernoulli()], ids=str)
def test_probabilities_of_all_levels_of_a_value_sum_to_one(part):
    n_levels = getattr(part, "levels", 2)
    raw = torch.randn(1, part.raw_channels, dtype=torch.float64).expand(n_levels, -1)
    x = torch.linspace(0, 1, n_levels, dtype=torch.float64).view(-1, 1)
    assert part.build((1,)).double()(raw).log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_missing_values_count_for_nothing(part):
    raw, x = raw_for(part).double().requires_grad_(), values_of(part).double()
    observation = part.build(shape_of(part)).double()
    gone = torch.rand(x.shape) < 0.4
    masked = observed_log_prob(observation(raw), *split_missing(x.masked_fill(gone, torch.nan)))
    by_hand = observation(raw).base_dist.log_prob(x).masked_fill(gone, 0).flatten(1).sum(1)
    assert torch.allclose(masked, by_hand)
    masked.sum().backward()
    assert raw.grad.isfinite().all()


def test_a_gaussian_keeps_its_floor():
    part = Gaussian(min_scale=0.2)
    observation = part.build((1,))
    raw = torch.tensor([[0.0, -50.0]])
    assert observation(raw).log_prob(torch.zeros(1, 1)).item() == pytest.approx(-math.log(0.2 * math.sqrt(2 * math.pi)))
    scales = torch.tensor([0.21, 0.5, 3.0, 40.0], dtype=torch.float64)
    read = part.build((1,)).values(torch.stack([torch.zeros(4), part.raw_scale(scales)], 1)).scale
    assert torch.allclose(read.flatten(), scales)


def test_defaults_follow_the_domain():
    chosen = {
        ("binary", 2): Bernoulli(),
        ("unit", 0): ContinuousBernoulli(),
        ("levels", 17): Categorical(17),
        ("levels", 256): DiscretizedLogisticMixture(256),
        ("real", 0): Gaussian(outliers=0.01),
    }
    for (domain, levels), part in chosen.items():
        assert default_likelihood(domain, levels) == part
        part.check(domain, levels)


def test_defaults_of_models_by_the_chain_rule_leave_every_value_free():
    chosen = {
        ("binary", 2): Bernoulli(),
        ("unit", 0): ContinuousBernoulli(),
        ("levels", 256): Categorical(256),
        ("levels", 1000): DiscretizedLogisticMixture(1000),
        ("real", 0): GaussianMixture(),
    }
    for (domain, levels), part in chosen.items():
        assert default_likelihood(domain, levels, exact=True) == part


def test_defaults_of_tables_have_categories_where_there_are_some():
    assert default_likelihood("real", 0, widths=(1, 3)) == Columns((1, 3), Gaussian(outliers=0.01))
    assert default_likelihood("real", 0, widths=(1, 3), exact=True) == Columns((1, 3), GaussianMixture())
    assert default_likelihood("real", 0, widths=(1, 1)) == Gaussian(outliers=0.01)


def test_data_of_another_domain_is_refused_with_what_fits():
    with pytest.raises(DataError, match=r"Bernoulli is no likelihood of unit data.*ContinuousBernoulli"):
        Bernoulli().check("unit", 0)
    with pytest.raises(DataError, match="set levels=17"):
        Categorical(256).check("levels", 17)


def test_every_likelihood_is_listed():
    assert {type(part) for part in PARTS} == set(LIKELIHOODS.values())


def test_a_mixture_of_normals_equals_its_reference():
    """Far from all components too, where densities underflow and logarithms do not."""
    part = GaussianMixture(components=2, min_scale=0.1, outliers=0.05)
    raw = torch.tensor([[0.3, -0.9, 1.0, -2.0, 0.5, -30.0]], dtype=torch.float64)
    x = torch.tensor([-300.0, -7.0, -2.5, 0.1, 1.5, 80.0], dtype=torch.float64)
    ours = part.build((1,))(raw.expand(len(x), -1)).log_prob(x.unsqueeze(1)).numpy()

    weight = np.exp([0.3, -0.9]) / np.exp([0.3, -0.9]).sum()
    loc = np.array([1.0 - 0.5, -2.0 + 0.5])  # components start side by side
    scale = 0.1 + np.logaddexp(0, [0.5, -30.0])
    weight, loc, scale = (
        np.append(*pair) for pair in ((0.95 * weight, 0.05), (loc, weight @ loc), (scale, OUTLIER_SCALE))
    )
    each = -0.5 * ((x.numpy()[:, None] - loc) / scale) ** 2 - np.log(scale * math.sqrt(2 * math.pi)) + np.log(weight)
    np.testing.assert_allclose(ours, np.logaddexp.reduce(each, axis=1), rtol=1e-12)


def test_a_mixture_of_normals_integrates_to_one_and_starts_about_as_wide_as_a_column():
    part = GaussianMixture()
    x = torch.linspace(-120, 120, 240_001, dtype=torch.float64).unsqueeze(1)
    density = part.build((1,))(torch.zeros(len(x), part.raw_channels, dtype=torch.float64)).log_prob(x).exp()
    assert torch.trapezoid(density, x[:, 0]).item() == pytest.approx(1, abs=1e-9)
    ordinary = GaussianMixture(outliers=0).build((1,))(torch.zeros(len(x), part.raw_channels, dtype=torch.float64))
    variance = torch.trapezoid(ordinary.log_prob(x).exp() * x[:, 0] ** 2, x[:, 0]).item()
    assert 0.8 < variance < 1.2


def test_draws_of_a_mixture_have_its_spread_and_ordinary_ones_no_outliers():
    part = GaussianMixture(components=2, min_scale=0.1, outliers=0.1)
    raw = torch.tensor([[0.3, -0.9, 1.0, -2.0, -1.0, -1.0]], dtype=torch.float64)
    observation = part.build((1,))(raw.expand(50_000, -1))
    x = observation.sample()
    # A hundredth of the draws lies where only outliers do: 0.1 times the share of a normal beyond 2 of its scales.
    assert ((x - observation.mean).abs() > 2 * OUTLIER_SCALE).double().mean().item() == pytest.approx(0.00455, abs=1e-3)
    assert (ordinary_draw(observation) - observation.mean).abs().max() < 6


@pytest.mark.parametrize("given", [{"components": 0}, {"min_scale": 0.0}, {"outliers": 1.0}])
def test_a_mixture_of_normals_refuses_what_is_none(given):
    with pytest.raises(ValueError, match=next(iter(given))):
        GaussianMixture(**given)
