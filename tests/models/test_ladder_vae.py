"""What is the ladder VAE's own: layers of codes in units of their priors, and where it starts."""

import math

import pytest
import torch
from torch.distributions import Normal

from likely.contract import Batch
from likely.likelihoods import Bernoulli, Gaussian
from likely.models import PPCA, LadderVAE
from likely.models.ladder_vae import Rung, _sharpened
from likely.networks import MLP
from likely.training import TrainConfig, train

SMALL = MLP((8,))


def correlated(n: int = 400) -> torch.Tensor:
    return torch.randn(n, 2) @ torch.randn(2, 5) + 0.3 * torch.randn(n, 5)


def ladder() -> LadderVAE:
    return LadderVAE((4,), (2, 1), width=8, network=SMALL, likelihood=Bernoulli()).double().eval()


def test_it_starts_as_probabilistic_pca_whatever_its_layers():
    x = correlated().double()
    model = LadderVAE((5,), (2, 2, 1), width=16, network=MLP((16,), linear_path=True), likelihood=Gaussian()).double()
    model.initialize(Batch(x))
    pca = PPCA((5,), 2).double()
    pca.solve([Batch(x)])
    with torch.no_grad():
        bound = model.eval().log_prob_bound(x, n_samples=4)
    assert (bound - pca.log_prob(x)).abs().max() < 0.05  # what faint layers cost


def test_what_rows_say_is_multiplied_with_the_prior():
    """Two normals multiplied on a grid, against the belief in units of the prior."""
    prior, said = (
        Rung(torch.tensor([[0.5]]), torch.tensor([[0.7]])),
        Rung(torch.tensor([[-1.0]]), torch.tensor([[-0.2]])),
    )
    z = torch.linspace(-12, 12, 20_001)
    log_p = sum(Normal(each.loc, each.log_scale.exp()).log_prob(z)[0] for each in (prior, said))
    p = log_p.softmax(0)
    mean, std = (p * z).sum(), ((p * z.square()).sum() - (p * z).sum() ** 2).sqrt()
    belief = _sharpened(prior, said)
    scale = prior.log_scale.exp()
    torch.testing.assert_close((prior.loc + scale * belief.loc).squeeze(), mean, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close((scale * belief.scale).squeeze(), std, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_the_density_of_a_draw_is_that_of_its_layers_one_by_one():
    model, x = ladder(), torch.randint(2, (6, 4)).double()
    rungs = model.climb(x, None)
    code, log_q = model.infer(x).draw(torch.randn(1, 6, 3).double())
    code, log_q = code[0], log_q[0]
    highest, lowest = code.split([1, 2], 1)
    top = _sharpened(None, rungs[1])
    below = _sharpened(Rung(*model.downs[0](highest).chunk(2, 1)), rungs[0])
    torch.testing.assert_close(log_q, top.log_prob(highest) + below.log_prob(lowest))


@torch.no_grad()
def test_a_layer_is_drawn_given_the_layers_above():
    model = ladder()
    code = torch.zeros(2, 3).double()
    code[1, 0] = 3.0  # only the highest layer differs
    for parameter in model.downs.parameters():
        parameter.normal_(0, 0.5)
    lowest = model.descend(code, None).lowest
    assert not torch.allclose(lowest[0], lowest[1])
    loc, log_scale = model.downs[0](code[1:, :1]).chunk(2, 1)
    torch.testing.assert_close(lowest[1:], loc + log_scale.exp() * code[1:, 1:])


def test_training_lowers_its_objective_on_rows_of_bits():
    """Six noisy copies of one bit: log 2 and the noise are all there is to pay, and the ladder comes near it."""
    hidden = torch.randint(2, (800, 1)).repeat(1, 6).float()
    x = torch.where(torch.rand_like(hidden) < 0.05, 1 - hidden, hidden)
    noise = -0.05 * math.log(0.05) - 0.95 * math.log(0.95)
    model = LadderVAE((6,), (2, 1), width=16, network=SMALL, likelihood=Bernoulli())
    train(model, x, TrainConfig(epochs=60, batch_size=32, learning_rate=0.01, seed=0))
    bound = model.log_prob_bound(x, n_samples=50).mean().item()
    independent = -6 * math.log(2)
    assert independent + 1.5 < bound
    assert bound == pytest.approx(-math.log(2) - 6 * noise, abs=0.25)


def test_one_layer_is_refused_with_the_model_that_has_one():
    with pytest.raises(ValueError, match="for one layer take vae"):
        LadderVAE((4,), (2,))
