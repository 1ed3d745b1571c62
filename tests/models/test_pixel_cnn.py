"""Networks of masked and of gated convolutions: what each pixel sees, what a draw costs, what they learn."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from likely.chain_rule import ChainRuleModel
from likely.likelihoods import Bernoulli, Categorical, Gaussian
from likely.models import GatedPixelCNN, PixelCNN
from likely.networks.causal import Anew, CausalNetwork
from likely.networks.gated_pixel_cnn import GatedPixelCNNNetwork
from likely.networks.pixel_cnn import PixelCNNNetwork
from likely.training import TrainConfig, train
from likely.training.plan import BFLOAT16_WORK, work_of_step
from tests import markov_field

Build = Callable[..., CausalNetwork]


def masked(x_shape: tuple[int, ...], raw_channels: int, *, depth: int, **arguments) -> PixelCNNNetwork:
    torch.manual_seed(0)
    return PixelCNNNetwork(x_shape, raw_channels, blocks=depth, **arguments).double().eval()


def gated(x_shape: tuple[int, ...], raw_channels: int, *, depth: int, **arguments) -> GatedPixelCNNNetwork:
    torch.manual_seed(0)
    return GatedPixelCNNNetwork(x_shape, raw_channels, layers=depth, **arguments).double().eval()


BOTH = pytest.mark.parametrize("build", [masked, gated])


def sees(network: CausalNetwork) -> Tensor:
    """Which value's raw numbers depend on which value, in the order of places: (n, n), by Jacobians at a few rows."""
    order = [place.start for place in network.places]
    total = torch.zeros(len(order), len(order), dtype=torch.float64)
    for _ in range(4):
        x = torch.rand(1, *network.x_shape, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(lambda x: network(x).flatten(), x)
        total += jacobian.reshape(network.raw_channels, len(order), len(order)).abs().sum(0)
    return total[order][:, order] != 0


@BOTH
def test_colors_come_one_after_another(build: Build):
    """R of a pixel, then G, then B: each value sees all values of the pixels before, and the colors before."""
    network = build((3, 3, 3), 2, channels=24, depth=3)
    n = 27
    assert torch.equal(sees(network), torch.ones(n, n).tril(-1).bool())


def test_masked_convolutions_have_a_blind_spot():
    """Of d rows above, a pixel sees no more than d columns to the right: the wedge beyond them is the blind spot."""
    side = 5
    seen = sees(masked((1, side, side), 1, channels=8, depth=8, first_kernel=3))
    for at in range(side**2):
        for before in range(at):
            (row, column), (its_row, its_column) = divmod(at, side), divmod(before, side)
            assert seen[at, before] == (its_column - column <= row - its_row), (at, before)


def test_gated_convolutions_have_none():
    side = 5
    seen = sees(gated((1, side, side), 1, channels=8, depth=4, first_kernel=3))
    assert torch.equal(seen, torch.ones(side**2, side**2).tril(-1).bool())


@BOTH
def test_a_signal_reaches_back_to_its_beginning(build: Build):
    """Six layers that read two values each, 1 to 32 apart, after one that reads one value: 64 values back."""
    seen = sees(build((1, 70), 1, channels=8, depth=6, first_kernel=3))
    for at, row in enumerate(seen):
        assert row.nonzero().flatten().tolist() == list(range(max(0, at - 64), at))


CASES = {
    "an odd image": ((1, 5, 6), {}),
    "colors": ((3, 4, 5), {"channels": 6}),
    "wide kernels": ((2, 5, 4), {"channels": 4, "kernel": 5, "first_kernel": 5}),
    "a context": ((1, 4, 3), {"context_size": 3}),
    "one column": ((1, 6, 1), {}),
    "a signal": ((2, 11), {"channels": 4, "kernel": 5, "context_size": 3}),
    "a signal of more than one lap": ((1, 1100), {"depth": 11, "kernel": 5}),
    "reals": ((1, 3, 4), {"scaled": False}),
    "kernels of one pixel": ((1, 3, 4), {"kernel": 1, "first_kernel": 3}),
}


@BOTH
@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_caches_give_what_one_pass_gives(build: Build, case: str):
    shape, arguments = CASES[case]
    network = build(shape, 2, **{"channels": 4, "depth": 3, **arguments})
    x = torch.rand(3, *shape, dtype=torch.float64)
    context = torch.randn(3, 3, dtype=torch.float64) if network.context_size else None
    whole, steps = network(x, context), network.begin(3, context)
    for i, place in enumerate(network.places):
        torch.testing.assert_close(steps.raw(i), network.raw_at(whole, i), rtol=1e-10, atol=1e-10)
        steps.put(i, x.flatten(1)[:, place])


@pytest.mark.parametrize("model", [GatedPixelCNN, PixelCNN])
@torch.no_grad()
def test_draws_given_a_label_are_those_of_the_plain_sampler(model: type[ChainRuleModel], monkeypatch):
    torch.manual_seed(1)
    made = model((3, 3, 4), channels=6, likelihood=Categorical(4), condition_shape=(5,)).double().eval()
    nothing, noise = torch.full((7, 3, 3, 4), torch.nan).double(), torch.rand(7, 3, 3, 4).double()
    labels = torch.eye(5).double()[torch.arange(7) % 5]
    drawn = made.complete(nothing, noise, labels)
    monkeypatch.setattr(type(made.network), "begin", lambda self, n, context=None: Anew(self, n, context))
    assert torch.equal(made.complete(nothing, noise, labels), drawn)
    assert not torch.equal(made.complete(nothing, noise, labels.flip(1)), drawn)


def unmasked_products(network: CausalNetwork, n: int) -> int:
    """Multiplications of one pass over n rows with the weights that no mask takes out."""
    n_pixels = torch.Size(network.x_shape[1:]).numel()
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    return n * n_pixels * sum(int((getattr(layer, "masked_weight", layer.weight) != 0).sum()) for layer in layers)


@BOTH
@pytest.mark.parametrize("shape", [(1, 9, 8), (3, 5, 6), (1, 40)])
@torch.no_grad()
def test_a_draw_multiplies_no_more_than_one_pass(build: Build, shape: tuple[int, ...]):
    network = build(shape, 2, channels=12, depth=4)
    x = torch.rand(2, *shape, dtype=torch.float64)
    with FlopCounterMode(display=False) as counter:
        steps = network.begin(2)
        for i, place in enumerate(network.places):
            steps.raw(i)
            steps.put(i, x.flatten(1)[:, place])
    one_pass = 2 * unmasked_products(network, 2)
    assert 0.7 * one_pass < counter.get_total_flops() < 1.1 * one_pass


@pytest.mark.parametrize("model", [GatedPixelCNN, PixelCNN])
def test_training_runs_in_bfloat16_channels_last_and_counts_in_float32(model: type[ChainRuleModel]):
    made = model((1, 12, 10), channels=16, likelihood=Bernoulli())
    outputs: list[Tensor] = []
    for layer in made.modules():
        if isinstance(layer, nn.Conv2d) and layer.in_channels > 1:
            layer.register_forward_hook(lambda layer, given, output: outputs.extend([given[0], output]))
    with torch.autocast("cpu", torch.bfloat16):
        objective = made(torch.randint(2, (3, 1, 12, 10)).float())
    assert outputs
    assert all(output.dtype == torch.bfloat16 for output in outputs)
    assert all(output.is_contiguous(memory_format=torch.channels_last) for output in outputs)
    assert objective.total.dtype == torch.float32
    assert work_of_step(model((1, 28, 28)), 64) > BFLOAT16_WORK["cpu"]  # so that it is chosen


def test_bits_and_levels_are_read_around_zero_and_reals_as_they_are():
    for likelihood, scaled in ((Bernoulli(), True), (Categorical(4), True), (Gaussian(), False)):
        assert GatedPixelCNN((1, 4, 4), likelihood=likelihood).network.scaled == scaled
        assert PixelCNN((1, 4, 4), likelihood=likelihood).network.scaled == scaled


@pytest.mark.parametrize("model", [GatedPixelCNN, PixelCNN])
def test_what_cannot_be_is_refused(model: type[ChainRuleModel]):
    with pytest.raises(ValueError, match="images"):
        model((5,))
    with pytest.raises(ValueError, match="first_kernel must be odd and at least 3, got 1"):
        model((1, 4, 4), first_kernel=1)
    with pytest.raises(ValueError, match="kernel must be odd"):
        model((1, 4, 4), kernel=4)
    with pytest.raises(ValueError, match="multiple of 3"):
        model((3, 4, 4), channels=32)
    with pytest.raises(ValueError, match="no context"):
        model((1, 4, 4)).network(torch.zeros(2, 1, 4, 4), torch.zeros(2, 3))


@pytest.mark.parametrize(
    "model",
    [
        GatedPixelCNN((1, 4, 4), channels=12, layers=2, first_kernel=3, likelihood=Bernoulli()),
        PixelCNN((1, 4, 4), channels=12, blocks=2, first_kernel=3, likelihood=Bernoulli()),
    ],
    ids=["gated", "masked"],
)
def test_a_field_is_learned_to_its_entropy(model: ChainRuleModel):
    """The cross-entropy of the field and the model over all images, against the entropy of the field."""
    config = TrainConfig(epochs=2, batch_size=128, learning_rate=1e-2, seed=0, device="cpu")
    train(model, markov_field.draw(16_000, seed=0), config)
    x, log_p = markov_field.all_images()
    p, entropy = log_p.exp(), -(log_p.exp() * log_p).sum().item()
    assert p.sum().item() == pytest.approx(1)
    with torch.no_grad():
        cross_entropy = -(p * torch.cat([model.log_prob(rows) for rows in x.split(8192)])).sum().item()
    assert entropy < cross_entropy < 1.005 * entropy


@pytest.mark.parametrize("model", [PixelCNN, GatedPixelCNN])
def test_a_picture_is_learned_by_where_its_pixels_are(model: type[ChainRuleModel]):
    """Bits of a picture without a pattern, seen through a window too small to tell where one is: 0.69 nats a pixel."""
    torch.manual_seed(0)
    picture = torch.bernoulli(torch.full((1, 15, 15), 0.5))
    x = (picture - torch.bernoulli(torch.full((512, 1, 15, 15), 0.02))).abs()
    made = model((1, 15, 15), channels=8, kernel=1, first_kernel=3, likelihood=Bernoulli())
    train(made, x, TrainConfig(epochs=30, batch_size=64, learning_rate=0.02, patience=None, seed=0))
    nll = -made.log_prob(x).mean() / 15**2
    assert 0.09 < nll < 0.2  # 0.098 is the entropy of a bit that is turned in one of fifty
