"""What models that know p(x) by the chain rule owe: each place from those before it, and draws that waste nothing."""

import itertools
import math

import pytest
import torch
from scipy.stats import chisquare
from torch import Tensor

from likely.chain_rule import ChainRuleModel, as_context
from likely.contract import Sequential
from likely.corruptions import Downsampling, Erasing
from likely.corruptions.noise import Kept
from likely.errors import UserError
from likely.networks.causal import Anew
from tests.zoo import ZOO, with_capability

NAMES = with_capability(Sequential)
ENSEMBLES = [name for name in NAMES if getattr(ZOO[name].make(), "n_orders", 1) > 1]
ONE_ORDER = [name for name in NAMES if name not in ENSEMBLES]


def asked(name: str, n: int = 6) -> tuple[ChainRuleModel, Tensor, Tensor | None]:
    """A model, some of its rows, and conditions where it takes some."""
    model, x = ZOO[name].model(), ZOO[name].x()[:n]
    assert isinstance(model, ChainRuleModel)
    with torch.random.fork_rng():
        torch.manual_seed(6)
        shape = model.condition_shape
        return model, x, None if shape is None else torch.randn(len(x), *shape, dtype=torch.float64)


def order_of(model: ChainRuleModel) -> list[int]:
    return [i for place in model.network.places for i in range(place.start, place.stop)]


@pytest.mark.parametrize("name", NAMES)
def test_places_hold_each_value_once(name):
    model, _, _ = asked(name)
    assert sorted(order_of(model)) == list(range(math.prod(model.x_shape)))


@pytest.mark.parametrize("name", ONE_ORDER)
def test_the_numbers_of_a_place_depend_on_the_places_before_it_alone(name):
    model, x, condition = asked(name, 1)
    network, context = model.network, as_context(condition)
    raw = torch.autograd.functional.jacobian(lambda x: network(x, context).flatten(), x).flatten(1)
    raw = raw.view(network.raw_channels, math.prod(model.x_shape), -1)  # (raw number, of a value, by a value)
    for i, place in enumerate(network.places):
        later = [v for p in network.places[i:] for v in range(p.start, p.stop)]
        assert torch.equal(raw[:, place][..., later], torch.zeros_like(raw[:, place][..., later])), place


@pytest.mark.parametrize("name", ONE_ORDER)
def test_log_prob_is_the_sum_over_places_of_what_steps_say(name):
    """Each conditional from the model's own steps, place after place, against its one pass."""
    model, x, condition = asked(name)
    steps, total = model.network.begin(len(x), as_context(condition)), torch.zeros(len(x), dtype=torch.float64)
    observations = model.likelihood.observations(model.network.places)
    with torch.no_grad():
        for i, (place, observation) in enumerate(zip(model.network.places, observations, strict=True)):
            values = x.flatten(1)[:, place]
            total += observation(steps.raw(i)).log_prob(values)
            steps.put(i, values)
        torch.testing.assert_close(total, model.log_prob(x, condition))


@pytest.mark.parametrize("name", ONE_ORDER)
@torch.no_grad()
def test_steps_give_what_the_whole_network_gives(name):
    model, x, condition = asked(name)
    context = as_context(condition)
    quick, plain = model.network.begin(len(x), context), Anew(model.network, len(x), context)
    for i, place in enumerate(model.network.places):
        torch.testing.assert_close(quick.raw(i), plain.raw(i), rtol=1e-10, atol=1e-10)
        for steps in (quick, plain):
            steps.put(i, x.flatten(1)[:, place])


@pytest.mark.parametrize("name", ONE_ORDER)
@torch.no_grad()
def test_draws_are_those_of_the_plain_sampler(name, monkeypatch):
    model, x, condition = asked(name)
    nothing, noise = torch.full_like(x, torch.nan), torch.rand_like(x)
    cached = model.complete(nothing, noise, condition, temperature=0.8)
    monkeypatch.setattr(type(model.network), "begin", lambda self, n, context=None: Anew(self, n, context))
    plain = model.complete(nothing, noise, condition, temperature=0.8)
    if model.discrete:
        assert torch.equal(plain, cached)
    torch.testing.assert_close(plain, cached, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ONE_ORDER)
