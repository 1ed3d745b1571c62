"""Noise: what it is distributed like, what it follows, what it leaves alone, and that nobody draws elsewhere."""

import ast
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn
from torch.distributions import Beta, Categorical, Gamma, Laplace, Normal, Poisson, VonMises

import likely
from likely import rng
from likely.contract import GradientFitted, Objective
from likely.corruptions import GaussianNoise
from likely.data.augmentation import Flips
from likely.data.feed import TensorFeed
from likely.models import VAE, DenoisingAutoencoder
from likely.networks import MLP
from likely.rng import TorchDraws, restart, seeded, stream, torch_draws
from likely.training import TrainConfig, train
from tests.little_models import LittleGAN

N = 100_000
LEAST_P = 1e-4

DRAWS = {
    "normal": lambda like: rng.normal(3, 5, like=like),
    "normal_like": lambda like: rng.normal_like(like.new_empty(3, 5)),
    "uniform": lambda like: rng.uniform(3, 5, like=like),
    "uniform_like": lambda like: rng.uniform_like(like.new_empty(3, 5)),
    "gumbel": lambda like: rng.gumbel(3, 5, like=like),
    "coins": lambda like: rng.coins(like.new_full((30, 5), 0.3)),
    "integers": lambda like: rng.integers(1000, 3, 5, like=like),
    "shuffled": lambda like: rng.shuffled(20, like=like),
    "categories": lambda like: rng.categories(like.new_ones(2, 1000), 3),
    "dropout_mask": lambda like: rng.dropout_mask(like.new_empty(30, 5), 0.3),
}
FLOAT, DOUBLE = torch.empty(0), torch.empty(0, dtype=torch.float64)


