"""Every kind of model goes through the same `train`, and learns what can be known to be right."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as SklearnPCA

from likely.data.split import split_rows
from likely.likelihoods import Bernoulli
from likely.models import PCA, PPCA, VAE, Autoencoder
from likely.networks import MLP
from likely.rng import seeded
from likely.training import TrainConfig, train
from likely.training.optimizer import PlayerOptimizer
from likely.training.order import ids_by_batch
from tests.little_models import LittleAutoregressive
from tests.training.kinds import KINDS, STEADY, Memory, assert_same, run_of

STATES = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))
PATTERN = torch.arange(4) % 2


def entropy(p):
    return float(-(p * p.log()).sum())


def two_patterns():
    """The probability of each of STATES: a pattern or its opposite, each bit turned with probability 0.1."""
    turned = [(pattern != STATES).sum(1) for pattern in (PATTERN, 1 - PATTERN)]
    return sum(0.5 * 0.1**k * 0.9 ** (4 - k) for k in turned)


def draws(p, n):
    with seeded("draws"):
        return STATES[torch.multinomial(p, n, replacement=True)]


@pytest.mark.parametrize("kind", STEADY)
def test_the_objective_falls_and_its_lowest_point_is_kept(kind):
    _, history = run_of(kind, TrainConfig(epochs=30, batch_size=20, learning_rate=0.02, warmup=5))
    names = [f"validation/{player}".rstrip("/") for player in KINDS[kind].model().players()]
    totals = [sum(row[name] for name in names) for row in history.rows]
    assert min(totals) < totals[0]
    assert history.best_step == history.rows[int(np.argmin(totals))]["step"]


def test_an_autoregressive_model_reaches_the_entropy_of_its_source():
    with seeded("source"), torch.no_grad():
        source = LittleAutoregressive((4,))
        source.weight.mul_(4)
        p = source.log_prob(STATES).exp()
    model = KINDS["autoregressive"].model()
    train(model, draws(p, 4000), TrainConfig(epochs=20, batch_size=100, learning_rate=0.05))
    with torch.no_grad():
        cross_entropy = float(-(p * model.log_prob(STATES)).sum())
    assert entropy(p) <= cross_entropy < entropy(p) + 0.02


def test_a_vae_gets_near_the_entropy_of_its_source_and_never_below():
    p = two_patterns()
    model = VAE((4,), 1, network=MLP((16,)), likelihood=Bernoulli())
    train(model, draws(p, 2000), TrainConfig(epochs=40, batch_size=100, learning_rate=0.02))
    with torch.no_grad():
        bound = torch.stack([model.log_prob_bound(STATES) for _ in range(1000)]).mean(0)
    surprise = float(-(p * bound).sum())
    independent_bits = 4 * math.log(2)
    assert entropy(p) < surprise < entropy(p) + 0.15 < independent_bits - 0.6


def test_a_linear_autoencoder_reaches_the_error_of_pca():
    with seeded("rows"):
        x = torch.randn(500, 2) @ torch.randn(2, 5) + 0.1 * torch.randn(500, 5)
    split = split_rows(500, 0, calibration=0, test=0)
    pca = SklearnPCA(2).fit(x[split.train].numpy())
    rows = x[split.validation].numpy()
    least = 0.5 * ((pca.inverse_transform(pca.transform(rows)) - rows) ** 2).sum(1).mean()
    constant = 2.5 * math.log(2 * math.pi)
    config = TrainConfig(epochs=100, batch_size=50, learning_rate=0.02, patience=None)
    history = train(Autoencoder((5,), 2, network=MLP(())), x, config, split=split)
    errors = [row["validation"] - constant for row in history.rows]
    assert errors[0] > 50 * least
    assert min(errors) < 1.3 * least
    started_there = train(Autoencoder((5,), 2, network=MLP((), linear_path=True)), x, config, split=split)
    assert started_there.rows[0]["validation"] - constant == pytest.approx(least, rel=1e-3)


def test_a_gan_moves_its_samples_onto_the_data():
    with seeded("rows"):
        x = torch.tensor([1.0, -1.0]) + 0.3 * torch.randn(1000, 2)
    model = KINDS["gan"].model()
    history = train(model, x, TrainConfig(epochs=100, batch_size=50))
    mean = model.sample(4000).mean(0)
    assert (mean - torch.tensor([1.0, -1.0])).abs().max() < 0.35  # they began at (0.15, 0.12)
    assert history.stopped == "schedule"
    assert history.best_step == history.total_steps == 600
    assert {"train/critic", "train/critic/real", "train/generator", "validation/critic"} <= set(history.rows[-1])


def test_an_rbm_nears_its_source():
    p = two_patterns()

    def divergence(model):
        with torch.no_grad():
            return float((p * (p.log() - (-model.energy(STATES)).log_softmax(0))).sum())

    model = KINDS["rbm"].model()
    before = divergence(model)
    train(model, draws(p, 1000), TrainConfig(epochs=40, batch_size=50, learning_rate=0.02))
    assert divergence(model) < 0.05 * before


@pytest.mark.parametrize("kind", [PCA, PPCA])
def test_closed_form_takes_all_rows_that_are_left_in_any_number_of_pieces(kind, monkeypatch):
    x = torch.randn(200, 5, dtype=torch.float64) @ torch.randn(5, 5, dtype=torch.float64)
    split = split_rows(200, 0, calibration=0.1, test=0.2)
    model = kind((5,), 2).double()
    monkeypatch.setattr("likely.training.loop.CLOSED_FORM_BATCH", 32)
    seen = []
    history = train(model, x, split=split, on_progress=seen.append)
    oracle = SklearnPCA(2).fit(x[np.union1d(split.train, split.validation)].numpy())
    rows = x[split.test]
    if isinstance(model, PPCA):
        np.testing.assert_allclose(model.log_prob(rows), oracle.score_samples(rows.numpy()), rtol=1e-9)
    else:
        projected = oracle.inverse_transform(oracle.transform(rows.numpy()))
        np.testing.assert_allclose(model.reconstruct(rows), projected, rtol=1e-9, atol=1e-9)
    assert (history.stopped, history.precision, history.rows) == ("closed form", "float64", [])
    assert not model.training
    assert [(progress.step, progress.total_steps) for progress in seen] == [(1, 1)]


def test_each_step_of_each_player_sees_rows_of_its_own():
    kind, calls = KINDS["gan"], []
    model, feed = kind.model(), kind.feed()

    def note(module, args):
        if module.training:
            calls.append((args[2], args[0].clone()))

    model.register_forward_pre_hook(note)
    history = train(model, feed, TrainConfig(epochs=10, batch_size=16))
    assert [player for player, _ in calls] == ["critic", "critic", "generator"] * history.total_steps
    ids = ids_by_batch(split_rows(100, 0, calibration=0, test=0).train, 16, 0, 0)
    assert all(torch.equal(x, feed.x[torch.from_numpy(next(ids))]) for _, x in calls)


def test_every_player_takes_its_own_number_of_steps():
    store = Memory()
    _, history = run_of("gan", TrainConfig(epochs=10, batch_size=16, checkpoint_steps=1), store)
    steps = {name: int(value) for name, value in store.last[0].items() if name.endswith("/step")}
    assert {name.split("/")[1]: count for name, count in steps.items()} == {
        "critic": 2 * history.total_steps,
        "generator": history.total_steps,
    }


@pytest.mark.parametrize("kind", ["gan", "two-halves"])
def test_a_step_of_one_player_leaves_the_others_alone(kind, monkeypatch):
    model = KINDS[kind].model()
    step, compared = PlayerOptimizer.step, []

    def watched(optimizer, objective, share):
        others = [p for p in model.parameters() if not any(p is own for own in optimizer.parameters.values())]
        before = [(p.detach().clone(), None if p.grad is None else p.grad.clone()) for p in others]
        mine = [p.detach().clone() for p in optimizer.parameters.values()]
        skipped = step(optimizer, objective, share)
        for p, (value, gradient) in zip(others, before, strict=True):
            assert torch.equal(p, value)
            assert (p.grad is None and gradient is None) or torch.equal(p.grad, gradient)
            compared.append(gradient is not None)
        assert not all(map(torch.equal, mine, optimizer.parameters.values()))
        return skipped

    monkeypatch.setattr(PlayerOptimizer, "step", watched)
    train(model, KINDS[kind].feed(), TrainConfig(epochs=3, batch_size=16))
    assert True in compared


def test_players_may_have_rates_of_their_own():
    store = Memory()
    run_of("two-halves", TrainConfig(epochs=3, batch_size=20, learning_rate=1e-3, warmup=1, checkpoint_steps=1), store)
    tensors, _ = store.states[1]
    # Adam's first step is the rate itself; "right" takes two steps of 0.1, "left" one of 0.001.
    assert tensors["model/left"] == pytest.approx([5 - 1e-3] * 2, abs=1e-5)
    assert tensors["model/right"] == pytest.approx([5 - 0.2] * 2, abs=0.02)


def test_with_several_players_the_sum_of_their_objectives_chooses_the_best_step():
    model, history = run_of("two-halves", TrainConfig(epochs=100, batch_size=20, learning_rate=0.1, warmup=5))
    x = KINDS["two-halves"].feed().x[split_rows(100, 0, calibration=0, test=0).train]
    assert history.best_step > 0
    assert torch.cat([model.left, model.right]).detach() == pytest.approx(x.mean(0), abs=0.25)  # both began at 5


@pytest.mark.parametrize("kind", ["gan", "rbm"])
def test_a_game_ends_with_the_average_of_its_weights(kind):
    store = Memory()
    model, _ = run_of(kind, TrainConfig(epochs=15, batch_size=16, learning_rate=0.01, checkpoint_steps=1), store)
    average = {name: value for name, value in KINDS[kind].model().state_dict().items() if value.is_floating_point()}
    for step, (tensors, _) in sorted(store.states.items()):
        decay = min(0.999, (1 + step) / (10 + step))
        average = {name: decay * value + (1 - decay) * tensors[f"model/{name}"] for name, value in average.items()}
    final = model.state_dict()
    assert all(torch.allclose(average[name], final[name], rtol=1e-4, atol=1e-6) for name in average)
    assert not torch.equal(store.last[0][f"model/{next(iter(final))}"], next(iter(final.values())))


def test_an_average_begins_with_what_the_model_was_set_to():
    class Starting(type(KINDS["rbm"].model())):
        def initialize(self, batch):
            with torch.no_grad():
                self.layer.machine.weight.fill_(1e6)

    torch.manual_seed(0)
    model = Starting((4,), 4)
    train(model, KINDS["rbm"].feed(), TrainConfig(epochs=0.1, batch_size=16, learning_rate=1e-9))
    assert model.layer.machine.weight.detach() == pytest.approx(np.full((4, 4), 1e6))


def test_conditions_that_were_seen_are_remembered():
    model, _ = run_of("vae-conditional", TrainConfig(epochs=1, batch_size=16))
    assert set(map(tuple, model.seen_conditions.tolist())) == {(1.0, 0.0), (0.0, 1.0)}
    assert abs(float(model.seen_conditions.mean(0)[0]) - 0.5) < 0.1


def test_frozen_parameters_stay_where_they_are():
    model = KINDS["vae"].model()
    frozen = model.codec.head
    frozen.requires_grad_(False)
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    train(model, KINDS["vae"].feed(), TrainConfig(epochs=2, batch_size=16))
    assert_same(before, frozen.state_dict())
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
