"""Masks between places, one after another in any order; ensembles of orders; draws that multiply nothing twice."""

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from likely.contract import Sequential
from likely.errors import UserError
from likely.likelihoods import Bernoulli, Categorical, Columns
from likely.models import MADE
from likely.networks.causal import Anew, CausalNetwork, pixel_places, vector_places
from likely.networks.made import MaskedMLP
from likely.registry import Spec
from likely.training import TrainConfig, train
from tests.sources import markov_chain

COLUMNS = vector_places((1, 3, 2, 1))
PIXELS = pixel_places((2, 2, 2))
HIDDEN = [(), (9,), (12, 11)]


def awake(network: MaskedMLP) -> MaskedMLP:
    if network.seen is not None:
        torch.nn.init.normal_(network.seen)
    return network.double().eval()


def dependence(network: CausalNetwork, context_size: int) -> tuple[Tensor, Tensor]:
    """How much the numbers of each place depend on each place, (places, places), and on the context, (places,)."""
    x, context = torch.randn(4, *network.x_shape).double(), torch.randn(4, context_size).double()

    def summed(x: Tensor, context: Tensor) -> Tensor:
        return network(x, context if context_size else None).view(4, network.raw_channels, -1).sum((0, 1))

    by_x, by_context = torch.autograd.functional.jacobian(summed, (x, context))
    by_x, by_context = by_x.abs().sum(1).flatten(1), by_context.abs().sum((1, 2))
    of_places = torch.stack([by_x[place].sum(0) for place in network.places])
    among = torch.stack([of_places[:, place].sum(1) for place in network.places], 1)
    return among, torch.stack([by_context[place].sum() for place in network.places])


@pytest.mark.parametrize("context_size", [0, 2])
@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
@pytest.mark.parametrize(("x_shape", "places"), [((7,), COLUMNS), ((2, 2, 2), PIXELS)], ids=["columns", "pixels"])
def test_a_place_depends_on_all_places_before_it_and_on_no_other_in_every_order(
    x_shape, places, hidden, direct, context_size
):
    network = MaskedMLP(
        x_shape, 2, places, hidden=hidden, n_orders=3, direct=direct, activation="tanh", context_size=context_size
    )
    for order in range(3):
        one = awake(network).in_order(order)
        by_x, by_context = dependence(one, context_size)
        assert torch.equal(by_x > 0, torch.ones_like(by_x).tril(-1) > 0)
        assert context_size == 0 or (by_context > 0).all()
    assert network.in_order(0).places == tuple(places)
    assert len({tuple(place.start for place in network.in_order(order).places) for order in range(3)}) == 3


@pytest.mark.parametrize("context_size", [0, 2])
@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("hidden", [*HIDDEN, (2, 3)], ids=str)
@pytest.mark.parametrize("order", range(3))
@torch.no_grad()
def test_steps_in_every_order_give_what_the_whole_network_gives(order, hidden, direct, context_size):
    network = MaskedMLP((7,), 2, COLUMNS, hidden=hidden, n_orders=3, direct=direct, context_size=context_size)
    one = awake(network).in_order(order)
    x, context = torch.randn(5, 7).double(), torch.randn(5, context_size).double() if context_size else None
    quick, plain = one.begin(5, context), Anew(one, 5, context)
    for i, place in enumerate(one.places):
        torch.testing.assert_close(quick.raw(i), plain.raw(i), rtol=1e-10, atol=1e-10)
        for steps in (quick, plain):
            steps.put(i, x[:, place])


@pytest.mark.parametrize("direct", [False, True])
@torch.no_grad()
def test_a_whole_draw_multiplies_less_than_one_pass(direct):
    """Each unit once, from what its masks leave: half of the weights, and the few on the diagonal."""
    model = MADE((100,), hidden=(300, 200), direct=direct, likelihood=Bernoulli()).eval()
    x = torch.zeros(3, 100)
    with FlopCounterMode(display=False) as one_pass:
        model.network(x)
    with FlopCounterMode(display=False) as draws:
        model.sample(3)
    assert 0.4 < draws.get_total_flops() / one_pass.get_total_flops() < 0.52


def states(x_shape: tuple[int, ...]) -> Tensor:
    rows = list(itertools.product((0.0, 1.0), repeat=math.prod(x_shape)))
    return torch.tensor(rows, dtype=torch.float64).view(-1, *x_shape)


def ensemble(n_orders: int = 5, *, shared: bool = True) -> MADE:
    torch.manual_seed(0)
    model = MADE((1, 2, 2), hidden=(9, 8), n_orders=n_orders, shared=shared, dropout=0.0, likelihood=Bernoulli())
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    return model.double().eval()


