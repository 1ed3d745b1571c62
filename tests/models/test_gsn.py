"""GSN: chains against the matrix of their transitions, and what training makes of them."""

import itertools

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

import likely
from likely.contract import Batch
from likely.corruptions import Erasing, SaltAndPepper
from likely.likelihoods import Bernoulli, Columns
from likely.models import GSN
from likely.networks import MLP

STATES = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64).view(-1, 1, 2, 2)
WEIGHTS = torch.tensor([6, 1, 1, 3, 1, 0.3, 0.3, 1, 1, 0.3, 0.3, 1, 3, 1, 1, 6]).double()
DATA = WEIGHTS / WEIGHTS.sum()
"""Neighbors like to be equal: far from independent bits, which are at a distance of 0.41 from it."""


def little(noise: float = 0.3, **settings) -> GSN:
    """A GSN of four bits, the same at every call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = MLP((32,), activation="tanh")
        model = GSN((1, 2, 2), 8, network=network, noise=SaltAndPepper(noise), likelihood=Bernoulli(), **settings)
        model = model.double().eval()
        for parameter in model.parameters():
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    return model


@torch.no_grad()
def transitions(model: GSN) -> Tensor:
    """Of every state to every state, (16, 16): the sum over all that noise can make of a state."""
    bits, p = STATES.flatten(1), model.noise.probability
    flips = (bits[:, None] != bits[None]).double().sum(2)
    corrupt = (p / 2) ** flips * (1 - p / 2) ** (4 - flips)
    one = model.given(STATES).mean.flatten(1)  # (corrupted, bits)
    draw = torch.where(bits[None] > 0, one[:, None], 1 - one[:, None]).prod(2)
    return corrupt @ draw


def stationary(matrix: Tensor) -> Tensor:
    return torch.linalg.matrix_power(matrix, 2**14).mean(0)


def index(x: Tensor) -> Tensor:
    return (x.flatten(-3).long() * torch.tensor([8, 4, 2, 1])).sum(-1)


def agrees(counts: Tensor, expected: Tensor) -> bool:
    counts, expected = counts.flatten().double(), expected.flatten()
    enough = expected > 10
    observed = torch.cat([counts[enough], counts[~enough].sum()[None]])
    predicted = torch.cat([expected[enough], expected[~enough].sum()[None]])
    keep = predicted > 1e-9
    return bool(chisquare(observed[keep], predicted[keep] * observed.sum() / predicted.sum()).pvalue > 1e-4)


def test_draws_are_as_frequent_as_the_stationary_distribution_of_the_transitions_says():
    model, n = little(burn_in=40), 40_000
    pi = stationary(transitions(model))
    assert 0.5 * (pi - 1 / 16).abs().sum() > 0.2  # it is far from even, so that there is something to find
    torch.manual_seed(1)
    assert agrees(torch.bincount(index(model.sample(n)), minlength=16), n * pi)


def test_states_one_after_another_are_transitions():
    model, n = little(), 60_000
    matrix = transitions(model)
    torch.manual_seed(2)
    first, second = index(model.chain(n, 2))
    expected = n * matrix[0][:, None] * matrix  # chains of a model that saw no rows begin at zeros
    assert agrees(torch.bincount(first * 16 + second, minlength=256), expected)
    third, _ = index(model.chain(n, 2, skip=2))
    assert agrees(torch.bincount(third, minlength=16), n * torch.linalg.matrix_power(matrix, 3)[0])


def trained(noise: float, walkback: int, n_steps: int = 400) -> GSN:
    model = little(noise, walkback=walkback)
    torch.manual_seed(3)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    for _ in range(n_steps):
        optimizer.zero_grad()
        model(STATES[torch.multinomial(DATA, 256, replacement=True)]).total.mean().backward()
        optimizer.step()
        schedule.step()
    return model


def test_a_trained_chain_has_nearly_the_distribution_of_the_data_and_the_nearer_the_less_noise():
    """Noise that seldom changes two bits at once leaves nothing for bits to disagree on: then the chain is right."""

    def distance(pi: Tensor) -> float:
        return float(0.5 * (pi - DATA).abs().sum())

    little_noise, much = (distance(stationary(transitions(trained(p, 1)))) for p in (0.05, 0.5))
    assert little_noise < 0.08
    assert much > 0.15
    assert distance(stationary(transitions(little(0.05)))) > 0.3


def test_the_objective_is_that_of_a_chain_asked_for_its_first_row_after_every_step():
    model, x = little(walkback=3), STATES
    torch.manual_seed(4)
    found = model(x)
    torch.manual_seed(4)
    state, costs = x, []
    for step in range(3):
        given = model.given(model.noise.draw(state).apply(state))
        costs.append(-given.log_prob(x))
        state = given.sample() if step < 2 else state
    torch.testing.assert_close(found.total, sum(costs))
    torch.testing.assert_close(found.terms["distortion"], costs[0])
    torch.testing.assert_close(found.terms["walkback"], costs[1] + costs[2])
    assert set(little(walkback=1)(x).terms) == {"distortion"}


def test_what_is_missing_is_drawn_as_the_chain_with_all_else_held_fast_goes():
    model, n = little(fill_steps=30), 40_000
    matrix, place = transitions(model), index(STATES)
    known = torch.tensor([[1.0, torch.nan], [torch.nan, 0.0]], dtype=torch.float64).view(1, 1, 2, 2)
    alike = ((known == STATES) | known.isnan()).flatten(1).all(1)
    free = [0b1000, 0b1010, 0b1100, 0b1110]
    assert place[alike].tolist() == free
    # What is drawn where values are known is thrown away: the sum over it.
    clamped = torch.stack([matrix[free][:, (place & 0b0110) == (state & 0b0110)].sum(1) for state in free], 1)
    torch.manual_seed(5)
    drawn = index(
        model.draw_restorations(known.repeat(n, 1, 1, 1), Erasing().behind(known.repeat(n, 1, 1, 1), (1, 2, 2)))[0]
    )
    counts = torch.stack([(drawn == state).sum() for state in free])
    assert counts.sum() == n
    assert agrees(counts, n * stationary(clamped))


def test_chains_begin_with_values_of_training_rows_but_not_with_training_rows():
    x = torch.randn(500, 6)
    model = GSN((6,), network=MLP((8,)))
    model.initialize(Batch(x))
    begun = model._begin(1000, None)
    assert all(torch.isin(begun[:, i], x[:, i]).all() for i in range(6))
    rows = torch.cat([begun, model.marginals])
    assert (torch.cdist(rows, x).min(1).values > 0).all()


def test_categories_are_begun_whole():
    x = torch.eye(3)[torch.randint(3, (200,))]
    model = GSN((4,), network=MLP((8,)), likelihood=Columns((1, 3)))
    model.initialize(Batch(torch.cat([torch.randn(200, 1), x], 1)))
    begun = model._begin(300, None)
    assert torch.equal(begun[:, 1:].sum(1), torch.ones(300))
    assert torch.equal(begun[:, 1:].amax(1), torch.ones(300))
    assert model.sample(20)[:, 1:].sum(1).eq(1).all()


@pytest.mark.parametrize("name", ["walkback", "burn_in", "fill_steps"])
def test_a_chain_of_no_steps_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        GSN((3,), **{name: 0})


def test_a_generalized_denoising_autoencoder_is_asked_for_rows_that_were_changed_once():
    """Its objective is one nll, of a single draw of the noise; its parent goes on from there."""
    x = torch.rand(30, 1, 4, 4)
    for name, once in (("generalized-denoising-autoencoder", True), ("gsn", False)):
        torch.manual_seed(0)
        model = likely.Spec(name, network=MLP((8,))).build((1, 4, 4))
        torch.manual_seed(1)
        total = model(x).total
        torch.manual_seed(1)
        nll = -model.given(model.noise.draw(x).apply(x)).log_prob(x)
        assert torch.allclose(total, nll) is once
