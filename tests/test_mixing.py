"""Figures of mixing, against chains whose memory is known by formula."""

import numpy as np
import pytest

from likely.evaluation import mixing


def autoregressive(phi: float, n_steps: int, n_chains: int, *, seed: int = 0) -> np.ndarray:
    """Stationary chains x' = phi x + noise of variance 1: their autocorrelation at lag k is phi ** k."""
    rng = np.random.default_rng(seed)
    x = [rng.standard_normal((n_chains, 2))]
    for noise in rng.standard_normal((n_steps - 1, n_chains, 2)):
        x.append(phi * x[-1] + np.sqrt(1 - phi**2) * noise)
    return np.stack(x)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9])
def test_a_chain_of_known_memory_has_its_figures(phi):
    found = mixing(autoregressive(phi, 4000, 20))
    np.testing.assert_allclose(found.autocorrelation[:6], phi ** np.arange(6), atol=0.02)
    expected = (1 + phi) / (1 - phi)
    assert found.steps_per_draw == pytest.approx(expected, rel=0.1)
    assert found.effective_size == pytest.approx(80_000 / expected, rel=0.1)
    assert found.between == pytest.approx(1, abs=0.01)
    assert found.mixed


def test_the_error_of_a_mean_is_that_of_so_many_independent_draws():
    """What an effective size is for, over many runs of the same chain."""
    means = [autoregressive(0.8, 300, 2, seed=seed)[..., 0].mean() for seed in range(400)]
    found = [mixing(autoregressive(0.8, 300, 2, seed=seed)).effective_size for seed in range(40)]
    assert np.var(means) * np.mean(found) == pytest.approx(1, abs=0.25)


def test_chains_that_never_meet_are_said_to_be_stuck():
    """Each moves fast around a place of its own: by itself it would seem to mix."""
    stuck = autoregressive(0.0, 500, 4) + 5 * np.arange(4)[None, :, None]
    found = mixing(stuck)
    assert not found.mixed
    assert found.between > 2
    assert found.effective_size < 20
    assert mixing(stuck[:, :1]).steps_per_draw < 2


def test_values_count_by_their_variance():
    fast, slow = autoregressive(0.0, 3000, 5), autoregressive(0.9, 3000, 5, seed=1)
    found = mixing(np.concatenate([fast, 0.01 * slow], 2))
    assert found.steps_per_draw == pytest.approx(1, abs=0.1)


def test_states_that_never_vary_and_too_few_steps():
    assert mixing(np.ones((10, 3, 2))).steps_per_draw == 1
    assert mixing(np.ones((10, 3, 2)) * np.arange(3)[None, :, None]).between == np.inf
    with pytest.raises(ValueError, match="4 steps or more, got 3"):
        mixing(np.ones((3, 2, 2)))
