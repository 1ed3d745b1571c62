"""What is the VAE's own: missing values, conditions, beta."""

import numpy as np
import pytest
import torch

from likely.likelihoods import Bernoulli, Gaussian
from likely.models import VAE
from likely.networks import MLP
from likely.registry import Spec
from likely.training import TrainConfig, train

SMALL = MLP((16,))
QUICK = TrainConfig(epochs=50, batch_size=32, learning_rate=0.01, seed=0)


def bits(n: int = 600) -> torch.Tensor:
    """Six bits that are noisy copies of two."""
    hidden = torch.randint(2, (n, 2)).repeat(1, 3).float()
    return torch.where(torch.rand(n, 6) < 0.05, 1 - hidden, hidden)


def test_a_missing_value_is_marginalized_not_invented():
    """With a decoder that ignores z, log p of the observed values is the sum of their own terms, exactly."""
    model = VAE((3,), 2, network=SMALL, likelihood=Gaussian(scale=0.5)).double().eval()
    with torch.no_grad():
        model.codec.decoder[-1].weight.zero_()
        model.codec.head.weight.zero_()
        model.codec.head.bias.zero_()
    x = torch.tensor([[0.3, torch.nan, -1.0]], dtype=torch.float64)
    loc = model.codec.decoder[-1].bias
    observed = torch.distributions.Normal(loc, 0.5).log_prob(x.nan_to_num())[0, [0, 2]].sum()
    assert torch.allclose(model.log_prob_bound(x, n_samples=5), observed[None])
    assert model(x).total.isfinite().all()


def test_training_with_holes_learns_what_the_rest_says():
    x = torch.randn(800, 1) @ torch.tensor([[1.0, -1.0, 0.8, 0.6, 1.2]]) + 0.1 * torch.randn(800, 5)
    holes = x.masked_fill(torch.rand_like(x) < 0.2, torch.nan)
    model = VAE((5,), 1, network=SMALL)
    train(model, holes, TrainConfig(epochs=100, learning_rate=0.01, seed=0))
    hidden = x.clone()
    hidden[:, 0] = torch.nan
    guess = model.reconstruct(hidden)[:, 0].detach()
    assert np.corrcoef(guess, x[:, 0])[0, 1] ** 2 > 0.8


def test_a_condition_decides_what_is_drawn():
    x = torch.cat([torch.zeros(300, 4), torch.ones(300, 4)])
    condition = torch.eye(2).repeat_interleave(300, 0)
    from likely.data.feed import TensorFeed

    model = VAE((4,), 2, network=SMALL, likelihood=Bernoulli(), condition_shape=(2,))
    train(model, TensorFeed(x, condition), QUICK)
    zeros, ones = (model.sample(200, torch.eye(2)[[label]].expand(200, 2)) for label in (0, 1))
    assert zeros.mean() < 0.1
    assert ones.mean() > 0.9
    assert 0.3 < model.sample(400).mean() < 0.7  # none given: as often as in training
    with pytest.raises(ValueError, match="needs a condition"):
        model.encode(x)


def test_a_beta_vae_spends_fewer_nats_on_its_code_than_its_parent():
    """What the preset is for; the parent itself, with beta = 1, fails this."""
    x = bits()

    def rate(beta: float) -> float:
        torch.manual_seed(1)
        model = VAE((6,), 2, network=SMALL, likelihood=Bernoulli(), beta=beta)
        train(model, x, QUICK)
        return model(x).terms["rate"].mean().item()

    beta = Spec("beta-vae").resolve().arguments["beta"]
    assert rate(beta) < 0.7 * rate(1.0)


def test_only_beta_one_makes_the_objective_the_bound():
    x = bits(50)
    torch.manual_seed(1)
    model = VAE((6,), 2, network=SMALL, likelihood=Bernoulli(), beta=4.0)
    terms = model(x)
    assert torch.allclose(terms.total, terms.terms["distortion"] + 4 * terms.terms["rate"])
