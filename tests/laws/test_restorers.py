"""What models that restore owe: answers that agree with what is known of x, row by row."""

import pytest
import torch

from likely.contract import DrawsMissing, ImputesMissing, Restorer, Sequential
from likely.corruptions import Corruption, Downsampling, Erasing, GaussianNoise, LinearOperator, Operator, Unseen
from likely.corruptions.noise import Kept
from likely.errors import UserError
from likely.models import FlowMatching
from tests.zoo import ZOO, with_capability

# An ensemble of orders has no beginning to go on from: tests/laws/test_chain_rule.py.
NAMES = [name for name in with_capability(Restorer) if getattr(ZOO[name].make(), "n_orders", 1) == 1]
OPERATORS = [Erasing(0.4), Downsampling(2), GaussianNoise(0.2)]
CASES = [
    pytest.param(name, corruption, id=f"{name}-{corruption}")
    for name in NAMES
    for corruption in OPERATORS
    if isinstance(corruption, Erasing) or not issubclass(type(ZOO[name].make()), DrawsMissing)
    if not isinstance(corruption, GaussianNoise) or not issubclass(type(ZOO[name].make()), FlowMatching)
    if len(ZOO[name].make().x_shape) > 1 or not isinstance(corruption, Downsampling)
]


def asked(name: str, corruption: Corruption) -> tuple[Restorer, torch.Tensor, object]:
    """A model, what is left of its rows, and the operator that did it."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        model, x = ZOO[name].model(), ZOO[name].x()
        operator = _end_lost(model, x) if isinstance(model, Sequential) else corruption.draw(x)
    return model, operator.apply(x), operator


def _end_lost(model: Sequential, x: torch.Tensor) -> Operator:
    """What leaves of each row a beginning, somewhere between nothing and all, in the order of the model."""
    places = model.network.places
    order = [i for place in places for i in range(place.start, place.stop)]
    kept = torch.zeros_like(x, dtype=torch.bool)
    for row, n in zip(kept.flatten(1), torch.randint(len(places) + 1, (len(x),)), strict=True):
        row[order[: sum(place.stop - place.start for place in places[:n])]] = True
    return Kept(model.x_shape, kept, torch.nan)


@pytest.fixture
def few_steps(monkeypatch):
    """A posterior is fitted to each row that lacks values: what holds of it holds however well it is fitted."""
    monkeypatch.setattr("likely.variational.refinement.N_STEPS", 5)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize(("name", "corruption"), CASES)
@torch.no_grad()
def test_what_is_restored_could_have_become_y(name, corruption):
    model, y, operator = asked(name, corruption)
    x = model.restore(y, operator)
    assert x.shape == (len(y), *model.x_shape)
    assert x.isfinite().all()
    if isinstance(operator, LinearOperator):
        torch.testing.assert_close(operator.apply(x), y, equal_nan=True)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize(("name", "corruption"), CASES)
@torch.no_grad()
def test_rows_are_strangers(name, corruption):
    model, y, operator = asked(name, corruption)
    together = model.restore(y, operator)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(model.restore(y[order], operator.rows(order)), together[order])
    torch.testing.assert_close(model.restore(y[:1], operator.rows(slice(1))), together[:1])


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_the_same_question_has_the_same_answer(name):
    model, y, operator = asked(name, Erasing(0.4))
    before = torch.get_rng_state()
    assert torch.equal(model.restore(y, operator), model.restore(y, operator))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("name", [name for name in NAMES if name in with_capability(DrawsMissing)])
def test_draws_keep_what_is_known_and_differ_where_nothing_is(name):
    model, y, operator = asked(name, Erasing(0.4))
    torch.manual_seed(0)
    draws = model.draw_restorations(y, operator, n_samples=8)
    assert draws.shape == (8, *y.shape)
    assert draws.isfinite().all()
    missing = y.isnan()
    for draw in draws:
        assert torch.equal(draw[~missing], y[~missing])
    assert (draws != draws[0])[:, missing].any(0).float().mean() > 0.5


@pytest.mark.parametrize("name", with_capability(ImputesMissing))
@torch.no_grad()
def test_the_mean_restoration_is_the_mean_of_draws(name):
    model, y, operator = asked(name, Erasing(0.4))
    missing = y.isnan()
    torch.manual_seed(0)
    draws = model.draw_restorations(y, operator, n_samples=100)
    found = model.restore(y, operator)[missing]
    # Squared errors in units of the draws' own: the mean of a hundred is off by one of them, on average.
    error = draws[:, missing].var(0) / 100 + 1e-4
    surplus = (draws[:, missing].mean(0) - found).square() / error
    assert surplus.mean() < 2


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_y_is_refused(name):
    model, y, _ = asked(name, GaussianNoise(0.1))
    with pytest.raises((ValueError, UserError), match=r"y must have shape|fills in what is missing"):
        model.restore(y[..., :-1], Unseen())
    with pytest.raises(ValueError, match="y must have shape"):
        model.restore(y[..., :-1], Erasing().behind(y, model.x_shape))


@pytest.mark.parametrize("name", [name for name in NAMES if ZOO[name].registered == "denoising_autoencoder"])
@torch.no_grad()
def test_the_objective_is_the_distance_from_x_of_what_is_left_of_it_sent_through(name):
    """The network is given y and has to give x: neither x for x, nor y for y."""
    model, x = ZOO[name].model(), ZOO[name].x()
    torch.manual_seed(3)
    total = model(x).total
    torch.manual_seed(3)
    operator = model.corruption.draw(x)
    y = operator.apply(x)
    begun = operator.project(torch.zeros_like(x), y) if isinstance(operator, LinearOperator) else y
    raw = model.codec.through(begun, bottleneck=lambda z: z)[1]
    torch.testing.assert_close(total, model.measure(raw, x))
    plain = model.measure(model.codec.through(x, bottleneck=lambda z: z)[1], x)
    assert not torch.allclose(total, plain)
