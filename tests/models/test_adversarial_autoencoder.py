"""Adversarial autoencoder: who lowers what, and codes like the prior."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from likely.adversarial import NonSaturating
from likely.data.feed import TensorFeed
from likely.likelihoods import Gaussian
from likely.models import VAEGAN, AdversarialAutoencoder
from likely.networks import MLP
from likely.training import TrainConfig, train
from likely.variational import FlowPrior, NormalMixture, RingOfNormals, SwissRoll

SMALL = MLP((32, 32))


def two_clusters(n: int) -> Tensor:
    """Rows of five numbers, made of two: their principal components are far from normal."""
    side = 2.0 * torch.randint(2, (n, 1)) - 1
    inner = torch.cat([side + 0.25 * torch.randn(n, 1), 0.4 * torch.randn(n, 1)], 1)
    return inner @ torch.linspace(-1, 1, 10).view(2, 5).sin() + 0.05 * torch.randn(n, 5)


def energy_distance(a: Tensor, b: Tensor) -> float:
    """2 E|a - b| - E|a - a'| - E|b - b'|: zero for draws of one distribution.

    Reference: Energy statistics (Szekely & Rizzo, 2013)
    """
    return float(2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean())


def test_codes_become_like_draws_of_the_prior():
    """And so draws of the prior, decoded, like rows; before, neither are."""
    torch.manual_seed(0)
    x, new = two_clusters(2000), two_clusters(1000)
    model = AdversarialAutoencoder((5,), 2, network=SMALL, likelihood=Gaussian(), width=64)
    with torch.no_grad():
        assert energy_distance(model.encode(new), model.draw_prior(1000)) > 0.15
        assert energy_distance(model.sample(1000), new) > 0.15
    train(model, x, TrainConfig(epochs=70, batch_size=128, seed=0))
    with torch.no_grad():
        assert energy_distance(model.encode(new), model.draw_prior(1000)) < 0.05
        assert energy_distance(model.sample(1000), new) < 0.1
        assert (model.reconstruct(new) - new).square().mean() < 0.1 * new.var(0).mean()


def test_players_lower_what_the_paper_says():
    torch.manual_seed(0)
    x = two_clusters(16)
    model = AdversarialAutoencoder((5,), 2, network=SMALL, game=NonSaturating(penalty=0.0), width=8)
    z = model.encode(x)
    nll = model(x, player="autoencoder").total
    torch.testing.assert_close(nll, -model.observe(z).log_prob(x))
    scores = model.critic(z)[0]
    torch.testing.assert_close(model(x, player="encoder").total, F.softplus(-scores))
    torch.manual_seed(1)
    found = model(x, player="critic").total
    torch.manual_seed(1)
    draws = model.draw_prior(16)
    torch.testing.assert_close(found, F.softplus(-model.critic(draws)[0]) + F.softplus(scores))


@pytest.mark.parametrize("prior", [RingOfNormals(4), SwissRoll(4)])
def test_each_class_takes_a_place_of_the_prior(prior):
    """Also of rows that say nothing of their class: the critic sees the label beside the code."""
    torch.manual_seed(0)
    model = AdversarialAutoencoder((5,), 2, network=SMALL, prior=prior, width=8, condition_shape=(3,))
    label = torch.eye(3)[torch.arange(3).repeat(200)]
    z = model.draw_prior(600, label)
    places = model.code_prior
    for k in range(3):
        torch.manual_seed(1)
        own = places.draw_at(torch.full((400,), k))
        others = torch.cat([places.draw_at(torch.full((400,), j)) for j in range(4) if j != k])
        drawn = z[k::3]
        nearer = torch.cdist(drawn, own).min(1).values < torch.cdist(drawn, others).min(1).values
        assert nearer.float().mean() > 0.9
    scores = [model.critic(z[:1], torch.eye(3)[[k]])[0].item() for k in range(3)]
    assert len(set(scores)) == 3


def test_a_draw_is_of_x_given_a_code_and_not_its_mean():
    model = AdversarialAutoencoder((5,), 2, network=SMALL, likelihood=Gaussian(scale=0.5), width=8)
    with torch.no_grad():
        for parameter in model.codec.decoder[-1].parameters():
            parameter.zero_()
    torch.manual_seed(0)
    assert model.sample(4000).std().item() == pytest.approx(0.5, abs=0.02)


def test_priors_that_are_learned_or_have_too_few_places_are_refused():
    for prior in (NormalMixture(), FlowPrior()):
        with pytest.raises(ValueError, match=r"is learned.*take StandardNormal, RingOfNormals or SwissRoll"):
            AdversarialAutoencoder((5,), 2, prior=prior)
    with pytest.raises(ValueError, match="4 places for 6 classes; set places=6 or more"):
        AdversarialAutoencoder((5,), 2, prior=RingOfNormals(4), condition_shape=(6,))
    assert math.isfinite(AdversarialAutoencoder((5,), 2, condition_shape=(6,)).sample(3).sum())


@pytest.mark.parametrize("kind", [AdversarialAutoencoder, VAEGAN])
def test_a_class_is_drawn_where_it_is_asked_for(kind):
    """Two classes far apart, from a model that is given the label: each draw lies with its own."""
    torch.manual_seed(0)
    label = torch.arange(600) % 2
    x = torch.randn(600, 3) * 0.3 + torch.where(label == 1, 2.0, -2.0).unsqueeze(1)
    model = kind((3,), 2, width=32, condition_shape=(2,))
    train(model, TensorFeed(x, torch.eye(2)[label]), TrainConfig(epochs=130, batch_size=64, seed=0))
    for k, side in enumerate((-1, 1)):
        assert (side * model.sample(200, torch.eye(2)[[k] * 200]) > 0).float().mean() > 0.9
    assert 0.3 < (model.sample(400).mean(1) > 0).float().mean() < 0.7
