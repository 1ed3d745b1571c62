"""A run that was stopped ends bit for bit as it would have without the stop."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from likely.data.feed import TensorFeed
from likely.data.split import split_rows
from likely.errors import UserError
from likely.likelihoods import Bernoulli
from likely.models import VAE
from likely.persistence import Checkpoints
from likely.training import TrainConfig, train
from tests.training.kinds import KINDS, SMALL, Memory, assert_same, assert_same_state, real, run_of, without_time

EVERY_STEP = TrainConfig(epochs=10, batch_size=16, warmup=5, checkpoint_steps=1)
"""57 steps of one player, with a look of the host in between."""

RESTING = TrainConfig(epochs=100, batch_size=16, learning_rate=0.1, warmup=5, patience=2, checkpoint_steps=1)
"""Stops early, and anneals from there."""


class Stop(Exception):
    pass


class Stopping(Memory):
    """Ends a run at the moment when so many steps are saved."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def save(self, tensors, state):
        if state["step"] == self.step:
            super().save(tensors, state)
            raise Stop


def resumed(kind, config, kept):
    store = Memory(kept)
    model, history = run_of(kind, config, store)
    return model, history, store


def assert_ends_alike(kind, config, unbroken, model, history, at):
    """Stops after each of the steps `at`, goes on in a fresh model, and compares everything there is in the end."""
    for step in at:
        broken = Stopping(step)
        with pytest.raises(Stop):
            run_of(kind, config, broken)
        assert_same_state(broken.last, unbroken.states[step])
        again, history_again, store = resumed(kind, config, broken.last)
        assert min(store.states) == step + 1
        assert_same_state(store.last, unbroken.last)
        assert_same(again.state_dict(), model.state_dict())
        assert without_time(dataclasses.asdict(history_again)) == without_time(dataclasses.asdict(history))


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_stopped_after_any_step_ends_as_the_unbroken_one(kind):
    unbroken = Memory()
    model, history = run_of(kind, EVERY_STEP, unbroken)
    assert len(unbroken.states) == history.total_steps
    anywhere = int(np.random.default_rng(len(kind)).integers(2, history.total_steps))
    assert_ends_alike(kind, EVERY_STEP, unbroken, model, history, [1, anywhere])