@pytest.mark.parametrize(
    ("draw", "law"),
    [(rng.normal, "norm"), (rng.uniform, "uniform"), (rng.gumbel, "gumbel_r")],
    ids=["normal", "uniform", "gumbel"],
)
@pytest.mark.parametrize("on_device", [False, True])
def test_real_numbers_have_their_distribution(draw, law, on_device):
    with stream(0, on_device=on_device):
        values = draw(N // 2, 2)
    assert scipy.stats.kstest(values.flatten().numpy(), law).pvalue > LEAST_P
    assert abs(np.corrcoef(values.numpy().T)[0, 1]) < 4 / (N // 2) ** 0.5


def assert_frequencies(index: torch.Tensor, p: np.ndarray) -> None:
    counts = np.bincount(index.flatten().numpy(), minlength=len(p))
    assert not counts[p == 0].any()
    if (p > 0).sum() > 1:
        assert scipy.stats.chisquare(counts[p > 0], index.numel() * p[p > 0]).pvalue > LEAST_P


def test_whole_numbers_have_their_distribution():
    p = np.array([0.0, 0.2, 0.0, 0.05, 0.7, 0.05, 0.0])
    with stream(1):
        assert_frequencies(rng.integers(7, N), np.full(7, 1 / 7))
        drawn = rng.categories(3 * torch.tensor(np.stack([p, p[::-1]])), N)
        coins = rng.coins(torch.tensor([[0.2], [0.0], [1.0], [1e-3]]).expand(-1, N))
        order = rng.shuffled(1000)
    assert_frequencies(drawn[0], p)
    assert_frequencies(drawn[1], p[::-1])
    for thrown, chance in zip(coins, (0.2, 0.0, 1.0, 1e-3), strict=True):
        assert_frequencies(thrown.long(), np.array([1 - chance, chance]))
    assert order.sort().values.equal(torch.arange(1000))
    assert abs(scipy.stats.spearmanr(order.numpy(), np.arange(1000)).statistic) < 4 / 1000**0.5


def test_no_noise_chooses_what_has_no_probability_however_it_is_rounded():
    p = torch.tensor([[0.0, 0.3, 1e-9, 0.7, 0.0], [1e-30, 0.0, 0.0, 0.0, 0.0]])
    for least_or_most in (0.0, 1 - 2**-24):
        noise = torch.full((2, 3), least_or_most)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(rng, "uniform", lambda *shape, like, noise=noise: noise)
            assert rng.categories(p, 3)[:, 0].tolist() == [1 if least_or_most == 0 else 3, 0]


def test_a_dropout_mask_keeps_the_mean_and_leaves_out_its_share():
    with stream(2):
        for p in (0.0, 0.2, 0.9):
            mask = rng.dropout_mask(torch.empty(N), p)
            assert set(mask.unique().tolist()) <= {0.0, float(torch.tensor(1 / (1 - p)))}
            assert_frequencies((mask > 0).long(), np.array([p, 1 - p]))
        assert not rng.dropout_mask(torch.empty(9), 1.0).any()


# What noise follows.


@pytest.mark.parametrize("name", DRAWS)
def test_noise_follows_its_key_and_leaves_the_process_wide_generator_alone(name):
    draw, before = DRAWS[name], torch.get_rng_state()
    with stream("a", 1):
        first, second = draw(FLOAT), draw(FLOAT)
        restart("b", 1)
        other = draw(FLOAT)
        restart("a", 1)
        again = draw(FLOAT)
    assert first.equal(again)
    assert not first.equal(second)
    assert not first.equal(other)
    with stream("a", 1):
        assert draw(FLOAT).equal(first)
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("name", DRAWS)
def test_noise_is_the_same_in_every_precision(name):
    with stream(3):
        single = DRAWS[name](FLOAT)
    with stream(3):
        double = DRAWS[name](DOUBLE)
    kinds = {torch.float32: torch.float64}
    assert double.dtype == kinds.get(single.dtype, single.dtype)
    torch.testing.assert_close(double, single.to(double.dtype), rtol=1e-6, atol=1e-6)


def test_a_stream_for_training_draws_in_the_precision_that_is_asked_for():
    with stream(3, on_device=True):
        drawn = rng.normal(1000, like=DOUBLE)
    assert not drawn.equal(drawn.float().double())


@pytest.mark.parametrize("on_device", [False, True])
def test_uniform_numbers_stay_below_one_in_half_precision(on_device):
    with stream(4, on_device=on_device):
        drawn = rng.uniform(N, like=torch.empty(0, dtype=torch.bfloat16))
    assert drawn.dtype == torch.bfloat16
    assert 0.99 < drawn.max() < 1


def test_noise_does_not_depend_on_how_a_tensor_lies_in_memory():
    x = torch.empty(2, 3, 4, 5)
    with stream(5):
        as_usual = rng.normal_like(x)
    with stream(5):
        assert rng.normal_like(x.to(memory_format=torch.channels_last)).equal(as_usual)


@pytest.mark.parametrize("name", DRAWS)
def test_outside_of_any_stream_noise_follows_torch(name):
    torch.manual_seed(5)
    first = DRAWS[name](FLOAT)
    assert not DRAWS[name](FLOAT).equal(first)
    torch.manual_seed(5)
    assert DRAWS[name](FLOAT).equal(first)


def test_a_stream_inside_another_does_not_disturb_it():
    with stream("outer"):
        whole = rng.normal(2), rng.normal(2)
    with stream("outer"):
        first = rng.normal(2)
        with stream("inner"):
            rng.normal(7)
        assert (first.equal(whole[0]), rng.normal(2).equal(whole[1])) == (True, True)


def test_a_stream_can_be_left_and_opened_again():
    with stream("whole"):
        whole = rng.normal(2), rng.normal(2)
    pieces = stream("whole")
    with pieces:
        assert rng.normal(2).equal(whole[0])
    rng.normal(3)
    with pieces:
        assert rng.normal(2).equal(whole[1])


def test_a_stream_belongs_to_the_thread_that_opened_it():
    seen = []
    with stream("main"):
        first = rng.normal(2)
        torch.manual_seed(3)
        thread = threading.Thread(target=lambda: seen.append(rng.normal(4)))
        thread.start()
        thread.join()
        assert not rng.normal(2).equal(first)
    torch.manual_seed(3)
    assert seen[0].equal(torch.randn(4))  # where no stream is open, there is the process-wide generator


def test_there_is_nothing_to_restart_outside_of_a_stream():
    with pytest.raises(RuntimeError, match="no stream of noise is open in this thread"):
        restart("anything")


def test_a_stream_is_closed_when_something_fails():
    with pytest.raises(ZeroDivisionError), stream("broken"):
        _ = 1 / 0
    with pytest.raises(RuntimeError, match="no stream"):
        restart("anything")


# What torch draws by itself.

BY_TORCH = {
    "rand": lambda: torch.rand(3),
    "randn": lambda: torch.randn((3,)),
    "rand_like": lambda: torch.rand_like(torch.ones(3)),
    "randn_like": lambda: torch.randn_like(torch.ones(3, dtype=torch.float64)),
    "randint": lambda: torch.randint(1000, (3,)),
    "randint of a range": lambda: torch.randint(5, 1000, size=(3,)),
    "randperm": lambda: torch.randperm(30),
    "normal": lambda: torch.normal(torch.zeros(3), 1.0),
    "bernoulli": lambda: torch.bernoulli(torch.full((40,), 0.5)),
    "multinomial": lambda: torch.multinomial(torch.ones(1000), 3),
    "poisson": lambda: torch.poisson(torch.full((9,), 100.0)),
    "in place": lambda: torch.stack(
        [torch.empty(3).uniform_(), torch.empty(3).normal_(), torch.ones(3).exponential_()]
    ),
    "Normal": lambda: Normal(0.0, torch.ones(3)).sample(),
    "Laplace": lambda: Laplace(0.0, 1.0).sample((3,)),
    "Gamma": lambda: Gamma(torch.ones(3), 1.0).rsample(),
    "Beta": lambda: Beta(torch.ones(3), 1.0).sample(),
    "Categorical": lambda: Categorical(torch.ones(1000)).sample((3,)),
    "Poisson": lambda: Poisson(torch.full((9,), 100.0)).sample(),
    "VonMises": lambda: VonMises(torch.zeros(3), torch.ones(3)).sample(),
    "Linear": lambda: nn.Linear(3, 3).weight.detach(),
    "Conv2d": lambda: nn.Conv2d(2, 3, 3).bias.detach(),
    "Embedding": lambda: nn.Embedding(3, 3).weight.detach(),
    "LSTM": lambda: nn.LSTM(2, 3).weight_hh_l0.detach(),
    "MultiheadAttention": lambda: nn.MultiheadAttention(4, 2).in_proj_weight.detach(),
    "orthogonal_": lambda: nn.init.orthogonal_(torch.empty(3, 3)),
    "trunc_normal_": lambda: nn.init.trunc_normal_(torch.empty(3, 3)),
    "xavier_normal_": lambda: nn.init.xavier_normal_(torch.empty(3, 3)),
    "kaiming_normal_": lambda: nn.init.kaiming_normal_(torch.empty(3, 3)),
    "Dropout": lambda: nn.Dropout(0.5)(torch.ones(40)),
    "Dropout2d": lambda: nn.Dropout2d(0.5)(torch.ones(2, 40, 2, 2)),
}


@pytest.mark.parametrize("name", BY_TORCH)
def test_what_torch_draws_follows_the_key_as_well(name):
    draw, before = BY_TORCH[name], torch.get_rng_state()
    with seeded("weights", 1):
        first, second = draw(), draw()
    assert not first.equal(second)
    with seeded("weights", 1):
        assert draw().equal(first)
    with seeded("weights", 2):
        assert not draw().equal(first)
    assert torch.get_rng_state().equal(before)


def test_a_generator_that_is_named_is_used():
    with seeded(1):
        named = torch.randn(3, generator=torch.Generator().manual_seed(8))
    assert named.equal(torch.randn(3, generator=torch.Generator().manual_seed(8)))


def test_torch_draws_as_ever_where_no_stream_is_open():
    torch.manual_seed(8)
    with TorchDraws():
        drawn = torch.randn(3), nn.Dropout(0.5)(torch.ones(9))
    torch.manual_seed(8)
    assert drawn[0].equal(torch.randn(3))
    assert drawn[1].equal(nn.Dropout(0.5)(torch.ones(9)))


def test_a_model_without_memory_draws_nothing():
    with seeded(1), torch.device("meta"):
        model = VAE((4,), 2, network=MLP((8,), dropout=0.5))
        assert all(tensor.is_meta for tensor in model.state_dict().values())


@pytest.mark.parametrize("axes", [0, 1, 2, 3])
def test_dropout_of_torch_leaves_out_what_it_always_does(axes):
    layer = [nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d][axes](0.25)
    x = torch.ones(5, 40, *[3] * axes)
    with seeded(6):
        dropped, same = layer(x), layer.eval()(x)
        again = type(layer)(0.25, inplace=True)(x.clone())
    assert same.equal(x)
    assert set(dropped.unique().tolist()) == set(again.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.75))}
    together = dropped.flatten(2) if axes else dropped.unsqueeze(2)
    assert (together == together[..., :1]).all()
    assert 0.15 < float((together[..., 0] == 0).float().mean()) < 0.35


