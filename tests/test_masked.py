"""Masked networks: who depends on whom, to the letter, in any order and at any depth."""

import random

import pytest
import torch

from likely.networks.masked import AutoregressiveMLP, MaskedLinear, autoregressive_masks

HIDDEN = [(), (9,), (12, 9), (10, 17, 9, 11)]
"""Nothing narrower than the largest n here: every dependency that may be, is."""


def shuffled(n: int, seed: int) -> list[int]:
    return random.Random(seed).sample(range(n), n)


def jacobians(network: AutoregressiveMLP, masks=None, n_rows: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    """How much each output depends on each input (outputs, n, n) and each context number (outputs, n, context_size)."""
    network = network.double()
    masks = masks and [mask.double() for mask in masks]
    x = torch.randn(n_rows, network.n).double()
    context = torch.randn(n_rows, network.context_size).double()

    def summed(x, context):
        return network(x, context if network.context_size else None, masks).sum(0)

    by_x, by_context = torch.autograd.functional.jacobian(summed, (x, context))
    return by_x.abs().amax(2), by_context.abs().amax(2)


def before(order: list[int]) -> torch.Tensor:
    """Whether input j (column) comes strictly before i (row)."""
    places = torch.tensor(order)
    return places[None, :] < places[:, None]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("context_size", [0, 3])
@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_an_output_depends_on_what_comes_strictly_before_it_and_on_all_of_that(n, hidden, context_size, seed):
    order = shuffled(n, seed)
    network = AutoregressiveMLP(n, hidden, 2, context_size=context_size, order=order, activation="tanh")
    by_x, by_context = jacobians(network)
    assert torch.equal(by_x > 0, before(order).expand(2, n, n))
    assert (by_context > 0).all()


@pytest.mark.parametrize("context_size", [0, 2])
@pytest.mark.parametrize("hidden", [(1,), (2,), (3, 8), (8, 3), (2, 3, 2)], ids=str)
def test_a_narrow_network_still_sees_nothing_it_must_not(hidden, context_size):
    order = shuffled(7, 0)
    by_x, by_context = jacobians(AutoregressiveMLP(7, hidden, 1, context_size=context_size, order=order))
    assert not (by_x > 0)[:, ~before(order)].any()
    assert (by_context > 0).all()


@pytest.mark.parametrize("context_size", [0, 2])
@pytest.mark.parametrize("hidden", [(2,), (3, 8), (8, 3), (2, 3, 2)], ids=str)
def test_a_narrow_network_leaves_no_input_out(hidden, context_size):
    order = shuffled(7, 0)
    by_x, _ = jacobians(AutoregressiveMLP(7, hidden, 1, context_size=context_size, order=order))
    last = torch.tensor(order) == 6
    assert (by_x[0][last] > 0).squeeze(0).equal(~last)


def test_masks_of_another_order_make_another_network_of_the_same_weights():
    orders = [shuffled(6, seed) for seed in range(2)]
    one, other = (AutoregressiveMLP(6, (8, 7), 3, context_size=2, order=order) for order in orders)
    other.load_state_dict(one.state_dict())
    x, context = torch.randn(4, 6), torch.randn(4, 2)
    masks = autoregressive_masks(orders[1], (8, 7), 3, context_size=2)
    assert torch.equal(one(x, context, masks), other(x, context))
    assert not torch.allclose(one(x, context), other(x, context))


@pytest.mark.parametrize("layer", range(3))
def test_a_mask_that_lets_one_degree_too_many_through_is_seen(layer):
    """The commonest mistake: up to and including, where strictly before is meant, or one more on the way."""
    order = list(range(6))
    masks = autoregressive_masks(order, (9, 9), 1)
    degrees = [torch.arange(6), torch.arange(9) % 5, torch.arange(9) % 5, torch.arange(6)]
    down, up = degrees[layer], degrees[layer + 1]
    right = up[:, None] > down if layer == 2 else up[:, None] >= down
    assert torch.equal(masks[layer], right.float()), "the mistake below is no longer the one that is meant"
    masks[layer] = (up[:, None] >= down if layer == 2 else up[:, None] + 1 >= down).float()
    by_x, _ = jacobians(AutoregressiveMLP(6, (9, 9), 1), masks)
    assert (by_x > 0)[:, ~before(order)].any()


def test_masks_leave_weights_alone():
    network = AutoregressiveMLP(5, (8,), 2)
    kept = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    network(torch.randn(3, 5)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, kept[name])
    for layer in network.layers:
        assert (layer.weight[layer.mask == 0] != 0).all()
        assert (layer.weight.grad[layer.mask == 0] == 0).all()


def test_only_weights_are_saved():
    assert {name.split(".")[-1] for name in AutoregressiveMLP(5, (8,), 2).state_dict()} == {"weight", "bias"}


def test_masked_linear_is_a_dense_layer_of_the_weights_that_are_left():
    mask = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    layer = MaskedLinear(mask)
    x = torch.randn(4, 3)
    assert torch.allclose(layer(x), x @ (layer.weight * mask).T + layer.bias)
    assert torch.allclose(layer(x)[:, 1], layer.bias[1].expand(4))


@pytest.mark.parametrize("order", [[], [1, 2, 3], [0, 0, 1], [0, 1, 3]])
def test_an_order_holds_each_place_once(order):
    with pytest.raises(ValueError, match="each of 0 to n - 1 once"):
        autoregressive_masks(order, (4,), 1)


@pytest.mark.parametrize(("context_size", "given"), [(2, None), (2, 3), (0, 2)])
def test_a_context_is_given_where_one_was_built_for_and_nowhere_else(context_size, given):
    network = AutoregressiveMLP(3, (4,), 1, context_size=context_size)
    with pytest.raises(ValueError, match="built for"):
        network(torch.randn(5, 3), None if given is None else torch.randn(5, given))
