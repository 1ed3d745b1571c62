"""The shape of tails against samples that have one, and against scipy's fit; and what is made of it."""

import math

import pytest
import torch
from scipy.stats import genpareto
from torch import Tensor

from likely.tasks import tails
from likely.tasks.tails import Tail, fitted_pareto, foreseen_variance, heavy_from


def pareto(shape: float, n: int, rows: int, scale: float = 3.0) -> Tensor:
    """Samples of a generalized Pareto distribution by its quantiles: (n, rows)."""
    u = torch.rand(n, rows, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return -scale * u.log() if shape == 0 else scale * (u.pow(-shape) - 1) / shape


@pytest.mark.parametrize("shape", [-0.4, 0.0, 0.2, 0.5, 0.7, 1.0, 1.5])
def test_shape_and_scale_are_those_that_samples_were_drawn_with(shape):
    found, scale = fitted_pareto(pareto(shape, 500, 400).sort(0).values)
    error = max(1 + shape, 0.5) / math.sqrt(500)  # of the maximum likelihood estimate, asymptotically
    assert abs(float(found.mean()) - shape) < 5 * error / math.sqrt(400)
    assert 0.7 * error < found.std() < 1.3 * error
    assert abs(float(scale.mean()) - 3.0) < 0.05


@pytest.mark.parametrize("shape", [0.2, 0.7])
def test_it_is_nearly_the_maximum_of_the_likelihood(shape):
    x = pareto(shape, 500, 5).sort(0).values
    best = torch.tensor([genpareto.fit(column, floc=0)[0] for column in x.T.numpy()])
    assert (fitted_pareto(x)[0] - best).abs().max() < 0.02


@pytest.mark.parametrize("shape", [0.1, 0.4, 0.7])
def test_the_tail_of_whole_samples_is_found_and_little_drawn_towards_a_half(shape):
    """The tail of generalized Pareto samples is one of the same shape."""
    tail = Tail.of(pareto(shape, 4000, 300))
    size = tails.tail_size(4000)
    assert size == 189
    expected = (size * shape + 5) / (size + 10)
    assert abs(float(tail.shape.mean()) - expected) < 0.03
    assert tail.share == size / 4000
    exact = 3.0 * (tail.share**-shape - 1) / shape
    assert float(tail.start.mean()) == pytest.approx(exact, rel=0.05)
    inside = tail.quantile(torch.tensor([0.5, 0.9], dtype=torch.float64)).mean(1)
    by_formula = [3.0 * ((tail.share * left) ** -shape - 1) / shape for left in (0.5, 0.1)]
    assert inside.tolist() == pytest.approx(by_formula, rel=0.1)


def test_a_small_tail_is_drawn_towards_a_half():
    shape = Tail.of(pareto(0.0, 300, 3000)).shape.mean()
    assert tails.tail_size(300) == 51
    assert 0.07 < float(shape) < 0.13  # 5 / 61, and a little that the fit itself is off


def test_what_is_beyond_the_weights_that_were_drawn():
    """E[max(w - q, 0)] for the quantile q at 1 - 1/k has a formula."""
    shape, k = 0.4, 4000
    found = Tail.of(pareto(shape, k, 2000)).unseen().median()
    last = 3.0 * (k**shape - 1) / shape
    exact = (3.0 + shape * last) / (1 - shape) / k
    assert float(found) == pytest.approx(exact, rel=0.1)


def test_the_variance_of_a_sample_that_lacks_its_largest_weights_is_mended():
    shape, k = 0.4, 500
    x = pareto(shape, k, 4000)
    exact = 9.0 / ((1 - shape) ** 2 * (1 - 2 * shape))
    drawn, foreseen = x.var(0), foreseen_variance(x, Tail.of(x))
    assert drawn.median() < 0.75 * exact
    assert 0.75 * exact < foreseen.median() < 1.2 * exact
    assert (foreseen >= drawn).all()
    light = torch.rand(k, 4000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert (foreseen_variance(light, Tail.of(light)) / light.var(0)).median() < 1.02


def test_weights_that_are_alike_have_no_tail():
    weights = torch.ones(1000, 2, dtype=torch.float64)
    weights[:, 1] += 1e-6 * torch.rand(1000, dtype=torch.float64)  # rounding
    tail = Tail.of(weights)
    assert tail.shape.tolist() == [-math.inf, -math.inf]
    assert tail.unseen().tolist() == [0, 0]
    assert foreseen_variance(weights, tail).max() < 1e-9


def test_one_weight_that_is_all_is_a_heavy_tail():
    log_w = torch.linspace(0, -400, 1000, dtype=torch.float64).unsqueeze(1)
    tail = Tail.of(log_w.exp())
    assert tail.shape > 2
    assert tail.unseen().isfinite()


def test_few_weights_say_nothing_of_their_tail():
    tail = Tail.of(torch.rand(99, 2, dtype=torch.float64))
    assert tail.unknown
    assert tail.shape.isnan().all()
    assert not Tail.of(torch.rand(100, 2, dtype=torch.float64)).unknown
    # 1 - 1 / log10(k), at most 0.7.
    assert heavy_from(100) == pytest.approx(0.5)
    assert heavy_from(1000) == pytest.approx(2 / 3)
    assert heavy_from(100_000) == 0.7