class OwnNoise(GaussianNoise):
    """A part of one's own."""


class OwnFlips(Flips):
    """An augmentation of one's own."""


@pytest.mark.parametrize(
    ("parts", "followed"),
    [
        ((VAE((4,), 2, network=MLP((8,), dropout=0.5)), TensorFeed(torch.zeros(3, 4))), False),
        ((DenoisingAutoencoder((4,), 2, corruption=GaussianNoise()),), False),
        ((DenoisingAutoencoder((4,), 2, corruption=OwnNoise()),), True),
        ((LittleGAN((4,)),), True),
        ((nn.Sequential(nn.Linear(2, 2), nn.Dropout()),), True),
        ((VAE((4,), 2), OwnFlips()), True),
    ],
)
def test_torch_is_followed_where_something_is_not_of_this_package(parts, followed):
    assert isinstance(torch_draws(*parts), TorchDraws) == followed


class DrawsByTorch(GradientFitted):
    """A model of one's own, whose author knows nothing of streams."""

    def __init__(self, x_shape):
        super().__init__(x_shape)
        self.network = nn.Sequential(nn.Linear(x_shape[0], 8), nn.Dropout(0.5), nn.Linear(8, x_shape[0]))

    def _objective(self, x, condition, player):
        return Objective((self.network(x + 0.1 * torch.randn_like(x)) - x).square().sum(1))


