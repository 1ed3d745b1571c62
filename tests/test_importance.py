"""Estimates of log p by importance samples, against formulas; and whether their errors are what they say."""

import math

import pytest
import torch
from torch import Tensor

from likely.tasks import importance, units
from likely.tasks.importance import importance_estimate, one_sample_bound
from likely.tasks.quadrature import quadrature
from likely.tasks.units import code_use
from tests.little_models import LittleLinear


def linear(*, z_size: int = 3, **posterior: float) -> LittleLinear:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LittleLinear((6,), z_size, **posterior).double().eval().requires_grad_(False)


def rows(model: LittleLinear, n: int = 8) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        z = torch.randn(n, model.z_size, dtype=torch.float64)
        return model.decode(z) + model.scale * torch.randn(n, 6, dtype=torch.float64)


def test_an_exact_posterior_wastes_no_sample():
    model = linear()
    found = importance_estimate(model, rows(model), n_samples=50)
    assert torch.allclose(found.log_prob, model.exact(rows(model)), atol=1e-10)
    assert torch.allclose(found.one_sample, model.exact(rows(model)), atol=1e-10)
    assert torch.allclose(found.effective_samples, torch.full((8,), 50.0).double())
    assert found.error.abs().max() < 1e-6
    assert found.mean_error < 1e-6


def test_an_absurd_posterior_leaves_one_sample_of_a_thousand():
    model = linear(shift=4.0, stretch=1.5)
    found = importance_estimate(model, rows(model), n_samples=1000)
    assert found.effective_samples.min() >= 1
    assert found.effective_samples.median() < 3
    assert found.error.min() > 0.3


def test_effective_samples_and_errors_by_hand():
    weights = torch.tensor([[1.0, 2.0], [1.0, 0.0], [4.0, 0.0], [2.0, 0.0]], dtype=torch.float64)
    found, _ = importance.estimated(weights.log())
    assert found.log_prob.tolist() == pytest.approx([math.log(2.0), math.log(0.5)])
    assert found.effective_samples.tolist() == pytest.approx([64 / 22, 1.0])
    by_hand = weights.std(0) / weights.mean(0) / 2
    assert found.error.tolist() == pytest.approx(by_hand.tolist())
    both = (weights / weights.mean(0)).mean(1)
    assert found.mean_error == pytest.approx(float(both.std()) / 2)


def test_bounds_rise_to_log_p():
    model = linear(shift=0.15, stretch=1.3)
    x = rows(model)
    log_p = model.exact(x)
    few, many = (importance_estimate(model, x, n_samples=k, seed=3) for k in (30, 20_000))
    assert (many.one_sample < log_p - 0.05).all()
    assert ((many.log_prob - log_p).abs() < 4 * many.error).all()
    assert many.error.max() < 0.05
    short = torch.stack([importance_estimate(model, x, n_samples=2, seed=i).log_prob for i in range(500)])
    error = short.std(0) / math.sqrt(500)
    assert (short.mean(0) < log_p - 3 * error).all()
    assert (short.mean(0) > many.one_sample + 3 * error).all()
    assert few.n_samples == 30


def z_scores(model: LittleLinear, n_samples: int, repetitions: int) -> tuple[Tensor, Tensor]:
    """Errors of rows, and of the mean over rows, in their own standard errors."""
    x = rows(model)
    log_p = model.exact(x)
    found = [importance_estimate(model, x, n_samples=n_samples, seed=i) for i in range(repetitions)]
    each = torch.stack([(one.log_prob - log_p) / one.error for one in found])
    return each, torch.tensor([(one.mean - float(log_p.mean())) / one.mean_error for one in found])


def test_errors_are_as_large_as_they_say():
    each, mean = z_scores(linear(shift=0.1, stretch=1.3), 400, 300)
    assert abs(float(each.mean())) < 0.3
    assert 0.85 < each.std() < 1.15
    assert 0.85 < mean.std() < 1.2  # taken as independent, the errors of rows would make it twice that


@torch.no_grad()
def test_a_wider_posterior_finds_what_a_narrow_one_leaves_out():
    model = linear(stretch=0.6)
    x = rows(model)
    log_p = model.exact(x)
    plain, wide = (
        torch.stack([importance_estimate(model, x, n_samples=300, width=width, seed=i).log_prob for i in range(40)])
        for width in (1.0, 1.0 / 0.6)
    )
    assert torch.allclose(wide, log_p.expand_as(wide), atol=1e-9)  # by this width the posterior is exact
    assert (plain.mean(0) < log_p - 0.02).all()
    each = importance_estimate(model, x, n_samples=2000, width=1.4)
    assert ((each.log_prob - log_p).abs() < 4 * each.error).all()
    near = importance_estimate(model, x, n_samples=50, width=1 + 1e-9).log_prob
    assert torch.allclose(near, importance_estimate(model, x, n_samples=50).log_prob, atol=1e-6)


def test_a_row_is_estimated_by_itself(monkeypatch):
    model = linear(shift=0.1, stretch=1.3)
    x = rows(model)
    whole = importance_estimate(model, x, n_samples=40)
    assert torch.allclose(importance_estimate(model, x[5:6], n_samples=40).log_prob, whole.log_prob[5:6])
    assert torch.allclose(importance_estimate(model, x.flip(0), n_samples=40).log_prob, whole.log_prob.flip(0))
    monkeypatch.setattr(importance, "ROWS_AT_ONCE", 3)
    pieces = importance_estimate(model, x, n_samples=40)
    assert torch.allclose(pieces.log_prob, whole.log_prob)
    assert pieces.mean_error == pytest.approx(whole.mean_error)


