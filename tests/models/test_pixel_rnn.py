"""Recurrences over pixels: waves equal the equations pixel by pixel, see what they should, and waste nothing."""

import itertools

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from likely.chain_rule import draw_in_order
from likely.likelihoods import Bernoulli, Categorical, Gaussian
from likely.models import PixelRNN
from likely.networks import recurrent_pixels, wavefront
from likely.networks.causal import Anew
from likely.networks.diagonal_lstm import DiagonalBiLSTM, diagonal_waves
from likely.networks.recurrent_pixels import RecurrentPixels
from likely.networks.row_lstm import RowLSTM, row_waves
from likely.registry import Spec
from likely.training import TrainConfig, train
from tests.sources import markov_chain

KINDS = ["diagonal", "row"]
SHAPES = [(1, 3, 5), (1, 5, 2), (1, 4, 9), (3, 3, 4), (3, 2, 7)]


def network(x_shape, recurrence, *, hidden=12, layers=2, raw_channels=2, context_size=0) -> RecurrentPixels:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = RecurrentPixels(
            x_shape, raw_channels, hidden, layers=layers, recurrence=recurrence, context_size=context_size
        )
    return made.double().eval()


def images(n, *shape) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


# The equations of the paper, for one image, one pixel at a time.


def within_pixel(weight: Tensor, colors: int, *, itself: bool = True) -> Tensor:
    """Weights (out, in), zero where a color would see a later one (or itself)."""
    kept = [
        [(i % colors < o % colors) or (itself and i % colors == o % colors) for i in range(weight.shape[1])]
        for o in range(weight.shape[0])
    ]
    return torch.where(torch.tensor(kept), weight, 0.0)


