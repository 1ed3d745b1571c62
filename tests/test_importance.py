"""Estimates of log p by importance samples, against formulas; and whether their errors are what they say."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from likely.contract import Belief, LatentDensity
from likely.likelihoods import Bernoulli
from likely.models import VAE
from likely.networks import MLP
from likely.tasks import importance, proposals, units
from likely.tasks.importance import LogProbEstimate, importance_estimate, one_sample_bound
from likely.tasks.quadrature import quadrature
from likely.tasks.units import code_use
from likely.variational.posteriors import Diagonal, Full
from tests.little_models import LittleLinear
from tests.zoo import ZOO


def linear(*, z_size: int = 3, **posterior: float) -> LittleLinear:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LittleLinear((6,), z_size, **posterior).double().eval().requires_grad_(False)


def rows(model: LittleLinear, n: int = 8) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        z = torch.randn(n, model.z_size, dtype=torch.float64)
        return model.decode(z) + model.scale * torch.randn(n, 6, dtype=torch.float64)


by_posterior = partial(importance_estimate, refine=False)


def test_an_exact_posterior_wastes_no_sample():
    model = linear()
    found = by_posterior(model, rows(model), n_samples=200)
    assert torch.allclose(found.log_prob, model.exact(rows(model)), atol=1e-10)
    assert torch.allclose(found.one_sample, model.exact(rows(model)), atol=1e-10)
    assert torch.allclose(found.effective_samples, torch.full((8,), 200.0).double())
    assert found.error.abs().max() < 1e-6
    assert found.mean_error < 1e-6
    assert found.n_heavy == 0


def test_an_absurd_posterior_leaves_one_sample_of_a_thousand():
    model = linear(shift=4.0, stretch=1.5)
    found = by_posterior(model, rows(model), n_samples=1000)
    assert found.effective_samples.min() >= 1
    assert found.effective_samples.median() < 3
    assert found.error.min() > 0.3
    assert found.n_heavy == 8


def test_effective_samples_and_errors_by_hand():
    weights = torch.tensor([[1.0, 2.0], [1.0, 1.0], [4.0, 1.0], [2.0, 1.0]], dtype=torch.float64)
    found, _ = importance.estimated(weights.log())
    assert found.log_prob.tolist() == pytest.approx([math.log(2.0), math.log(1.25)])
    assert found.effective_samples.tolist() == pytest.approx([64 / 22, 25 / 7])
    variance = (weights.std(0) / weights.mean(0) / 2) ** 2
    by_hand = (variance + found.shortfall**2).sqrt()
    assert found.error.tolist() == pytest.approx(by_hand.tolist())
    assert (found.shortfall >= variance / 2 - 1e-12).all()  # of the logarithm of a mean
    both = (weights / weights.mean(0)).mean(1)
    assert found.mean_error == pytest.approx(math.hypot(float(both.std()) / 2, float(found.shortfall.mean())))
    assert found.pareto_shape.isnan().all()  # of so few weights nobody knows
    assert found.n_heavy == 0
    stuck, _ = importance.estimated(torch.tensor([[0.1], [-0.1], [0.0], [0.1], [-90.0]]))
    assert stuck.shortfall < 0.2  # a chain that got stuck adds nothing, and takes nothing away


def test_bounds_rise_to_log_p():
    model = linear(shift=0.15, stretch=1.3)
    x = rows(model)
    log_p = model.exact(x)
    many = by_posterior(model, x, n_samples=20_000, seed=3)
    assert (many.one_sample < log_p - 0.05).all()
    assert ((many.log_prob - log_p).abs() < 4 * many.error).all()
    assert many.error.max() < 0.05
    short = torch.stack([by_posterior(model, x, n_samples=2, seed=i).log_prob for i in range(500)])
    error = short.std(0) / math.sqrt(500)
    assert (short.mean(0) < log_p - 3 * error).all()
    assert (short.mean(0) > many.one_sample + 3 * error).all()


def scores(model: LittleLinear, estimate: Callable[..., LogProbEstimate], repetitions: int) -> tuple[Tensor, Tensor]:
    """Errors of rows, and of the mean over rows, in what they are said to be."""
    x = rows(model)
    log_p = model.exact(x)
    found = [estimate(model, x, seed=i) for i in range(repetitions)]
    each = torch.stack([(one.log_prob - log_p) / one.error for one in found])
    return each, torch.tensor([(one.mean - float(log_p.mean())) / one.mean_error for one in found])


def test_errors_are_as_large_as_they_say():
    each, mean = scores(linear(shift=0.1, stretch=1.3), partial(by_posterior, n_samples=400), 300)
    assert abs(float(each.mean())) < 0.3
    assert 0.75 < each.std() < 1.1
    assert 0.75 < mean.std() < 1.1  # taken as independent, the errors of rows would make it twice that


@torch.no_grad()
def test_a_wider_posterior_finds_what_a_narrow_one_leaves_out():
    model = linear(stretch=0.6)
    x = rows(model)
    log_p = model.exact(x)
    plain, wide = (
        torch.stack([by_posterior(model, x, n_samples=300, width=width, seed=i).log_prob for i in range(40)])
        for width in (1.0, 1.0 / 0.6)
    )
    assert torch.allclose(wide, log_p.expand_as(wide), atol=1e-9)  # by this width the posterior is exact
    assert (plain.mean(0) < log_p - 0.02).all()
    each = by_posterior(model, x, n_samples=2000, width=1.4)
    assert ((each.log_prob - log_p).abs() < 4 * each.error).all()
    near = by_posterior(model, x, n_samples=50, width=1 + 1e-9).log_prob
    assert torch.allclose(near, by_posterior(model, x, n_samples=50).log_prob, atol=1e-6)


# A posterior that is far too narrow: what its samples miss, they do not know of.


def narrow() -> tuple[LittleLinear, Tensor, Tensor]:
    """A posterior of a third of the width it should have, rows, and their log p."""
    model = linear(z_size=6, stretch=0.35)
    return model, rows(model), model.exact(rows(model))


def test_heavy_tails_are_said_where_the_error_of_the_noise_is_blind():
    model, x, log_p = narrow()
    found = [by_posterior(model, x, n_samples=1000, seed=i) for i in range(40)]
    noise = torch.stack([(1 / one.effective_samples - 1 / 1000).sqrt() for one in found])
    missed = torch.stack([log_p - one.log_prob for one in found])
    assert (missed > 2 * noise).double().mean() > 0.7
    assert missed.mean() / noise.mean() > 3
    silent = torch.stack([~one.heavy for one in found]) & (
        torch.stack([(one.log_prob - log_p).abs() > 2 * one.error for one in found])
    )
    assert silent.double().mean() < 0.08


@pytest.mark.parametrize("stretch", [0.85, 0.75, 0.65])
def test_the_error_covers_or_says_that_it_cannot(stretch):
    """Posteriors from a little to far too narrow, 4,000 repetitions of one row at once."""
    k, n, size = 1000, 4000, 8
    with torch.random.fork_rng():
        torch.manual_seed(0)
        e = torch.randn(k, n, size, dtype=torch.float64)
    # Of a normal p and a narrower q about the same mean; the true log-mean is 0.
    log_w = size * math.log(stretch) + 0.5 * (1 - stretch**2) * e.square().sum(2)
    found, _ = importance.estimated(log_w)
    off = found.log_prob.abs()
    light = ~found.heavy
    assert ((off > 2 * found.error) & light).double().mean() < 0.1
    blind = (1 / found.effective_samples - 1 / k).sqrt()
    assert (off > 2 * found.error).double().sum() < 0.8 * (off > 2 * blind).double().sum()
    assert (light.double().mean() > 0.9) == (stretch == 0.85)
    assert found.error[light].median() < 2 * blind[light].median()  # it does not cover by being anything


@pytest.mark.parametrize(("shift", "stretch"), [(0.0, 0.35), (0.5, 0.5), (4.0, 1.5)])
def test_a_refined_proposal_finds_log_p_from_a_posterior_that_is_wrong(shift, stretch):
    model = linear(z_size=6, shift=shift, stretch=stretch)
    x = rows(model)
    log_p = model.exact(x)
    plain = by_posterior(model, x, n_samples=1000)
    found = importance_estimate(model, x, n_samples=1000)
    assert (found.effective_samples > 10 * plain.effective_samples).all()
    assert found.effective_samples.min() > 600
    assert found.n_heavy == 0
    assert plain.n_heavy == 8
    assert found.error.max() < 0.03
    assert ((found.log_prob - log_p).abs() < 3 * found.error).all()


def test_a_refined_proposal_is_as_far_off_as_it_says():
    estimate = partial(importance_estimate, n_samples=200)
    each, mean = scores(linear(z_size=6, stretch=0.35), estimate, 40)
    assert 0.6 < each.std() < 1.25
    assert 0.6 < mean.std() < 1.25
    assert abs(float(each.mean())) < 0.4


def test_a_posterior_that_is_better_than_the_fitted_normal_is_kept(monkeypatch):
    model = linear()
    x = rows(model)
    far = Full(torch.full((8, 3), 9.0).double(), torch.eye(3).double().expand(8, 3, 3).clone())
    monkeypatch.setattr(proposals, "nearest_normal", lambda *_: far)
    found = importance_estimate(model, x, n_samples=200, width=1.0)
    assert torch.allclose(found.log_prob, model.exact(x), atol=1e-9)


class Square(LatentDensity):
    """x = z^2 + noise: of a code nothing is known but its size. The posterior knows of positive codes alone."""

    z_shape = (1,)

    def __init__(self) -> None:
        super().__init__((1,))
        self.scale = torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

    def _infer(self, x: Tensor, condition: Tensor | None) -> Diagonal:
        return Diagonal(x.clamp_min(0.1).sqrt(), torch.full_like(x, -2.0))

    def _log_prior(self, z: Tensor) -> Tensor:
        return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)

    def _log_likelihood(self, x: Tensor, z: Tensor, condition: Tensor | None) -> Tensor:
        return torch.distributions.Normal(z.square(), self.scale).log_prob(x).sum(1)

    def _draw_prior(self, n: int) -> Tensor:
        return torch.randn(n, 1, dtype=torch.float64)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return z.square()


def test_codes_far_from_the_fitted_normal_are_found_by_draws_from_the_prior(monkeypatch):
    model, x = Square().eval(), torch.tensor([[1.5], [2.0], [3.0]], dtype=torch.float64)
    log_p = quadrature(model, x)
    found = importance_estimate(model, x, n_samples=1000)
    assert ((found.log_prob - log_p).abs() < 2.5 * found.error).all()
    assert found.error.max() < 0.4
    monkeypatch.setattr(proposals, "FROM_PRIOR", 0.0)
    half = importance_estimate(model, x, n_samples=1000)
    assert torch.allclose(half.log_prob, log_p - math.log(2), atol=0.1)
    assert half.n_heavy == 0  # what no draw comes near, no tail tells of


def test_rows_may_be_drawn_from_different_proposals(monkeypatch):
    """Some by a normal that was fitted, some by the posterior, each with its own samples."""
    model = linear(shift=0.3, stretch=0.8)
    x = rows(model)
    fit = proposals.nearest_normal

    def some_fail(*given):
        normal = fit(*given)
        normal.loc[::2] = 9.0
        return normal

    whole = importance_estimate(model, x, n_samples=500)
    monkeypatch.setattr(proposals, "nearest_normal", some_fail)
    found = importance_estimate(model, x, n_samples=500)
    plain = by_posterior(model, x, n_samples=500, width=1 + proposals.WIDENING / math.sqrt(3))
    assert torch.allclose(found.log_prob[1::2], whole.log_prob[1::2])
    assert torch.allclose(found.log_prob[::2], plain.log_prob[::2])


@pytest.mark.parametrize("name", ["vae-bits", "vae-autoregressive", "vae-columns", "ladder-bits"])
def test_proposals_of_any_model_take_fewer_samples(name):
    model, x = ZOO[name].model(), ZOO[name].x()[:6]
    plain, found = (importance_estimate(model, x, n_samples=500, refine=refine, width=1.0) for refine in (False, True))
    assert found.effective_samples.mean() > plain.effective_samples.mean()
    assert found.effective_samples.min() > 450
    with torch.inference_mode():
        again = importance_estimate(model, x.clone(), n_samples=500, width=1.0)
    assert torch.equal(again.log_prob, found.log_prob)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_proposals_see_conditions():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VAE((6,), 2, network=MLP((16,)), likelihood=Bernoulli(), condition_shape=(3,)).double().eval()
        x, condition = torch.randint(2, (6, 6)).double(), 4 * torch.randn(6, 3, dtype=torch.float64)
    found = importance_estimate(model, x, condition, n_samples=2000)
    assert torch.allclose(found.log_prob, quadrature(model, x, condition), atol=0.1)
    assert found.effective_samples.min() > 1000
    assert not torch.allclose(found.log_prob, quadrature(model, x, condition.flip(0)), atol=0.1)


class Shaped:
    """A belief about codes of some shape, from one about codes laid flat."""

    def __init__(self, flat: Belief, z_shape: tuple[int, ...]) -> None:
        self.flat, self.z_shape = flat, z_shape

    def draw(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        z, log_q = self.flat.draw(noise.flatten(2))
        return z.unflatten(2, self.z_shape), log_q


class Folded(LatentDensity):
    """A model whose code is a table of 2 x 2 instead of four values."""

    def __init__(self, flat: LittleLinear) -> None:
        super().__init__(flat.x_shape)
        self.flat, self.z_shape = flat, (2, 2)

    def _infer(self, x: Tensor, condition: Tensor | None) -> Shaped:
        return Shaped(self.flat.infer(x), self.z_shape)

    def _log_prior(self, z: Tensor) -> Tensor:
        return self.flat.log_prior(z.flatten(1))

    def _log_likelihood(self, x: Tensor, z: Tensor, condition: Tensor | None) -> Tensor:
        return self.flat.log_likelihood(x, z.flatten(1))

    def _draw_prior(self, n: int) -> Tensor:
        return self.flat.draw_prior(n).unflatten(1, self.z_shape)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return self.flat.decode(z.flatten(1))


@pytest.mark.parametrize("refine", [False, True])
def test_codes_may_have_any_shape(refine):
    model = linear(z_size=4, shift=0.3, stretch=0.8)
    x = rows(model)
    flat = importance_estimate(model, x, n_samples=300, refine=refine)
    folded = importance_estimate(Folded(model).eval(), x, n_samples=300, refine=refine)
    assert torch.allclose(folded.log_prob, flat.log_prob)


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
    one = by_posterior(model, x, n_samples=20_000, seed=9).one_sample
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
