"""Where noise is drawn, a surprise is made of enough of it, and what is left is said."""

import math

import numpy as np
import pytest
import torch

import likely
from likely.contract import BoundedDensity, ExactDensity
from likely.models import PPCA, VAE, FlowMatching
from likely.networks import MLP
from likely.registry import Spec
from likely.tasks.noise import MOST_SAMPLES, SMALL, enough_noise, noise_of, usual_samples


def noisy(truth, sd):
    """Rows whose surprise by n draws is off by sd / sqrt(n), each by itself, and all of them by 100 times that."""

    def ask(n, seed):
        random = np.random.default_rng([seed, n])
        return truth + sd / math.sqrt(n) * (random.normal(size=len(truth)) + 100 * random.normal())

    return ask


@pytest.mark.parametrize(("sd", "least", "most"), [(0.01, 16, 16), (1.0, 60, 255), (50.0, MOST_SAMPLES, MOST_SAMPLES)])
def test_so_much_noise_is_drawn_that_its_error_is_a_tenth_of_the_spread(sd, least, most):
    truth = np.random.default_rng(0).normal(size=400)
    n, error = enough_noise(VAE((3,), 1), noisy(truth, sd))
    assert least <= n <= most
    assert error == pytest.approx(sd / math.sqrt(n), rel=0.15)
    assert (error < 1.15 * SMALL) == (n < MOST_SAMPLES)


def test_how_noise_is_shared_between_dequantizations_and_samples():
    vae, ppca, lines = VAE((3,), 1), PPCA((3,), 1), FlowMatching((100,))
    assert isinstance(vae, BoundedDensity)
    assert isinstance(ppca, ExactDensity)
    assert [usual_samples(each, dequantized=False) for each in (vae, ppca, lines)] == [16, None, 2]
    assert noise_of(vae, None, False) == (1, 16)
    assert noise_of(vae, 64, True) == (4, 16)
    assert noise_of(ppca, None, False) == (1, None)
    assert noise_of(ppca, 32, True) == (32, None)
    assert noise_of(lines, None, False) == (1, 2)


def test_dequantizations_are_averaged_as_probabilities():
    """More of them bound log P from nearer, as the mean of densities over a bin does, and never from above."""
    rows = np.random.default_rng(0).binomial(6, 0.5, size=(600, 2, 2)).astype(np.uint8)
    fitted = likely.fit("ppca", rows, z_size=1, test=0.0)
    bounds = [fitted.log_prob(rows[:200], n_samples=n).mean() for n in (1, 8, 512)]
    assert bounds[0] < bounds[1] < bounds[2]
    model, x = fitted.model, fitted.schema.to_model(rows[:200], dtype=torch.float64)
    u = torch.rand(4000, *x.shape[1:], dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    each = torch.stack([model.log_prob(x + (one - 0.5) / 6) for one in u])
    exact = each.logsumexp(0) - math.log(4000) - 4 * math.log(6)
    assert fitted.log_prob(rows[:200], n_samples=2048).mean() == pytest.approx(float(exact.mean()), abs=0.005)


def test_a_fit_says_how_far_noise_moves_its_surprises():
    """The deviation over other noise of the same amount, measured again on other rows."""
    X = np.random.default_rng(0).normal(size=(900, 6))
    config = likely.TrainConfig(epochs=3, device="cpu")
    fitted = likely.fit(Spec("vae", z_size=3, network=MLP((16,))), X[:600], test=0.0, train=config)
    known = fitted.calibration
    found = np.stack([fitted._surprise_by_noise(X[600:], None, seed) for seed in range(20, 28)])
    alone = found - found.mean(1, keepdims=True)
    assert known.error == pytest.approx(math.sqrt(alone.var(0, ddof=1).mean()), rel=0.4)
    assert f"made of {known.n_samples} draws of noise" in fitted.score(X[600:]).note
    assert likely.fit("ppca", X, z_size=1).score(X).note == ""