def lstm(sums: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Equation 3: hidden state and cell of one pixel."""
    o, f, i, g = sums.chunk(4)
    c = f.sigmoid() * before + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def first_layer(net: RecurrentPixels, x: Tensor) -> dict[tuple[int, int], Tensor]:
    """A 7 x 7 convolution of mask A (section 3.4), each weight in turn."""
    colors, height, width = x.shape
    weight, rows, columns = net.first.weight, *net.first.weight.shape[2:]
    features = {}
    for i, j in itertools.product(range(height), range(width)):
        total = net.first.bias
        for r, s in itertools.product(range(rows), range(columns)):
            k, m = i + r - (rows - 1), j + s - columns // 2
            if not (0 <= k < height and 0 <= m < width) or (k, m) > (i, j):
                continue
            each = weight[:, :, r, s]
            total = total + (within_pixel(each, colors, itself=False) if (k, m) == (i, j) else each) @ x[:, k, m]
        features[i, j] = total
    return features


def row_layer(layer: RowLSTM, u, x: Tensor) -> dict[tuple[int, int], Tensor]:
    """Section 3.1."""
    colors, height, width = x.shape
    zero, n = torch.zeros(layer.hidden, dtype=x.dtype), layer.features
    weight, recurrent, states, cells = layer.input_to_state[0].T, layer.state_to_state[0].T, {}, {}
    for i, j in itertools.product(range(height), range(width)):
        sums = layer.bias[0, 0] + within_pixel(weight[:, -n:], colors) @ u[i, j]
        if j:
            sums = sums + weight[:, :n] @ u[i, j - 1]
        for k, part in zip((-1, 0, 1), recurrent.split(layer.hidden, 1), strict=True):
            sums = sums + part @ states.get((i - 1, j + k), zero)
        states[i, j], cells[i, j] = lstm(sums, cells.get((i - 1, j), zero))
    return states


def diagonal_layer(layer: DiagonalBiLSTM, u, x: Tensor) -> dict[tuple[int, int], Tensor]:
    """Section 3.2, and from the right the values of the image in the first layer."""
    colors, height, width = x.shape
    zero, n = torch.zeros(layer.hidden, dtype=x.dtype), layer.features
    sides = []
    for direction, (beside, columns) in enumerate(((-1, range(width)), (1, reversed(range(width))))):
        weight, states, cells = layer.input_to_state[direction].T, {}, {}
        of_beside, of_above = layer.state_to_state[direction].T.split(layer.hidden, 1)
        for i, j in itertools.product(range(height), list(columns)):
            sums = layer.bias[direction, 0] + within_pixel(weight[:, -n:], colors) @ u[i, j]
            if direction and weight.shape[1] > n:
                sums = sums + weight[:, :colors] @ x[:, i, j]
            sums = sums + of_beside @ states.get((i, j + beside), zero) + of_above @ states.get((i - 1, j), zero)
            states[i, j], cells[i, j] = lstm(sums, cells.get((i, j + beside), zero))
        sides.append(states)
    left, right = sides
    return {(i, j): state + right.get((i - 1, j), zero) for (i, j), state in left.items()}


def pixel_by_pixel(net: RecurrentPixels, x: Tensor) -> Tensor:
    """All raw numbers of one image (c, h, w)."""
    colors, height, width = x.shape
    u = first_layer(net, x)
    for layer, up in zip(net.layers, net.ups, strict=True):
        states = row_layer(layer, u, x) if isinstance(layer, RowLSTM) else diagonal_layer(layer, u, x)
        u = {at: u[at] + within_pixel(up.weight, colors) @ states[at] + up.bias for at in u}
    for each in net.head:
        u = {at: within_pixel(each.weight, colors) @ value.relu() + each.bias for at, value in u.items()}
    return torch.stack([u[i, j] for i, j in itertools.product(range(height), range(width))], 1).view(-1, height, width)


@pytest.mark.parametrize("recurrence", KINDS)
@pytest.mark.parametrize("x_shape", SHAPES, ids=str)
@torch.no_grad()
def test_waves_equal_the_recurrence_pixel_by_pixel(x_shape, recurrence):
    net, x = network(x_shape, recurrence), images(2, *x_shape)
    expected = torch.stack([pixel_by_pixel(net, each) for each in x])
    torch.testing.assert_close(net(x), expected, rtol=0, atol=1e-10)


@torch.no_grad()
def test_a_signal_is_what_an_lstm_makes_of_it():
    """Along one row: PyTorch's own LSTM, its gates in the order input, forget, candidate, output."""
    layer = DiagonalBiLSTM((1, 9), 4, 3).double()
    plain = torch.nn.LSTM(4, 3).double()
    order = torch.tensor([2, 1, 3, 0])
    for name, weight in (("weight_ih_l0", layer.input_to_state[0]), ("weight_hh_l0", layer.state_to_state[0])):
        getattr(plain, name).copy_(weight.T.view(4, 3, -1)[order].flatten(0, 1))
    plain.bias_ih_l0.copy_(layer.bias[0, 0].view(4, 3)[order].flatten())
    plain.bias_hh_l0.zero_()
    column = RowLSTM((9, 1), 4, 3).double()
    column.load_state_dict(layer.state_dict())
    u = torch.randn(9, 2, 4, dtype=torch.float64)
    for each in (layer, column):
        torch.testing.assert_close(each(u, u[..., :1]), plain(u)[0], rtol=0, atol=1e-12)


# What sees what.


def dependence(net: RecurrentPixels) -> Tensor:
    """Whether the numbers of each place depend on each value: (places, places), in reading order."""
    x = images(6, *net.x_shape)
    raw = torch.autograd.functional.jacobian(lambda x: net(x).reshape(6, net.raw_channels, -1).sum((0, 1)), x)
    order = [place.start for place in net.places]
    return (raw.abs().sum(1).flatten(1)[order][:, order]) > 0


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("x_shape", [(1, 4, 9), (1, 9, 4), (3, 3, 7), (2, 8), (1, 1, 6), (1, 6, 1)], ids=str)
def test_the_diagonal_one_sees_all_that_came_before_and_nothing_else(x_shape, layers):
    seen = dependence(network(x_shape, "diagonal", hidden=24, layers=layers))
    assert torch.equal(seen, torch.ones_like(seen).tril(-1))


def triangle(height: int, width: int) -> Tensor:
    """What a layer of Row LSTM sees behind a 7 x 7 convolution, by sets of pixels."""
    features = {
        (i, j): {
            (k, m)
            for k, m in itertools.product(range(height), range(width))
            if (k, m) < (i, j) and i - k <= 3 and abs(j - m) <= 3
        }
        for i, j in itertools.product(range(height), range(width))
    }
    seen: dict[tuple[int, int], set[tuple[int, int]]] = {}
    for i, j in features:
        above = [seen.get((i - 1, j + k), set()) for k in (-1, 0, 1)]
        seen[i, j] = features[i, j].union(features.get((i, j - 1), set()), *above)
    return torch.tensor([[other in seen[at] for other in features] for at in features])


def test_the_row_one_sees_a_triangle():
    seen = dependence(network((1, 6, 17), "row", hidden=24, layers=1))
    assert torch.equal(seen, triangle(6, 17))
    assert not torch.equal(seen, torch.ones_like(seen).tril(-1))


@pytest.mark.parametrize("x_shape", [(3, 3, 4), (3, 6)], ids=str)
def test_colors_come_one_after_another(x_shape):
    seen = dependence(network(x_shape, "row", hidden=24))
    assert not seen.triu().any()
    assert seen.diagonal(-1).all()  # the color before, or the last color of the pixel before


# Steps and their backward.


@pytest.mark.parametrize(("recurrence", "steps"), [("diagonal", 7 + 5 - 1), ("row", 7)])
def test_as_many_steps_as_diagonals_or_rows(recurrence, steps, monkeypatch):
    calls, cell = [], wavefront.cell
    monkeypatch.setattr(wavefront, "cell", lambda *args: (calls.append(1), cell(*args)))
    network((1, 7, 5), recurrence, layers=1)(images(2, 1, 7, 5))
    assert len(calls) == steps


def test_the_preset_takes_fewer_steps_than_its_parent():
    row, parent = (Spec(name).build((1, 28, 28)).network.layers[0] for name in ("row-lstm", "pixel_rnn"))
    assert len(row.waves) == 28
    assert len(parent.waves) == 2 * 28 - 1


@pytest.mark.parametrize(
    ("waves", "directions", "n_seen"),
    [
        (diagonal_waves((3, 4)), 2, 2),
        (diagonal_waves((4, 2)), 2, 2),
        (row_waves((3, 4)), 1, 3),
        (row_waves((3, 1)), 1, 1),
    ],
    ids=["wide", "high", "rows", "column"],
)
def test_the_backward_by_hand_is_the_derivative(waves, directions, n_seen):
    n_pixels = waves[-1].first + waves[-1].size
    gates = torch.randn(directions, n_pixels, 2, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(directions, 2 * n_seen, 8, dtype=torch.float64, requires_grad=True)
    pixels = torch.cat([torch.arange(wave.slot, wave.slot + wave.size) for wave in waves])
    assert torch.autograd.gradcheck(lambda g, w: wavefront.sweep(g, w, waves)[:, pixels], (gates, weight))


# Draws.

DRAWN = [((1, 4, 5), Bernoulli()), ((3, 3, 4), Categorical(4)), ((2, 6), Gaussian()), ((3, 5, 2), Gaussian())]


@pytest.mark.parametrize("recurrence", KINDS)
@pytest.mark.parametrize(("x_shape", "likelihood"), DRAWN, ids=lambda each: str(each))
@torch.no_grad()
def test_draws_by_states_are_those_of_the_whole_network(x_shape, likelihood, recurrence):
    torch.manual_seed(3)
    model = PixelRNN(x_shape, recurrence=recurrence, channels=12, layers=2, likelihood=likelihood, condition_shape=(2,))
    net, condition = model.double().network, torch.randn(5, 2, dtype=torch.float64)
    noise = torch.rand(5, *x_shape, dtype=torch.float64)
    quick = model.complete(torch.full_like(noise, torch.nan), noise, condition)
    net.begin = lambda n, context=None: Anew(net, n, context)
    whole = draw_in_order(net, likelihood, torch.full_like(noise, torch.nan), noise, condition, 1.0, lambda *_: None)
    del net.begin
    torch.testing.assert_close(quick, whole, rtol=0, atol=1e-10 if isinstance(likelihood, Gaussian) else 0)
    steps, raw = net.begin(5, condition), net(quick, condition)
    for i, place in enumerate(net.places):
        torch.testing.assert_close(steps.raw(i), net.raw_at(raw, i), rtol=0, atol=1e-10)
        steps.put(i, quick.flatten(1)[:, place])


@pytest.mark.parametrize("recurrence", KINDS)
@pytest.mark.parametrize("x_shape", [(1, 12, 10), (3, 6, 8)], ids=str)
@torch.no_grad()
def test_drawing_multiplies_no_more_than_one_pass(x_shape, recurrence):
    net, x = network(x_shape, recurrence), images(3, *x_shape)
    with FlopCounterMode(display=False) as once:
        net(x)
    with FlopCounterMode(display=False) as drawing:
        steps = net.begin(3)
        for i, place in enumerate(net.places):
            steps.raw(i)
            steps.put(i, x.flatten(1)[:, place])
    assert drawing.get_total_flops() <= 1.01 * once.get_total_flops()


@torch.no_grad()
def test_many_rows_go_through_in_pieces(monkeypatch):
    net, x, context = network((1, 3, 4), "diagonal", context_size=2), images(7, 1, 3, 4), images(7, 2)
    whole = net(x, context)
    monkeypatch.setattr(recurrent_pixels, "MAX_GATES_AT_ONCE", 2 * 2 * 12 * 4 * 12)
    torch.testing.assert_close(net(x, context), whole, rtol=0, atol=1e-12)


# Learning.


@pytest.mark.parametrize("recurrence", KINDS)
def test_it_learns_a_markov_chain_along_the_rows_to_its_entropy(recurrence):
    """The bits before the first of a row end the row above: what sees only its own row cannot know."""
    chain = markov_chain()
    x, test = (chain.draw(n, seed=seed).view(-1, 1, 3, 4) for n, seed in ((6000, 0), (4000, 1)))
    torch.manual_seed(0)
    model = PixelRNN((1, 3, 4), recurrence=recurrence, channels=12, layers=1, likelihood=Bernoulli())
    train(model, x, TrainConfig(epochs=5, batch_size=64, learning_rate=0.01, device="cpu", precision="float32"))
    own, true = -model.eval().log_prob(test), -chain.log_prob(test.flatten(1).double())
    assert (own - true).mean().item() < 0.01 * chain.entropy


def test_what_cannot_be_is_refused_by_name():
    with pytest.raises(ValueError, match="PixelRNN takes images"):
        PixelRNN((5,))
    with pytest.raises(ValueError, match="diagonal, row"):
        PixelRNN((1, 4, 4), recurrence="column")
    with pytest.raises(ValueError, match="layers must be at least 1"):
        PixelRNN((1, 4, 4), layers=0)
    with pytest.raises(ValueError, match="multiple of 3"):
        PixelRNN((3, 4, 4), channels=16)
