"""Annealed importance sampling against formulas, and whether its errors are what they say."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from likely.contract import LatentDensity
from likely.tasks import annealing
from likely.tasks.annealing import Annealing, annealed_estimate
from likely.tasks.importance import importance_estimate
from likely.tasks.quadrature import quadrature
from tests.little_models import LittleLinear
from tests.zoo import ZOO, with_capability


def linear(z_size: int = 3, scale: float = 0.5, n: int = 6) -> LittleLinear:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LittleLinear((n,), z_size, scale).double().eval()


def rows(model: LittleLinear, n: int = 8) -> Tensor:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        z = torch.randn(n, model.z_size, dtype=torch.float64)
        return model.decode(z) + model.scale * torch.randn(n, *model.x_shape, dtype=torch.float64)


@torch.no_grad()
def exact(model: LittleLinear, x: Tensor) -> Tensor:
    return model.exact(x)


def test_it_finds_log_p_with_errors_as_large_as_they_say():
    model = linear()
    x = rows(model)
    log_p = exact(model, x)
    found = [annealed_estimate(model, x, annealing=Annealing(24, 150, 1), seed=i) for i in range(16)]
    scores = torch.stack([(one.log_prob - log_p) / one.error for one in found])
    assert abs(float(scores.mean())) < 0.6
    assert 0.7 < scores.std() < 1.35
    of_means = torch.tensor([(one.mean - float(log_p.mean())) / one.mean_error for one in found])
    assert 0.6 < of_means.std() < 1.6
    assert torch.stack([one.error for one in found]).mean() < 0.3
    assert torch.stack([one.effective_samples for one in found]).mean() > 8
    lower = torch.stack([one.one_sample for one in found]).mean(0)
    assert (lower < log_p).all()


def test_the_mean_weight_is_p_however_few_the_steps():
    """Neal's theorem needs moves that leave each distribution as it is, and step sizes from elsewhere."""
    model = linear(z_size=1, scale=1.5, n=2)
    x = rows(model, 3)
    ratio = torch.stack(
        [
            (annealed_estimate(model, x, annealing=Annealing(512, 4, 2), seed=i).log_prob - exact(model, x)).exp()
            for i in range(50)
        ]
    )
    error = ratio.std(0) / math.sqrt(len(ratio))
    assert ((ratio.mean(0) - 1).abs() < 4 * error).all()
    assert error.max() < 0.02


def test_more_steps_leave_less_error():
    model = linear()
    errors = [
        float(annealed_estimate(model, rows(model), annealing=Annealing(24, n, 1)).error.mean()) for n in (20, 400)
    ]
    assert errors[1] < errors[0] / 2


def test_a_narrow_posterior_is_reached_in_few_steps():
    """Most temperatures go where the likelihood begins to count: evenly spread, chains end hundreds of nats below."""
    model = linear(scale=0.1)
    x = rows(model)
    found = annealed_estimate(model, x, annealing=Annealing(24, 200, 5))
    assert (exact(model, x) - found.one_sample).mean() < 3


def test_step_sizes_find_a_narrow_posterior_and_a_wide_one(monkeypatch):
    """With one step size for all, chains of the narrow rows would stand still, or those of wide ones crawl."""
    seen: list[tuple[float, Tensor]] = []
    moved = annealing._Chains._moved

    def watched(self, now, t, step):
        after, acceptance = moved(self, now, t, step)
        seen.append((t, acceptance.mean(0)))
        return after, acceptance

    monkeypatch.setattr(annealing._Chains, "_moved", watched)
    for scale in (0.1, 3.0):
        model = linear(z_size=2, scale=scale)
        x = rows(model)
        found = annealed_estimate(model, x, annealing=Annealing(32, 300, 2))
        late = torch.stack([acceptance for t, acceptance in seen if t > 0.5])
        assert (late.mean(0) - annealing.ACCEPTANCE).abs().max() < 0.12
        assert found.effective_samples.min() > 3
        assert ((found.log_prob - exact(model, x)).abs() < 4 * found.error + 0.05).all()
        seen.clear()


def test_a_row_is_estimated_by_itself(monkeypatch):
    model, plan = linear(), Annealing(8, 15, 3)
    x = rows(model)
    whole = annealed_estimate(model, x, annealing=plan)
    alone = annealed_estimate(model, x[5:6], annealing=plan)
    assert torch.allclose(alone.log_prob, whole.log_prob[5:6], atol=1e-9)
    monkeypatch.setattr(annealing, "CODES_AT_ONCE", 30)
    pieces = annealed_estimate(model, x, annealing=plan)
    assert torch.allclose(pieces.log_prob, whole.log_prob, atol=1e-9)
    assert pieces.mean_error == pytest.approx(whole.mean_error)


def test_it_leaves_no_trace():
    model, plan = linear(), Annealing(4, 5, 2)
    x = rows(model)
    torch.manual_seed(0)
    first = annealed_estimate(model, x, annealing=plan)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())
    assert not first.log_prob.requires_grad
    assert first.n_samples == 4  # pilots do not count
    with torch.inference_mode():
        again = annealed_estimate(model, x.clone(), annealing=plan)
    assert torch.equal(again.log_prob, first.log_prob)
    assert not torch.equal(first.log_prob, annealed_estimate(model, x, annealing=plan, seed=1).log_prob)


def test_temperatures_go_from_prior_to_posterior():
    t = Annealing(n_temperatures=50).temperatures()
    assert (t[0], t[-1], len(t)) == (0.0, 1.0, 51)
    steps = [b - a for a, b in pairwise(t)]
    assert min(steps) > 0
    assert steps[0] < steps[25] / 4  # the likelihood wakes slowly


def test_what_cannot_be_annealed_is_refused():
    with pytest.raises(ValueError, match="n_chains must be at least 1, got 0"):
        Annealing(n_chains=0)
    with pytest.raises(ValueError, match="at least one row"):
        annealed_estimate(linear(), rows(linear())[:0])


def of_two_values() -> list[str]:
    """Entries of the zoo whose code is two values, and whose rows are few: larger networks anneal no otherwise."""
    made = {name: ZOO[name].make() for name in with_capability(LatentDensity)}
    return [name for name, model in made.items() if model.z_shape == (2,) and math.prod(model.x_shape) <= 8]


@pytest.mark.parametrize("name", of_two_values())
def test_annealing_importance_samples_and_quadrature_agree(name):
    model, x = ZOO[name].model(), ZOO[name].x()[:4]
    exact = quadrature(model, x, tolerance=1e-6)
    plan = Annealing(32, 60, 1)
    annealed = [annealed_estimate(model, x, annealing=plan, seed=i) for i in range(5)]
    sampled = [importance_estimate(model, x, n_samples=500, seed=i) for i in range(10, 13)]
    for found in (annealed, sampled):
        scores = torch.tensor([(one.mean - float(exact.mean())) / one.mean_error for one in found])
        assert abs(float(scores.mean())) < 1.2
        assert 0.1 < scores.square().mean() < 3.5
        assert max(one.mean_error for one in found) < 0.2
