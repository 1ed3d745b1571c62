"""One small run of every kind that `train` knows, and what the tests of training look at."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.adversarial import Hinge
from likely.boltzmann import ParallelTempering, PersistentChains
from likely.contract import GradientFitted, Model, NoHeldOutObjective, Objective, Player
from likely.data import infer_schema, open_source
from likely.data.feed import Feed, SourceFeed, TensorFeed
from likely.likelihoods import Bernoulli, Gaussian
from likely.models import GAN, RBM, VAE, Autoencoder, InfoGAN
from likely.networks import MLP
from likely.rng import seeded
from likely.training import TrainConfig, train
from likely.variational import (
    ELBO,
    CyclicalWarmUp,
    ImportanceWeighted,
    InverseAutoregressive,
    LinearWarmUp,
    NormalMixture,
    VampPrior,
)
from tests.little_models import LittleAutoregressive, LittleGAN

N_ROWS = 100
SMALL = MLP((8,), activation="tanh")


class Restless(GradientFitted):
    """Everything that moves beside the weights: dropout, batch norm's buffers, an average that `after_step` moves."""

    def __init__(self, x_shape):
        super().__init__(x_shape)
        n = x_shape[0]
        self.network = nn.Sequential(nn.Linear(n, 8), nn.BatchNorm1d(8), nn.SiLU(), nn.Dropout(0.2), nn.Linear(8, n))
        self.register_buffer("average", torch.zeros(()))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def after_step(self):
        self.steps += 1
        self.average.lerp_(self.network[0].weight.detach().square().mean(), 0.1)

    def _objective(self, x, condition, player):
        error = (self.network(x) - x).square().sum(1)
        return Objective(error + 0.1 * self.average, {"distortion": error})


class TwoHalves(GradientFitted):
    """Two players with a held-out objective each: the mean of the left half of x, and of the right."""

    def __init__(self, x_shape):
        super().__init__(x_shape)
        self.left, self.right = (nn.Parameter(torch.full((x_shape[0] // 2,), 5.0)) for _ in range(2))

    def players(self):
        return {"left": Player((self.left,)), "right": Player((self.right,), steps=2, optimizer={"lr": 0.1})}

    def _objective(self, x, condition, player):
        half = x.chunk(2, 1)[player == "right"]
        return Objective((half - getattr(self, player)).square().sum(1))


@dataclass(frozen=True)
class Kind:
    """How a model and its rows are made, the same at every call."""

    build: Callable[[], Model]
    rows: Callable[[], Feed]

    def model(self) -> Model:
        with seeded("model"):
            return self.build()

    def feed(self) -> Feed:
        with seeded("rows"):
            return self.rows()


def real(n: int = 4) -> Feed:
    return TensorFeed(0.5 * torch.randn(N_ROWS, n) @ torch.randn(n, n) + 0.5)


def bits(n: int = 4) -> Feed:
    """Two opposite patterns, each bit turned with probability 0.1."""
    pattern = torch.arange(n) % 2
    x = torch.bernoulli(torch.full((N_ROWS, 1), 0.5)).long() ^ pattern
    return TensorFeed((x ^ (torch.rand(N_ROWS, n) < 0.1).long()).float())


def gray(*, binarize: bool) -> Feed:
    """8-bit gray images, drawn anew at every step: as bits, or spread over their bins."""
    pixels = np.random.default_rng(0).integers(0, 256, (N_ROWS, 2, 2), dtype=np.uint8)
    source = open_source(pixels)
    return SourceFeed(source, infer_schema(source, binarize=binarize), continuous=not binarize)


def labeled() -> Feed:
    labels = torch.arange(N_ROWS) % 2
    return TensorFeed(torch.randn(N_ROWS, 3) + labels[:, None], F.one_hot(labels, 2).float())


KINDS: dict[str, Kind] = {
    "vae": Kind(lambda: VAE((4,), 2, network=SMALL), real),
    "vae-linear-path": Kind(lambda: VAE((4,), 2), real),
    "vae-conditional": Kind(lambda: VAE((3,), 2, network=SMALL, condition_shape=(2,)), labeled),
    "vae-binarized": Kind(
        lambda: VAE((1, 2, 2), 2, network=SMALL, likelihood=Bernoulli()), lambda: gray(binarize=True)
    ),
    "vae-dequantized": Kind(
        lambda: VAE((1, 2, 2), 2, network=SMALL, likelihood=Gaussian()), lambda: gray(binarize=False)
    ),
    "vae-warm-up": Kind(
        lambda: VAE(
            (4,),
            2,
            network=SMALL,
            bound=ELBO(CyclicalWarmUp(20, cycles=2), free_bits=0.1),
            posterior=InverseAutoregressive(1, (8,), context_size=4),
            prior=NormalMixture(3),
        ),
        real,
    ),
    "vae-importance": Kind(
        lambda: VAE((4,), 2, network=SMALL, bound=ImportanceWeighted(3, LinearWarmUp(30)), prior=VampPrior(5)), real
    ),
    "autoencoder": Kind(lambda: Autoencoder((4,), 2, network=SMALL), real),
    "autoregressive": Kind(lambda: LittleAutoregressive((4,)), bits),
    "gan": Kind(lambda: LittleGAN((2,)), lambda: real(2)),
    "gan-conditional": Kind(lambda: GAN((3,), 3, width=8, condition_shape=(2,)), labeled),
    "gan-spectral": Kind(lambda: GAN((2,), 3, width=8, game=Hinge(critic_steps=3)), lambda: real(2)),
    "info-gan": Kind(lambda: InfoGAN((2,), categories=(3,), n_continuous=1, width=8), lambda: real(2)),
    "rbm": Kind(lambda: RBM((4,), 4, learning=PersistentChains(10)), bits),
    "rbm-tempered": Kind(lambda: RBM((4,), 4, learning=ParallelTempering(3, 5)), bits),
    "restless": Kind(lambda: Restless((4,)), real),
    "two-halves": Kind(lambda: TwoHalves((4,)), real),
}
STEADY = [name for name, kind in KINDS.items() if not isinstance(kind.model(), NoHeldOutObjective)]


class Memory:
    """A store that keeps every state it was given, by step."""

    def __init__(self, kept: tuple[dict[str, Tensor], dict[str, Any]] | None = None) -> None:
        self.first, self.states = kept, {}

    def save(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        copies = {name: value.detach().clone() for name, value in tensors.items()}
        self.states[state["step"]] = (copies, json.loads(json.dumps(state)))

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        return self.first

    @property
    def last(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.states[max(self.states)]


def run_of(kind: str, config: TrainConfig, store: Memory | None = None):
    """Trains a fresh model of a kind; the model and its history."""
    model = KINDS[kind].model()
    return model, train(model, KINDS[kind].feed(), config, store=store)


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert list(a) == list(b)
    different = [name for name in a if a[name].dtype != b[name].dtype or not torch.equal(a[name], b[name])]
    assert not different


def without_time(state: Any) -> Any:
    """A stored state or a history's rows without the seconds in it."""
    if isinstance(state, dict):
        return {key: without_time(value) for key, value in state.items() if "seconds" not in key}
    return [without_time(value) for value in state] if isinstance(state, list) else state


def assert_same_state(a: tuple[dict[str, Tensor], dict[str, Any]], b: tuple[dict[str, Tensor], dict[str, Any]]) -> None:
    assert_same(a[0], b[0])
    assert without_time(a[1]) == without_time(b[1])