@torch.no_grad()
def test_what_is_known_stays_and_what_is_drawn_after_it_does_not_change_it(name):
    model, x, condition = asked(name)
    order = order_of(model)
    starts = [place.start for place in model.network.places]
    y, noise = x.clone(), torch.rand_like(x)
    for row in range(len(x)):  # each row knows another beginning, from nothing to all
        first = order.index(starts[row * (len(starts) - 1) // (len(x) - 1)]) if row < len(x) - 1 else len(order)
        y.flatten(1)[row, order[first:]] = torch.nan
    filled = model.complete(y, noise, condition)
    known = ~y.isnan()
    assert torch.equal(filled[known], x[known])
    assert filled.isfinite().all()
    drawn = model.complete(torch.full_like(x, torch.nan), noise, condition)
    again = model.complete(torch.where(known, drawn, torch.nan), noise, condition)
    assert torch.equal(again, drawn)


@pytest.mark.parametrize("name", [name for name in ONE_ORDER if name.endswith("-bits")])
@torch.no_grad()
def test_a_beginning_is_gone_on_with_as_often_as_bayes_says(name):
    model = ZOO[name].model()
    places = [place.start for place in model.network.places]
    states = torch.tensor(list(itertools.product((0.0, 1.0), repeat=len(places))), dtype=torch.float64)
    n, begun = 40_000, len(places) // 2
    log_prob = model.log_prob(states.view(-1, *model.x_shape))
    like_it = (states[:, places[:begun]] == 1).all(1)
    expected = log_prob[like_it].softmax(0) * n
    y = torch.full((n, len(places)), torch.nan, dtype=torch.float64)
    y[:, places[:begun]] = 1.0
    drawn = model.complete(y.view(n, *model.x_shape), torch.rand(n, *model.x_shape, dtype=torch.float64)).view(n, -1)
    counts = torch.stack([(drawn == state).all(1).sum() for state in states[like_it]]).double()
    assert counts.sum() == n
    assert chisquare(counts, expected).pvalue > 1e-4


@pytest.mark.parametrize("name", [name for name in ONE_ORDER if name.endswith("-bits")])
@torch.no_grad()
def test_a_low_temperature_draws_likelier_rows(name):
    model = ZOO[name].model()
    nothing = torch.full((4000, *model.x_shape), torch.nan, dtype=torch.float64)
    noise = torch.rand_like(nothing)
    means = [model.log_prob(model.complete(nothing, noise, temperature=t)).mean() for t in (0.2, 1.0, 5.0)]
    assert means[0] > means[1] > means[2]
    first = model.network.places[0]
    coldest = model.complete(nothing, noise, temperature=1e-6).flatten(1)[:, first]
    assert (coldest == coldest[0]).all()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_a_beginning_with_a_hole_is_refused(name):
    model, x, condition = asked(name)
    y = x.clone()
    first = model.network.places[0]
    y.flatten(1)[2, first] = torch.nan
    operator = Erasing().behind(y, model.x_shape)
    for ask in (lambda: model.restore(y, operator, condition), lambda: model.draw_restorations(y, operator, condition)):
        with pytest.raises(UserError, match=r"row 2 .* is missing and .* is known|order"):
            ask()


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_what_did_more_than_leave_out_is_refused(name):
    model, x, condition = asked(name)
    zeroed = Kept(model.x_shape, torch.rand_like(x) < 0.5, 0.0)
    with pytest.raises(UserError, match="fills in what is missing"):
        model.restore(zeroed.apply(x), zeroed, condition)
    if len(model.x_shape) > 1:
        smaller = Downsampling(2).behind(x, model.x_shape)
        with pytest.raises(UserError, match="fills in what is missing"):
            model.restore(smaller.apply(x), smaller, condition)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_shapes_and_temperatures_are_checked(name):
    model, x, condition = asked(name)
    with pytest.raises(ValueError, match="noise must have the shape of y"):
        model.complete(x, torch.rand(1, dtype=torch.float64), condition)
    for temperature in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="temperature must be positive"):
            model.complete(x, torch.rand_like(x), condition, temperature=temperature)


@pytest.mark.parametrize("name", ONE_ORDER)
@torch.no_grad()
def test_progress_counts_places(name):
    model, x, condition = asked(name)
    seen: list[tuple[int, int]] = []
    model.complete(
        torch.full_like(x, torch.nan), torch.rand_like(x), condition, on_step=lambda *step: seen.append(step)
    )
    assert seen == [(i + 1, len(model.network.places)) for i in range(len(model.network.places))]