def test_noise_comes_from_the_seed_alone():
    model = linear(shift=0.1)
    x = rows(model)
    torch.manual_seed(0)
    first = importance_estimate(model, x, n_samples=5).log_prob
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), expected)  # estimating drew nothing from the global generator
    assert torch.equal(first, importance_estimate(model, x, n_samples=5).log_prob)
    assert not torch.equal(first, importance_estimate(model, x, n_samples=5, seed=1).log_prob)


def test_one_sample_splits_into_distortion_and_rate():
    model = linear(shift=0.2, stretch=1.2)
    x = rows(model)
    split = one_sample_bound(model, x, n_samples=20_000)
    prior = torch.distributions.MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    by_formula = torch.distributions.kl_divergence(model.infer(x).q, prior)
    assert torch.allclose(split.rate, by_formula, atol=0.1)
    one = importance_estimate(model, x, n_samples=20_000, seed=9).one_sample
    assert torch.allclose(-split.distortion - split.rate, one, atol=0.1)


def test_estimates_need_rows_and_samples():
    model = linear()
    with pytest.raises(ValueError, match="n_samples must be at least 1"):
        importance_estimate(model, rows(model), n_samples=0)
    with pytest.raises(ValueError, match="width must be positive"):
        importance_estimate(model, rows(model), width=0.0)
    with pytest.raises(ValueError, match="at least one row"):
        importance_estimate(model, rows(model)[:0])


@pytest.mark.parametrize("z_size", [1, 2])
def test_quadrature_equals_the_formula(z_size):
    model = linear(z_size=z_size)
    x = rows(model)
    assert torch.allclose(quadrature(model, x, tolerance=1e-9), model.exact(x), atol=1e-8)


def test_quadrature_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="one or two values, got 3"):
        quadrature(linear(), rows(linear()))
    narrow = linear(z_size=2, scale=1e-3)
    with pytest.raises(ValueError, match="too narrow"):
        quadrature(narrow, rows(narrow))


def test_rates_are_those_of_the_formula():
    model = linear(shift=0.2, stretch=1.2)
    x = rows(model, 600)
    prior = torch.distributions.MultivariateNormal(torch.zeros(3).double(), torch.eye(3).double())
    by_formula = torch.distributions.kl_divergence(model.infer(x).q, prior)
    use = code_use(model, x)
    assert torch.allclose(use.rate, by_formula, atol=0.3)
    assert use.unit_rates is None  # this belief has no formula
    assert use.n_active == 3
    assert not use.collapsed
    drawn = model.infer(x).draw(torch.randn(1000, 1, 3, dtype=torch.float64))[0].mean(0)
    assert torch.allclose(use.variance, drawn.var(0), rtol=0.2)


class Factorized:
    """A belief with rates by formula: against N(0, I), or against a wider prior."""

    def __init__(self, loc: Tensor, scale: Tensor) -> None:
        self.loc, self.scale = loc, scale

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        z = self.loc + self.scale * noise
        return z, torch.distributions.Normal(self.loc, self.scale).log_prob(z).sum(2)

    def rates(self) -> Tensor:
        return 0.5 * (self.loc.square() + self.scale.square() - 1) - self.scale.log()


def test_dead_units_are_found_and_rates_by_formula_are_checked(monkeypatch):
    model = linear()
    x = rows(model, 200)
    loc = torch.stack([x[:, 0], 0.05 * x[:, 1], torch.zeros(200).double()], 1)
    belief = Factorized(loc, torch.tensor([0.2, 0.99, 1.0], dtype=torch.float64).expand_as(loc))
    monkeypatch.setattr(LittleLinear, "_infer", lambda *_: belief)
    use = code_use(model, x)
    assert use.unit_rates is not None
    assert torch.allclose(use.unit_rates, belief.rates().mean(0))
    assert use.active.tolist() == [True, False, False]
    assert not use.collapsed
    # Under another prior the formula for N(0, I) does not hold, and is not believed.
    wide = torch.distributions.Normal(0.0, 3.0)
    monkeypatch.setattr(LittleLinear, "_log_prior", lambda _, z: wide.log_prob(z).sum(1))
    other = code_use(model, x)
    assert other.unit_rates is None
    q = torch.distributions.Normal(belief.loc, belief.scale)
    assert torch.allclose(other.rate, torch.distributions.kl_divergence(q, wide).sum(1), atol=0.05)


def test_a_collapsed_posterior_is_told_from_a_faint_one(monkeypatch):
    model = linear()
    x = rows(model, 200)

    def says(gain: float) -> units.CodeUse:
        loc = gain * x[:, :3]
        belief = Factorized(loc, (1 - gain**2 / 4) * torch.ones_like(loc))
        monkeypatch.setattr(LittleLinear, "_infer", lambda *_: belief)
        return code_use(model, x)

    assert says(0.0).collapsed
    assert says(0.01).collapsed
    assert not says(0.5).collapsed