@pytest.mark.parametrize("shared", [True, False])
@torch.no_grad()
def test_an_ensemble_is_the_mean_of_its_orders_each_of_which_sums_to_one(shared):
    model, x = ensemble(shared=shared), states((1, 2, 2))
    each = []
    for order in range(model.n_orders):
        network = model.network.in_order(order)
        each.append(model.observation(network(x)).log_prob(x).exp())
        assert each[-1].sum().item() == pytest.approx(1, abs=1e-12)
    assert torch.stack(each).std(0).max() > 1e-3, "all orders are the same"
    torch.testing.assert_close(model.log_prob(x).exp(), torch.stack(each).mean(0), rtol=1e-12, atol=1e-15)


@torch.no_grad()
def test_the_objective_of_an_ensemble_is_in_mean_that_of_its_orders_and_above_its_own():
    model, x = ensemble(), states((1, 2, 2))
    orders = torch.stack([-model._log_prob_in_order(x, None, order) for order in range(model.n_orders)])
    nll = -model.log_prob(x)
    torch.manual_seed(3)
    seen = {tuple(model.train()(x).total.tolist()) for _ in range(60)}
    assert seen == {tuple(order.tolist()) for order in orders}
    assert (orders.mean(0) > nll).all()
    held_out = torch.stack([model.eval()(x).total for _ in range(600)])
    error = orders.std(0, correction=0) / math.sqrt(len(held_out))
    assert ((held_out.mean(0) - orders.mean(0)).abs() < 4.5 * error).all()
    assert (held_out[:50].std(1).max() > 0).all()


def test_orders_apart_are_those_of_one_network_and_learn_each_from_rows_of_its_own():
    apart, shared = ensemble(3, shared=False), ensemble(3)
    for order in range(3):
        assert apart.network.in_order(order).places == shared.network.in_order(order).places
    x = states((1, 2, 2))[:7]
    total = apart.train()(x).total
    parts = zip(x.tensor_split(3), range(3), strict=True)
    torch.testing.assert_close(
        total, -torch.cat([apart._log_prob_in_order(rows, None, order) for rows, order in parts])
    )
    total[:3].sum().backward()
    learned = [any(p.grad.any() for p in network.parameters()) for network in apart.network.networks]
    assert learned == [True, False, False]
    assert torch.equal(
        apart.eval()(x[:2]).total, -torch.cat([apart._log_prob_in_order(x[i : i + 1], None, i) for i in (0, 1)])
    )


@torch.no_grad()
def test_noise_that_chose_an_order_is_uniform_again():
    model = ensemble(5)
    noise = torch.rand(50_000, 1, 2, 2, dtype=torch.float64)
    chosen, left = model._orders_of(noise)
    counts = torch.bincount(chosen, minlength=5).double()
    assert ((counts - 10_000).abs() < 4.5 * math.sqrt(8_000)).all()
    for order in range(5):
        first = left[chosen == order][:, 0, 0, 0]
        assert first.min() >= 0
        assert first.max() < 1
        assert (first.mean() - 0.5).abs() < 4.5 * math.sqrt(1 / 12 / len(first))
    assert torch.equal(left.flatten(1)[:, 1:], noise.flatten(1)[:, 1:])
    last = model._orders_of(torch.full((1, 1, 2, 2), 1 - 2**-24))
    assert last[0].item() == 4
    assert last[1].max() < 1


@torch.no_grad()
def test_an_ensemble_refuses_beginnings_and_draws_whole_rows():
    model, x = ensemble(), states((1, 2, 2))[:6]
    assert isinstance(model, Sequential)
    y = torch.full_like(x, torch.nan)
    y[1] = x[1]
    seen: list[tuple[int, int]] = []
    filled = model.complete(y, torch.rand_like(x), on_step=lambda *step: seen.append(step))
    assert torch.equal(filled[1], x[1])
    assert filled.isfinite().all()
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))
    y[4, 0, 0, 0] = 1.0
    with pytest.raises(UserError, match=r"row 4 is known in part.*n_orders=1"):
        model.complete(y, torch.rand_like(x))


@torch.no_grad()
def test_a_drawn_row_does_not_depend_on_its_neighbors():
    model, noise = ensemble(), torch.rand(20, 1, 2, 2, dtype=torch.float64)
    nothing = torch.full_like(noise, torch.nan)
    together = model.complete(nothing, noise)
    alone = torch.cat([model.complete(nothing[:1], row[None]) for row in noise])
    assert torch.equal(together, alone)


def test_orders_are_the_same_in_every_model():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        one = MADE((9,), n_orders=4, likelihood=Bernoulli())
    other = MADE((9,), n_orders=4, likelihood=Bernoulli())
    assert torch.equal(one.network.orders, other.network.orders)
    assert torch.equal(one.network.orders[0], torch.arange(9))
    assert not [name for name in one.state_dict() if "order" in name or "mask" in name or "degree" in name]