@pytest.mark.parametrize("kind", ["autoencoder", "vae-binarized", "restless", "two-halves"])
def test_a_run_stopped_while_it_anneals_ends_as_the_unbroken_one(kind):
    unbroken = Memory()
    model, history = run_of(kind, RESTING, unbroken)
    assert history.stopped == "early"
    annealing = [step for step, (_, state) in unbroken.states.items() if state["anneal_from"] is not None]
    before, middle = annealing[0] - 1, annealing[len(annealing) // 2]
    assert unbroken.states[before][1]["misses"] == 1
    assert_ends_alike(kind, RESTING, unbroken, model, history, [before, middle])


def test_a_chain_of_many_stops_ends_as_the_unbroken_run():
    unbroken = Memory()
    run_of("vae-binarized", EVERY_STEP, unbroken)
    kept = None
    for step in range(9, 57, 9):
        store = Stopping(step)
        store.first = kept
        with pytest.raises(Stop):
            run_of("vae-binarized", EVERY_STEP, store)
        kept = store.last
    assert_same_state(resumed("vae-binarized", EVERY_STEP, kept)[2].last, unbroken.last)


def test_a_finished_run_has_nothing_left_to_do():
    store = Memory()
    model, history = run_of("vae", EVERY_STEP, store)
    again, history_again, after = resumed("vae", EVERY_STEP, store.last)
    assert not after.states
    assert_same(again.state_dict(), model.state_dict())
    assert without_time(history_again.rows) == without_time(history.rows)


def test_the_store_keeps_its_tensors_to_itself():
    store = Memory()
    run_of("vae", EVERY_STEP, store)
    kept = store.states[20]
    before = {name: value.clone() for name, value in kept[0].items()}
    resumed("vae", EVERY_STEP, kept)
    assert_same(before, kept[0])


@pytest.mark.parametrize("kind", ["gan", "restless", "vae-binarized"])
def test_a_run_goes_on_from_the_checkpoint_on_the_disk(kind, tmp_path):
    config = dataclasses.replace(EVERY_STEP, checkpoint_steps=11)
    unbroken = Memory()
    run_of(kind, EVERY_STEP, unbroken)
    for step in (11, 17):
        tensors, state = unbroken.states[step]
        Checkpoints(tmp_path / str(step)).save(tensors, state)
        run_of(kind, config, Checkpoints(tmp_path / str(step)))
        tensors, state = Checkpoints(tmp_path / str(step)).load()
        assert_same_state((tensors, state), (tensors, unbroken.states[state["step"]][1]))
        assert_same(dict(sorted(tensors.items())), dict(sorted(unbroken.states[state["step"]][0].items())))


class Ticks:
    """A clock that goes on by a millisecond whenever somebody looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1e-3
        return self.now


@pytest.fixture
def ticking(monkeypatch):
    time = SimpleNamespace(monotonic=Ticks().monotonic)
    monkeypatch.setattr("likely.training.clock.time", time)
    monkeypatch.setattr("likely.training.run.time", time)


@pytest.mark.parametrize("kind", ["vae-dequantized", "gan"])
def test_under_a_time_limit_the_length_is_fixed_once_and_resumed(kind, ticking):
    config = TrainConfig(time_limit=0.4, batch_size=16, warmup=5, checkpoint_steps=1)
    unbroken = Memory()
    model, history = run_of(kind, config, unbroken)
    lengths = [state["total_steps"] for _, state in unbroken.states.values()]
    assert lengths[:49] == [0] * 49
    assert set(lengths[49:]) == {history.total_steps}
    assert history.seconds == pytest.approx(0.4, rel=0.1)
    for step in (50, 51, 120):
        again, history_again, store = resumed(kind, config, unbroken.states[step])
        assert_same_state(store.last, unbroken.last)
        assert_same(again.state_dict(), model.state_dict())
        assert history_again.total_steps == history.total_steps


@pytest.mark.parametrize("step", [3, 30, 49])
def test_a_run_stopped_before_its_length_is_fixed_measures_again(step, ticking):
    config = TrainConfig(time_limit=0.4, batch_size=16, warmup=5, checkpoint_steps=1)
    unbroken = Memory()
    run_of("vae", config, unbroken)
    _, history, store = resumed("vae", config, unbroken.states[step])
    assert [state["total_steps"] for _, state in store.states.values()].count(0) == 49
    assert history.seconds == pytest.approx(0.4, rel=0.1)


def test_where_and_how_often_may_change():
    unbroken = Memory()
    run_of("gan", EVERY_STEP, unbroken)
    config = dataclasses.replace(EVERY_STEP, checkpoint_steps=4, checkpoint_every=1e-9, device="cpu")
    _, _, store = resumed("gan", config, unbroken.states[5])
    assert_same_state(store.last, unbroken.last)


def kept_vae(config=EVERY_STEP):
    store = Memory()
    run_of("vae", config, store)
    return store.states[5]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epochs", 13),
        ("batch_size", 17),
        ("learning_rate", 1e-3),
        ("warmup", 6),
        ("weight_decay", 0.1),
        ("max_grad_norm", 1.0),
        ("patience", None),
        ("seed", 1),
        ("precision", "float32"),
    ],
)
def test_refuses_other_settings_by_name(name, value):
    kept = kept_vae()
    with pytest.raises(UserError, match=rf"{name} was .*{getattr(EVERY_STEP, name)}, is {value}.*--resume"):
        resumed("vae", dataclasses.replace(EVERY_STEP, **{name: value}), kept)


@pytest.mark.parametrize(
    ("model", "named"),
    [
        (lambda: VAE((4,), 3, network=SMALL), "model argument z_size was 2, is 3"),
        (lambda: VAE((4,), 2, network=SMALL, beta=2.0), r"model argument beta was 1.0, is 2.0"),
        (lambda: VAE((4,), 2, network=SMALL, likelihood=Bernoulli()), "likelihood was Gaussian.*is Bernoulli"),
        (KINDS["autoencoder"].model, "model was VAE, is Autoencoder"),
    ],
)
def test_refuses_another_model(model, named):
    with pytest.raises(UserError, match=named):
        train(model(), KINDS["vae"].feed(), EVERY_STEP, store=Memory(kept_vae()))


def test_refuses_other_data():
    kept, x = kept_vae(), KINDS["vae"].feed().x
    changed = x.clone()
    changed[17, 2] += 1e-6
    with pytest.raises(UserError, match="data was"):
        train(KINDS["vae"].model(), changed, EVERY_STEP, store=Memory(kept))
    with pytest.raises(UserError, match=r"training rows was 90 .*, is 81 "):
        train(KINDS["vae"].model(), x[:90], EVERY_STEP, store=Memory(kept))
    with pytest.raises(UserError, match="data was"):
        train(KINDS["vae"].model(), TensorFeed(x, torch.ones(100, 1)), EVERY_STEP, store=Memory(kept))


def test_refuses_other_rows_of_the_same_data():
    kept, feed = kept_vae(), KINDS["vae"].feed()
    other = split_rows(len(feed), 5, calibration=0, test=0)
    with pytest.raises(UserError, match=r"training rows was 90 .*validation rows was 10 "):
        train(KINDS["vae"].model(), feed, EVERY_STEP, split=other, store=Memory(kept))


def test_many_checkpoints_read_the_data_once():
    class Counting(TensorFeed):
        digests = 0

        def digest(self):
            self.digests += 1
            return super().digest()

    feed = Counting(real().x)
    train(KINDS["vae"].model(), feed, EVERY_STEP, store=Memory())
    assert feed.digests == 1
    feed = Counting(real().x)
    train(KINDS["vae"].model(), feed, EVERY_STEP)
    assert feed.digests == 0
