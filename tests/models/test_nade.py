"""Hidden sums that are updated: equal to the definition, and at a cost that grows with the values, not their square."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from likely import rng
from likely.likelihoods import Bernoulli, Categorical, Columns, GaussianMixture
from likely.models import NADE
from likely.networks.causal import pixel_places, vector_places
from likely.networks.nade import NADENetwork, blocks_of
from likely.training import TrainConfig, train
from tests.models.test_made import states
from tests.sources import markov_chain

KINDS = {
    "bits": ((7,), vector_places((1,) * 7)),
    "columns": ((7,), vector_places((1, 3, 2, 1))),
    "pixels": ((2, 2, 2), pixel_places((2, 2, 2))),
}


def by_definition(network: NADENetwork, x: Tensor, context: Tensor | None) -> Tensor:
    """Each place from a sum of its own over all places before it: (batch, raw_channels, values) as x stands."""
    values = x.flatten(1)
    position = {value: i for i, value in enumerate(network.value_order.tolist())}
    raw = torch.empty(len(x), network.raw_channels, values.shape[1], dtype=x.dtype)
    for i, place in enumerate(network.places):
        hidden = network.hidden_bias.expand(len(x), -1)
        if context is not None and network.context is not None:
            hidden = hidden + context @ network.context.weight.T
        for earlier in network.places[:i]:
            for value in range(earlier.start, earlier.stop):
                hidden = hidden + values[:, value, None] * network.weight[position[value]]
        if network.rho is not None:
            hidden = network.rho[i] * hidden
        h = hidden.relu() if network.activation == "relu" else hidden.sigmoid()
        for value in range(place.start, place.stop):
            raw[:, :, value] = network.bias[position[value]] + h @ network.output[position[value]].T
    return raw.flatten(1)


def awake(network: NADENetwork) -> NADENetwork:
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter)
    return network.double()


@pytest.mark.parametrize("block", [1, 2, 3, 50])
@pytest.mark.parametrize("context_size", [0, 2])
@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_its_definition_and_so_are_its_gradients(kind, activation, rescaled, context_size, block):
    x_shape, places = KINDS[kind]
    network = awake(
        NADENetwork(
            x_shape,
            3,
            places,
            hidden=5,
            activation=activation,
            rescaled=rescaled,
            context_size=context_size,
            block=block,
        )
    )
    x = torch.randn(4, *x_shape, dtype=torch.float64, requires_grad=True)
    context = torch.randn(4, context_size, dtype=torch.float64, requires_grad=True) if context_size else None
    wanted, got = by_definition(network, x, context), network(x, context).flatten(1)
    torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)
    inputs = [x, *network.parameters(), *([] if context is None else [context])]
    direction = torch.randn_like(wanted)
    for found, right in zip(
        torch.autograd.grad(got, inputs, direction), torch.autograd.grad(wanted, inputs, direction), strict=True
    ):
        torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_gradients_are_those_of_finite_differences(activation):
    network = awake(NADENetwork((5,), 2, vector_places((1, 3, 1)), hidden=3, activation=activation, rescaled=True))
    names = [name for name, _ in network.named_parameters()]

    def raw(x: Tensor, *parameters: Tensor) -> Tensor:
        return torch.func.functional_call(network, dict(zip(names, parameters, strict=True)), (x,))

    given = (torch.randn(2, 5, dtype=torch.float64), *(p.detach() for p in network.parameters()))
    assert torch.autograd.gradcheck(raw, tuple(each.clone().requires_grad_() for each in given))


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_a_row_does_without_the_same_units_at_all_its_places(activation, monkeypatch):
    """Units left out are units without a weight in the output; those left in count for them."""
    network = NADENetwork((5,), 2, vector_places((1, 3, 1)), hidden=4, activation=activation, dropout=0.5, block=2)
    kept = torch.tensor([[1.0, 0.0, 1.0, 0.0]], dtype=torch.float64).expand(3, 4)
    monkeypatch.setattr(rng, "dropout_mask", lambda sums, share: kept / (1 - share))
    x = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    some = awake(network).train()(x)
    found = torch.autograd.grad(some.square().sum(), [x, *network.parameters()])
    network.output.data *= 2 * kept[0]
    right = torch.autograd.grad(network.eval()(x).square().sum(), [x, *network.parameters()])
    names = ["x", *(name for name, _ in network.named_parameters())]
    for name, one, other in zip(names, found, right, strict=True):
        torch.testing.assert_close(one, 2 * kept[0] * other if name == "output" else other)


def test_dropout_is_for_training_alone():
    model, x = NADE((9,), 50, dropout=0.5, likelihood=Bernoulli()), torch.ones(4, 9)
    assert not torch.equal(model.train()(x).total, model.train()(x).total)
    assert torch.equal(model.eval()(x).total, model.eval()(x).total)


def test_blocks_hold_whole_places():
    widths = (1, 1, 3, 1, 5, 1, 1)
    for size in range(1, 15):
        blocks = blocks_of(widths, size)
        assert [value for block in blocks for value in range(block.start, block.stop)] == list(range(sum(widths)))
        ends = {sum(widths[:i]) for i in range(len(widths) + 1)}
        assert {block.stop for block in blocks} <= ends
        assert all(block.stop - block.start <= max(size, 5) for block in blocks)


def multiplications(n: int, hidden: int, *, what: str) -> int:
    """Counted by PyTorch, of matrix products."""
    model = NADE((n,), hidden, likelihood=Bernoulli())
    model.network.block = 4
    x = torch.randint(2, (3, n)).float()
    with FlopCounterMode(display=False) as counted:
        if what == "draws":
            model.sample(3)
        else:
            loss = model(x).total.sum()
            if what == "training":
                loss.backward()
    return counted.get_total_flops()


@pytest.mark.parametrize("what", ["draws", "density", "training"])
def test_its_cost_is_proportional_to_values_and_to_hidden_units(what):
    cost = multiplications(32, 20, what=what)
    assert multiplications(64, 20, what=what) == pytest.approx(2 * cost, rel=0.02)
    assert multiplications(32, 40, what=what) == pytest.approx(2 * cost, rel=0.02)


def test_a_draw_multiplies_each_weight_once():
    assert multiplications(32, 20, what="draws") == 3 * 2 * (2 * 32 * 20)


def test_what_is_kept_for_the_way_back_grows_with_blocks_and_not_with_values():
    kept = {}
    for block in (1, 8):
        network = NADENetwork((256,), 1, vector_places((1,) * 256), hidden=50, block=block)
        sizes = []
        with saved_tensors_hooks(
            lambda tensor, sizes=sizes: sizes.append(tensor.numel()) or tensor, lambda tensor: tensor
        ):
            network(torch.rand(10, 256))
        kept[block] = sum(sizes)
    whole = 256 * 10 * 50
    assert kept[1] > whole
    assert kept[8] < whole / 8 + 2 * (256 * 50) + 12 * 2560


@torch.no_grad()
def test_sums_are_never_rounded_to_bfloat16():
    network = NADENetwork((300,), 1, vector_places((1,) * 300), hidden=8)
    x = torch.rand(4, 300)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(network(x), network(x.float()))
        quick = network(x)
    assert quick.dtype == torch.float32
    torch.testing.assert_close(quick, network(x), rtol=0, atol=0)


def test_reals_have_a_factor_for_each_place_and_whole_values_none():
    assert NADE((4,)).network.rho is not None
    assert NADE((4,), likelihood=GaussianMixture(2)).network.rho is not None
    assert NADE((4,), likelihood=Bernoulli()).network.rho is None
    assert NADE((4,), likelihood=Categorical(3)).network.rho is None


@torch.no_grad()
def test_columns_with_a_category_and_a_condition_have_a_density():
    """Summed over the category and integrated over the real column, it is 1."""
    torch.manual_seed(0)
    likelihood = Columns((3, 1), GaussianMixture(2))
    model = NADE((4,), 6, likelihood=likelihood, condition_shape=(2,)).double().eval()
    awake(model.network)
    at = torch.linspace(-60, 60, 40_001, dtype=torch.float64)
    rows = torch.cat([torch.cat([F.one_hot(torch.full((len(at),), k), 3), at[:, None]], 1) for k in range(3)])
    density = model.log_prob(rows, torch.tensor([[0.3, -1.0]]).double().expand(len(rows), 2)).exp()
    assert density.sum().item() * (at[1] - at[0]).item() == pytest.approx(1, abs=1e-4)


def test_a_width_of_nothing_is_refused():
    with pytest.raises(ValueError, match="hidden must be at least 1"):
        NADE((4,), 0)
    with pytest.raises(ValueError, match="dropout"):
        NADE((4,), dropout=1.0)


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_it_reaches_the_entropy_rate_of_a_markov_chain(activation):
    source = markov_chain()
    rows = source.draw(6000, seed=1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = NADE((12,), 64, activation=activation, dropout=0.0, likelihood=Bernoulli())
    rate = {"sigmoid": 3e-2, "relu": 1e-2}[activation]
    config = TrainConfig(epochs=30, batch_size=100, learning_rate=rate, device="cpu", precision="float32")
    train(model, rows, config)
    x = states((source.length,))
    with torch.no_grad():
        nll = -(source.log_prob(x).exp() * model.double().log_prob(x)).sum().item()
    assert source.entropy < nll < 1.01 * source.entropy
    assert math.isfinite(nll)