def test_orders_of_a_category_keep_its_values_together():
    likelihood = Columns((1, 3, 1))
    model = MADE((5,), n_orders=6, likelihood=likelihood)
    assert all(slice(1, 4) in model.network.in_order(order).places for order in range(6))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"n_orders": 0}, "n_orders"), ({"dropout": 1.0}, "dropout"), ({"hidden": (4, 0)}, "hidden")],
)
def test_wrong_arguments_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        MADE((5,), **wrong)


def test_dropout_is_for_training_alone():
    model = MADE((20,), hidden=(50,), dropout=0.5, likelihood=Bernoulli())
    x = torch.randint(2, (4, 20)).float()
    assert not torch.equal(model.train()(x).total, model.train()(x).total)
    assert torch.equal(model.eval()(x).total, model.eval()(x).total)


# What it learns.


@torch.enable_grad()
def trained(spec: Spec, rows: Tensor, epochs: int = 30) -> MADE:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = spec.build(rows.shape[1:], likelihood=Bernoulli())
    config = TrainConfig(
        epochs=epochs, batch_size=100, learning_rate=1e-2, patience=None, device="cpu", precision="float32"
    )
    train(model, rows, config)
    assert isinstance(model, MADE)
    return model


@torch.no_grad()
def test_it_reaches_the_entropy_rate_of_a_markov_chain():
    source = markov_chain()
    model = trained(Spec("made", hidden=(128,), dropout=0.0), source.draw(6000, seed=1))
    # Beside the entropy, the cross entropy over all rows there are: nothing is left to chance.
    x = states((source.length,))
    p = source.log_prob(x).exp()
    nll = -(p * model.double().log_prob(x)).sum().item()
    assert source.entropy < nll < 1.01 * source.entropy


def exclusive_or(n: int, seed: int) -> Tensor:
    """Bits of which each third is the exclusive or of the two before it."""
    bits = torch.randint(2, (n, 12), generator=torch.Generator().manual_seed(seed)).float()
    bits[:, 2::3] = (bits[:, 0::3] != bits[:, 1::3]).float()
    return bits


@torch.no_grad()
def test_a_fully_visible_sigmoid_belief_network_is_linear_in_what_came_before():
    """The preset's logits are linear in x, so that an exclusive or leaves it at 12 bits; its parent knows 8."""
    rows = exclusive_or(4000, 0)
    preset, parent = trained(Spec("fvsbn"), rows, 15), trained(Spec("made"), rows)
    x = torch.rand(2, 12)
    mean_of_logits = (preset.network(x[:1]) + preset.network(x[1:])) / 2
    torch.testing.assert_close(preset.network((x[:1] + x[1:]) / 2), mean_of_logits)
    new = exclusive_or(2000, 1)
    bits = [-model.log_prob(new).mean().item() / math.log(2) for model in (preset, parent)]
    assert bits[0] > 11.95
    assert 7.99 < bits[1] < 8.3


@torch.no_grad()
def test_an_ensemble_of_orders_knows_beginnings_in_each_of_them():
    """The preset goes by orders that are not the parent's, and knows as much in each as the parent does in its own."""
    rows = exclusive_or(4000, 0)
    preset, parent = (
        trained(Spec("made-orders", n_orders=4, hidden=(128, 128), dropout=0.0), rows, 60),
        trained(Spec("made"), rows),
    )
    assert Spec("made-orders").build((12,), likelihood=Bernoulli()).n_orders == 32
    new = exclusive_or(500, 1)
    each = [-preset._log_prob_in_order(new, None, order).mean().item() / math.log(2) for order in range(4)]
    assert max(each) < 8.4
    # The parent's one network knows nothing of other orders: with their masks on its weights it is worse than chance.
    masked = MADE((12,), hidden=parent.hidden, n_orders=4, dropout=0.0, likelihood=Bernoulli())
    masked.load_state_dict(parent.state_dict(), strict=False)
    of_parent = [-masked._log_prob_in_order(new, None, order).mean().item() / math.log(2) for order in range(4)]
    assert of_parent[0] == pytest.approx(-parent.log_prob(new).mean().item() / math.log(2), rel=1e-5)
    assert min(of_parent[1:]) > 12


def test_categories_of_levels_and_conditions():
    torch.manual_seed(0)
    model = MADE((1, 1, 3), hidden=(12,), likelihood=Categorical(4), condition_shape=(2,)).double().eval()
    rows = torch.tensor(list(itertools.product(range(4), repeat=3)), dtype=torch.float64).view(-1, 1, 1, 3) / 3
    one, other = (torch.tensor([given]).double().expand(len(rows), 2) for given in ([1.0, 0.0], [0.0, 1.0]))
    with torch.no_grad():
        p, q = model.log_prob(rows, one).exp(), model.log_prob(rows, other).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-10)
    assert q.sum().item() == pytest.approx(1, abs=1e-10)
    assert (p - q).abs().max() > 1e-4