def test_a_model_of_ones_own_that_draws_by_torch_trains_as_its_seed_says():
    def trained(seed: int) -> torch.Tensor:
        with seeded("weights"):
            model = DrawsByTorch((2,))
        train(model, torch.arange(80.0).view(40, 2) / 80, TrainConfig(epochs=1, seed=seed, device="cpu"))
        return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])

    before = torch.get_rng_state()
    assert trained(1).equal(trained(1))
    assert not trained(1).equal(trained(2))
    assert torch.get_rng_state().equal(before)


# Nobody draws elsewhere.

DRAWING = {
    *("rand", "randn", "rand_like", "randn_like", "randint", "randint_like", "randperm", "normal", "bernoulli"),
    *("multinomial", "poisson", "binomial", "manual_seed", "seed", "initial_seed", "get_rng_state", "set_rng_state"),
    *("Generator", "default_generator", "random"),
}
"""Names of `torch` that draw, or touch what it draws from."""

FILLING = {"uniform_", "normal_", "bernoulli_", "exponential_", "random_", "geometric_", "cauchy_", "log_normal_"}
METHODS = FILLING | {"multinomial", "bernoulli", "rsample", "manual_seed"}
DISTRIBUTIONS = {"Distribution", "Independent"}
OVERRIDDEN = {"likelihoods/bits.py", "likelihoods/reals.py"}
"""Where distributions of torch are made to draw by `likely.rng`; tests/test_likelihoods.py proves it of each."""


def draws_elsewhere(code: str) -> list[str]:
    """What in a source file draws from a process-wide generator, or may."""
    found = []
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Attribute(ast.Name("torch"), name) if name in DRAWING:
                found.append(f"torch.{name}")
            case ast.Call(ast.Attribute(value, name)) if name in METHODS and ast.unparse(value) not in (
                "rng",
                "nn.init",
            ):
                found.append(f".{name}()")
            case ast.Attribute(_, name) if name.lower().endswith(("dropout", "dropout1d", "dropout2d", "dropout3d")):
                found += [f".{name}"] if ast.unparse(node.value) in ("nn", "F", "nn.functional", "torch.nn") else []
            case ast.ImportFrom("torch.distributions", names):
                found += [each.name for each in names if each.name not in DISTRIBUTIONS]
            case ast.ImportFrom(str(module), names) if module.startswith("torch"):
                found += [each.name for each in names if each.name in DRAWING | {"Dropout", "dropout"}]
            case ast.Attribute(ast.Attribute(ast.Name("np"), "random"), name):
                found += [] if name in ("default_rng", "Generator", "Philox") else [f"np.random.{name}"]
            case ast.Import(names) if "random" in [each.name for each in names]:
                # A `random.Random` is a generator of its own, as `np.random.default_rng` is.
                found += [f"random.{name}" for name in re.findall(r"\brandom\.(\w+)", code) if name != "Random"]
    return found


@pytest.mark.parametrize(
    "code",
    [
        "torch.randn(3, device=x.device)",
        "x = torch.rand_like(y).mean()",
        "torch.manual_seed(3)",
        "with torch.random.fork_rng(): pass",
        "torch.Generator(y.device)",
        "torch.empty(3).uniform_(-1, 1)",
        "p.multinomial(3)",
        "q.rsample()",
        "nn.Dropout(0.5)",
        "F.dropout(x)",
        "nn.functional.alpha_dropout(x)",
        "from torch.distributions import Normal",
        "from torch.nn import Dropout",
        "from torch import randn",
        "np.random.normal(3)",
        "np.random.seed(3)",
        "import random\nx = random.random()",
    ],
)
def test_what_draws_elsewhere_is_seen(code):
    assert draws_elsewhere(code)


def test_nothing_but_rng_draws():
    home = Path(likely.__file__).parent
    found = {str(path.relative_to(home)): draws_elsewhere(path.read_text("utf-8")) for path in home.rglob("*.py")}
    del found["rng.py"]
    for name in OVERRIDDEN:
        assert set(found.pop(name)) <= {"Normal", "Bernoulli", "ContinuousBernoulli"}
    assert {name: draws for name, draws in found.items() if draws} == {}
