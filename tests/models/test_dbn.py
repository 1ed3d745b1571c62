"""Deep belief networks: their bound against enumeration, training stage by stage, samples, and their features."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from likely import Spec
from likely.boltzmann import GaussianUnits, Machine
from likely.data.split import split_rows
from likely.estimators import PretrainedClassifier
from likely.models import DBN, RBM
from likely.rng import seeded
from likely.tasks.partition import log_partition
from likely.training import TrainConfig, train
from tests.laws.test_boltzmann import all_bits, machine
from tests.training.kinds import assert_same, without_time

CONFIG = TrainConfig(epochs=6, batch_size=16, warmup=5, device="cpu")


def livened(model: DBN) -> DBN:
    """With weights that matter."""
    with seeded("weights"), torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model.double().eval()


def log_joint_below(low: Machine, v: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """log p(v | h) of all pairs, from the definition of a sigmoid belief network: (rows, states)."""
    p = (low.visible_bias + (h - low.hidden_offset) @ low.weight.T).sigmoid()
    return v @ p.log().T + (1 - v) @ (1 - p).log().T


def exact(model: DBN, v: torch.Tensor) -> torch.Tensor:
    """log p(v) Z of a network of two hidden layers, by going through all states."""
    low, top = (layer.machine for layer in model.layers)
    h, above = all_bits(len(low.hidden_bias)), all_bits(len(top.hidden_bias))
    hidden, visible = above - top.hidden_offset, h - top.units.offset
    top_joint = (visible @ top.visible_bias)[:, None] + (hidden @ top.hidden_bias)[None]
    top_joint = top_joint + visible @ top.weight @ hidden.T
    return (log_joint_below(low, v, h) + top_joint.logsumexp(1)).logsumexp(1)


@torch.no_grad()
def test_the_energy_is_a_bound_and_reaches_the_sum_over_hidden_states():
    model, v = livened(DBN((4,), (3, 4), n_draws=1)), all_bits(4)
    truth = exact(model, v)
    with seeded("draws"):
        bounds = -torch.stack([model.energy(v) for _ in range(4000)])
    error = bounds.std(0) / math.sqrt(len(bounds))
    assert (bounds.mean(0) < truth + 4 * error).all()
    assert (truth - bounds.mean(0)).max() > 10 * error.max()  # by one draw it is short of it
    means = bounds.logsumexp(0) - math.log(len(bounds))
    assert torch.allclose(means, truth, atol=0.1)
    model.n_draws = 50
    with seeded("draws"):
        many = -torch.stack([model.energy(v) for _ in range(200)]).mean(0)
    assert (bounds.mean(0) < many + 4 * error).all()
    assert (truth - many).sum() < 0.3 * (truth - bounds.mean(0)).sum()


@torch.no_grad()
def test_probabilities_with_the_constant_of_the_highest_machine_sum_to_one():
    model = livened(DBN((4,), (3, 4)))
    assert float((exact(model, all_bits(4)) - log_partition(model).value).exp().sum()) == pytest.approx(1, abs=1e-10)


@torch.no_grad()
def test_upside_down_machines_make_the_network_the_machine_below():
    """The bound is then log p(v) itself for every draw: the posterior that it samples from is exact."""
    model, v = DBN((4,), (3, 4), n_draws=1).double().eval(), all_bits(4)
    low, top = (layer.machine for layer in model.layers)
    low.load_state_dict(machine().state_dict())
    top.units.get_buffer("ones").uniform_(0.2, 0.8)
    top.start_upside_down(low)
    rbm = RBM((4,), 3).double()
    rbm.layer.machine.load_state_dict(low.state_dict())
    for _ in range(5):
        log_p = -model.energy(v) - log_partition(model).value
        assert torch.allclose(log_p, -rbm.energy(v) - log_partition(rbm).value, atol=1e-10)


@torch.no_grad()
def test_samples_are_as_frequent_as_enumeration_says():
    model, v = livened(DBN((3,), (2, 3), burn_in=40)), all_bits(3)
    p = exact(model, v).softmax(0)
    with seeded("samples"):
        draws = model.sample(50_000)
    counts = torch.bincount((draws * 2 ** torch.arange(2, -1, -1)).sum(1).long(), minlength=8).double()
    assert chisquare(counts, p * 50_000).pvalue > 1e-3


def rows() -> torch.Tensor:
    """Two patterns of 12 bits and their mixture, a bit in ten turned."""
    with seeded("rows"):
        pattern = torch.tensor([[1, 0] * 6, [1, 1, 1, 0, 0, 0] * 2])[torch.randint(2, (400,))]
        return (pattern ^ (torch.rand(400, 12) < 0.1).long()).float()


def fresh(**arguments) -> DBN:
    with seeded("model"):
        return DBN((12,), (6, 14), **arguments)


def test_training_moves_one_machine_after_another():
    model, started = fresh(), fresh()
    x, stages = rows(), []
    train(model, x, CONFIG, on_progress=lambda now: stages.append((now.doing, copy.deepcopy(model.state_dict()))))
    assert list(dict.fromkeys(doing for doing, _ in stages)) == ["layer 1 of 2", "layer 2 of 2"]
    first = [state for doing, state in stages if doing == "layer 1 of 2"]
    second = [state for doing, state in stages if doing == "layer 2 of 2"]
    above = {name: value for name, value in started.state_dict().items() if name.startswith("layers.1.")}
    assert all(torch.equal(state[name], value) for state in first for name, value in above.items())
    below = {name: value for name, value in model.state_dict().items() if name.startswith("layers.0.")}
    assert all(torch.equal(state[name], value) for state in second for name, value in below.items())
    assert not torch.equal(first[0]["layers.0.machine.weight"], first[-1]["layers.0.machine.weight"])
    assert not torch.equal(second[0]["layers.1.machine.weight"], second[-1]["layers.1.machine.weight"])


def test_the_lowest_machine_is_the_rbm_of_the_same_rows():
    model, x = fresh(), rows()
    history = train(model, x, TrainConfig(epochs=60, batch_size=16, device="cpu"))
    assert [row["layer"] for row in history.rows] == sorted(row["layer"] for row in history.rows)
    assert {row["layer"] for row in history.rows} == {1, 2}
    with torch.no_grad():
        network = float(-model.energy(x).mean()) - log_partition(model).value
        rbm = RBM((12,), 6).eval()
        rbm.layer.load_state_dict(model.layers[0].state_dict())
        alone = float(-rbm.energy(x).mean()) - log_partition(rbm).value
    independent = float(torch.distributions.Bernoulli(x.mean(0).clamp(0.01, 0.99)).log_prob(x).sum(1).mean())
    assert alone > independent + 0.5
    # It began as the machine below upside down, and has learned since.
    assert network > alone - 0.2


class Memory:
    """A store that keeps every state it was given, in order."""

    def __init__(self, kept=None):
        self.kept, self.states = kept, []

    def save(self, tensors, state):
        self.states.append(({name: value.detach().clone() for name, value in tensors.items()}, copy.deepcopy(state)))

    def load(self):
        return self.kept


def test_a_stop_in_any_stage_changes_nothing():
    config, store = TrainConfig(epochs=1, batch_size=40, warmup=2, checkpoint_steps=1, device="cpu"), Memory()
    model, x = fresh(), rows()
    history = train(model, x, config, store=store)
    assert len(store.states) == 20
    for kept in store.states[::5] + store.states[-1:]:
        again = fresh()
        resumed = train(again, x, config, store=Memory(kept))
        assert_same(again.state_dict(), model.state_dict())
        assert without_time(resumed.rows) == without_time(history.rows)


def test_a_time_limit_is_shared():
    model = fresh()
    history = train(model, rows(), TrainConfig(time_limit=0.4, device="cpu"))
    assert {row["layer"] for row in history.rows} == {1, 2}


def labeled() -> tuple[np.ndarray, np.ndarray]:
    """Rows of four patterns of 16 bits with much noise, and which pattern."""
    rng = np.random.default_rng(0)
    patterns, which = rng.integers(0, 2, (4, 16)), rng.integers(0, 4, 1200)
    return (patterns[which] ^ (rng.random((1200, 16)) < 0.2)).astype(np.uint8), which


def test_a_classifier_begins_with_the_networks_features():
    X, y = labeled()
    spec = Spec("dbn", hidden=(12, 20))
    still = TrainConfig(epochs=1, batch_size=64, learning_rate=1e-12, device="cpu")
    fitted = PretrainedClassifier(spec, train=CONFIG, fine_tune=still, random_state=0).fit(X[:300], y[:300])
    network = fitted.pretrained_.model
    with torch.no_grad():
        x = torch.from_numpy(X[:50]).to(next(network.parameters()).dtype)
        features = fitted.fitted_.model.encoder.encode(x)
        torch.testing.assert_close(features, network.encode(x), rtol=1e-5, atol=1e-6)


def test_a_classifier_with_few_labels_gains_by_the_network():
    X, y = labeled()
    few = np.where(np.arange(len(y)) < 24, y, -1)[:800]
    errors = {}
    for pretrain in (True, False):
        classifier = PretrainedClassifier(
            Spec("dbn", hidden=(24, 32)),
            train=TrainConfig(epochs=20, device="cpu"),
            fine_tune=TrainConfig(epochs=40, device="cpu"),
            pretrain=pretrain,
            random_state=0,
        )
        errors[pretrain] = (classifier.fit(X[:800], few).predict(X[800:]) != y[800:]).mean()
    assert errors[True] < errors[False]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"hidden": (5,)}, r"two layers or more, got \(5,\)"),
        ({"hidden": (5, 0)}, "hidden must be at least 1"),
        ({"n_draws": 0}, "n_draws must be at least 1"),
        ({"burn_in": 0}, "burn_in must be at least 1"),
    ],
)
def test_what_is_no_network_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        DBN((4,), **arguments)


def test_reals_are_taken_by_the_lowest_machine_alone():
    model = DBN((5,), (4, 6), visible=GaussianUnits())
    assert not model.discrete
    assert [layer.machine.units.discrete for layer in model.layers] == [False, True]
    assert list(itertools.chain(*(layer.machine.weight.shape for layer in model.layers))) == [5, 4, 4, 6]
    train(model, torch.randn(200, 5), CONFIG, split=split_rows(200, 0, calibration=0, test=0))
    assert all(parameter.isfinite().all() for parameter in model.parameters())
