"""Training layer by layer: what each stage moves, that it pays, and that a stop in any of them changes nothing."""

import copy
import dataclasses
import json
import signal

import pytest
import torch
from torch import nn

import likely.training.greedy as greedy
from likely.contract import Layered, Objective
from likely.corruptions import Downsampling, Erasing, GaussianNoise, ZeroMasking
from likely.data.feed import TensorFeed
from likely.data.split import split_rows
from likely.errors import Diverged, Interrupted, UserError
from likely.likelihoods import Gaussian
from likely.models import Autoencoder
from likely.networks import MLP, Convolutional, WhatWhere
from likely.penalties import L1
from likely.persistence import Checkpoints
from likely.pretraining import Greedy
from likely.rng import seeded
from likely.training import TrainConfig, train
from likely.training.descent import Task
from likely.training.interrupts import StopRequest
from likely.training.stages import WHOLE, Done
from tests.training.kinds import assert_same, assert_same_state, without_time

CONFIG = TrainConfig(epochs=4, batch_size=16, warmup=5, checkpoint_steps=1)
DEEP = MLP((10, 6), activation="tanh")


class Restless(Layered):
    """Layers with dropout and buffers that move in training mode."""

    def __init__(self, x_shape, pretraining=None):
        super().__init__(x_shape)
        self.pretraining = pretraining
        sizes = [(x_shape[0], 8), (8, 4)]
        self.ups = nn.ModuleList(
            nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.Tanh(), nn.Dropout(0.2)) for a, b in sizes
        )
        self.downs = nn.ModuleList(nn.Linear(b, a) for a, b in sizes)
        self.measure = Squares()

    def layers(self):
        return list(zip(self.ups, self.downs, strict=True))

    def _objective(self, x, condition, player):
        raw = self.downs[0](self.downs[1](self.ups[1](self.ups[0](x))))
        return Objective(self.measure(raw, x))


class Squares(nn.Module):
    def forward(self, raw, x):
        return (raw - x).square().flatten(1).sum(1)


def rows(*shape):
    with seeded("rows"):
        mixed = torch.randn(100, 3) @ torch.randn(3, torch.Size(shape).numel())
        return 0.5 * (mixed + 0.1 * torch.randn_like(mixed)).tanh().view(100, *shape)


def deep(pretraining, network=DEEP, **arguments):
    return Autoencoder((8,), 3, network=network, pretraining=pretraining, **arguments)


KINDS = {
    "plain": (lambda: deep(Greedy()), (8,)),
    "corrupted": (lambda: deep(Greedy(ZeroMasking(0.25))), (8,)),
    "erased": (lambda: deep(Greedy(Erasing(0.25), epochs=3.0)), (8,)),
    "tied": (lambda: deep(Greedy(GaussianNoise(0.1)), dataclasses.replace(DEEP, tied=True)), (8,)),
    "dropout": (lambda: deep(Greedy(), dataclasses.replace(DEEP, dropout=0.2)), (8,)),
    "likelihood": (lambda: deep(Greedy(), distortion=Gaussian(), penalty=L1(0.01)), (8,)),
    "restless": (lambda: Restless((8,), Greedy(ZeroMasking(0.25), epochs=6.0)), (8,)),
    "convolutional": (
        lambda: Autoencoder((1, 6, 5), 3, network=Convolutional((4, 6), hidden=8), pretraining=Greedy()),
        (1, 6, 5),
    ),
    "convolutional-tied": (
        lambda: Autoencoder((1, 6, 5), 3, network=Convolutional((4, 6), hidden=8, tied=True), pretraining=Greedy()),
        (1, 6, 5),
    ),
}


class Memory:
    """A store that keeps every state it was given, in order, and stops the run at the n-th."""

    def __init__(self, kept=None, stop_at=None):
        self.kept, self.stop_at, self.states = kept, stop_at, []

    def save(self, tensors, state):
        copies = {name: value.detach().clone() for name, value in tensors.items()}
        self.states.append((copies, json.loads(json.dumps(state))))
        if len(self.states) == self.stop_at:
            raise Stop

    def load(self):
        return self.kept


class Stop(Exception):
    pass


def model_of(kind):
    with seeded("model"):
        return KINDS[kind][0]()


def run_of(kind, config=CONFIG, store=None, on_progress=None):
    model = model_of(kind)
    return model, train(model, rows(*KINDS[kind][1]), config, store=store, on_progress=on_progress)


def turn_of(state):
    """Whose turn it was when a state was stored: the number of layers that were done."""
    return len(state[1]["layers"])


def whole(state):
    """The model's own weights in a stored state."""
    inside = {name.removeprefix(WHOLE): v for name, v in state[0].items() if name.startswith(WHOLE)}
    return inside or {name.removeprefix("model/"): v for name, v in state[0].items() if name.startswith("model/")}


def own(model, number):
    """Names of what a layer holds: its parameters, and the buffers that move with them."""
    up, down = model.layers()[number]
    inside = {id(each) for part in (up, down) for each in (*part.parameters(), *part.buffers())}
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name for name, each in named if id(each) in inside}


# What moves.


@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_moves_its_own_layer_and_nothing_else_bit_for_bit(kind):
    store = Memory()
    model, _ = run_of(kind, store=store)
    n_layers = len(model.layers())
    before = model_of(kind).state_dict()
    for number in range(n_layers):
        for state in [state for state in store.states if turn_of(state) == number and state[1]["begun"]]:
            now = whole(state)
            assert {name for name in now if not torch.equal(now[name], before[name])} <= own(model, number)
        after = whole(next(state for state in store.states if turn_of(state) == number + 1))
        moved = {name for name in after if not torch.equal(after[name], before[name])}
        assert moved, "the layer learned nothing"
        assert moved <= own(model, number)
        before = after
    # And the whole moves all of them.
    assert all(own(model, number) & changed(before, model.state_dict()) for number in range(n_layers))


def changed(before, after):
    return {name for name in after if not torch.equal(after[name], before[name])}


@pytest.mark.parametrize("kind", ["plain", "corrupted", "tied", "convolutional"])
def test_each_layer_gives_back_what_it_is_handed_better_than_at_the_start(kind):
    x, store = rows(*KINDS[kind][1]), Memory()
    start = model_of(kind)
    run_of(kind, dataclasses.replace(CONFIG, epochs=60, checkpoint_steps=None), store)
    trained = copy.deepcopy(start)
    trained.load_state_dict(whole(next(state for state in store.states if turn_of(state) == len(start.layers()))))

    @torch.no_grad()
    def error(model, number):
        layers = trained.layers()
        handed = greedy.given(x, [up for up, _ in layers[:number]])  # to both the same
        up, down = model.layers()[number]
        return greedy.squared_error(down(up(handed)), handed).mean().item()

    for number in range(len(start.layers())):
        assert error(trained, number) < 0.7 * error(start, number)


def test_the_lowest_layer_lowers_the_models_own_distortion():
    """Raw numbers of a likelihood with a scale of its own are twice as many as values: no squared error of them is."""
    _, history = run_of("likelihood")
    first = [row for row in history.rows if row.get("layer") == 1]
    model, x = model_of("likelihood"), rows(8)
    up, down = model.layers()[0]
    from likely.data.split import split_rows

    held_out = x[split_rows(100, 0, calibration=0, test=0).validation]
    with torch.no_grad():
        assert first[0]["validation"] == pytest.approx(model.measure(down(up(held_out)), held_out).mean().item())


def test_layers_above_the_lowest_learn_from_codes_that_dropout_does_not_touch():
    """And what is left out in the whole is left in where a layer trains by itself: two stages of one seed are alike."""
    store, other = Memory(), Memory()
    run_of("dropout", store=store)
    run_of("plain", store=other)
    layer = [state for state in store.states if turn_of(state) == 1 and state[1]["begun"]]
    same = [state for state in other.states if turn_of(state) == 1 and state[1]["begun"]]
    assert [state[1]["rows"][-1]["validation"] for state in layer] == [s[1]["rows"][-1]["validation"] for s in same]


def test_pretraining_finds_what_a_deep_sigmoid_network_does_not():
    """Five saturating layers hand on so little of a gradient that a few steps of the whole find the mean, no more."""
    network = MLP((32, 24, 16, 12), activation="sigmoid", code_activation="sigmoid")
    x = rows(16)
    total = (x - x.mean(0)).square().sum(1).mean().item()

    def error(pretraining):
        with seeded("model"):
            model = Autoencoder((16,), 8, network=network, pretraining=pretraining)
        train(model, x, TrainConfig(epochs=40, batch_size=16, warmup=5, learning_rate=3e-3))
        with torch.no_grad():
            return (model.reconstruct(x) - x).square().sum(1).mean().item()

    assert error(None) > 0.9 * total
    assert error(Greedy(epochs=60)) < 0.7 * total


# Stops.


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_stopped_in_any_stage_ends_as_the_unbroken_one(kind):
    unbroken = Memory()
    model, history = run_of(kind, store=unbroken)
    n_layers = len(model.layers())
    firsts = [next(i for i, s in enumerate(unbroken.states) if turn_of(s) == turn) for turn in range(n_layers + 1)]
    # In the middle of each stage, and between two of them.
    at = [*(first + 4 for first in firsts), *firsts[1:]]
    broken = Memory(stop_at=at[1] + 1)
    with pytest.raises(Stop):
        run_of(kind, store=broken)
    assert_same_state(broken.states[-1], unbroken.states[at[1]])
    for index in at:
        store = Memory(unbroken.states[index])
        again, history_again = run_of(kind, store=store)
        assert_same(again.state_dict(), model.state_dict())
        assert without_time(history_again.rows) == without_time(history.rows)
        # Nothing is trained twice.
        assert len(store.states) == len(unbroken.states) - index - 1
        assert_same_state(store.states[0], unbroken.states[index + 1])


def test_a_chain_of_stops_goes_on_from_the_disk(tmp_path):
    config = dataclasses.replace(CONFIG, checkpoint_steps=3)
    model, history = run_of("corrupted", config)
    kept = Checkpoints(tmp_path / "run")

    class Stopping:
        saves = 0

        def save(self, tensors, state):
            kept.save(tensors, state)
            self.saves += 1
            if self.saves == 4:
                raise Stop

        def load(self):
            return kept.load()

    for _ in range(100):
        try:
            again, history_again = run_of("corrupted", config, Stopping())
            break
        except Stop:
            continue
    assert_same(again.state_dict(), model.state_dict())
    assert without_time(history_again.rows) == without_time(history.rows)


def test_a_signal_in_a_layer_keeps_its_state():
    def interrupt(progress):
        if progress.doing == "layer 2 of 3":
            signal.raise_signal(signal.SIGINT)

    store = Memory()
    with pytest.raises(Interrupted, match="saved"):
        run_of("plain", dataclasses.replace(CONFIG, checkpoint_steps=None), store, interrupt)
    assert turn_of(store.states[-1]) == 1
    model, _ = run_of("plain")
    again, _ = run_of("plain", store=Memory(store.states[-1]))
    assert_same(again.state_dict(), model.state_dict())


@pytest.mark.parametrize(
    ("kind", "named"), [("corrupted", "pretraining was"), ("tied", "network was"), ("restless", "model was")]
)
def test_refuses_the_state_of_another_run_in_any_stage(kind, named):
    store = Memory()
    run_of("plain", store=store)
    for state in (store.states[3], store.states[-1]):
        with pytest.raises(UserError, match=named):
            run_of(kind, store=Memory(state))


def test_refuses_the_state_of_a_run_that_had_no_pretraining_and_the_reverse():
    store = Memory()
    train(deep(None), rows(8), CONFIG, store=store)
    with pytest.raises(UserError, match="pretraining was None, is Greedy"):
        run_of("plain", store=Memory(store.states[-1]))
    store = Memory()
    run_of("plain", store=store)
    for state in (store.states[2], store.states[-1]):
        with pytest.raises(UserError, match=r"pretraining was Greedy.* is None"):
            train(deep(None), rows(8), CONFIG, store=Memory(state))


def test_many_stages_read_the_data_once():
    class Counting(TensorFeed):
        digests = 0

        def digest(self):
            self.digests += 1
            return super().digest()

    feed = Counting(rows(8))
    train(deep(Greedy()), feed, CONFIG, store=Memory())
    assert feed.digests == 1
    feed = Counting(rows(8))
    train(deep(Greedy()), feed, CONFIG)
    assert feed.digests == 0


def test_a_layer_that_diverges_says_which(monkeypatch):
    monkeypatch.setattr(greedy, "squared_error", lambda raw, x: raw.flatten(1).sum(1) * torch.inf)
    with pytest.raises(Diverged, match=r"layer 2 of 3.*not finite"):
        run_of("plain")


# How long, and what is said.


def test_layers_train_for_the_epochs_that_were_given_or_a_share_of_the_wholes():
    for epochs, steps in ((3.0, 17), (None, round(greedy.LAYER_SHARE * 4 * 90 / 16))):
        with seeded("model"):
            model = deep(Greedy(epochs=epochs))
        history = train(model, rows(8), dataclasses.replace(CONFIG, patience=None))
        last = {row["layer"]: row["step"] for row in history.rows if "layer" in row}
        assert last == pytest.approx({1: steps, 2: steps, 3: steps}, abs=1)
        assert history.rows[-1]["step"] == history.total_steps == 23


def test_under_a_time_limit_the_layers_share_their_part_of_it():
    feed = TensorFeed(rows(8))
    split = split_rows(len(feed), 0, calibration=0, test=0)
    task = Task(feed, split, TrainConfig(time_limit=10.0), None, lambda now: None, StopRequest())
    stages = greedy._Stages(deep(Greedy()), task)
    limits = []
    for took in (1.0, 2.5, 0.3):
        limits.append(stages._config(len(stages.done)).time_limit)
        stages.done.append(Done([], 1, took))
    limits.append(stages._config(len(stages.done)).time_limit)
    part = greedy.TIME_SHARE * 10.0
    # What one layer leaves the next ones have, and what all leave the whole.
    assert limits == pytest.approx([part / 3, (part - 1.0) / 2, part - 3.5, 10.0 - 3.8])


def test_a_time_limit_is_told_and_ends_every_layer():
    seen = []
    config = TrainConfig(time_limit=0.2, batch_size=16, warmup=5, patience=None)
    _, history = run_of("plain", config, on_progress=seen.append)
    assert {row.get("layer") for row in history.rows} == {1, 2, 3, None}
    assert all(p.remaining <= 0.2 for p in seen if p.doing.startswith("layer") and p.remaining is not None)


def test_epochs_of_layers_and_a_time_limit_exclude_each_other():
    with pytest.raises(UserError, match="exclude each other"):
        train(deep(Greedy(epochs=2.0)), rows(8), TrainConfig(time_limit=1.0))


def test_progress_goes_over_all_layers_and_the_whole():
    seen = []
    run_of("plain", dataclasses.replace(CONFIG, patience=None), on_progress=seen.append)
    assert list(dict.fromkeys(p.doing for p in seen)) == [
        "layer 1 of 3",
        "layer 2 of 3",
        "layer 3 of 3",
        "fine-tuning",
    ]
    steps = [p.step for p in seen]
    assert steps == sorted(steps)
    assert {p.total_steps for p in seen} == {steps[-1]}
    assert seen[-1].remaining == pytest.approx(0.0)
    assert [p.seconds for p in seen] == sorted(p.seconds for p in seen)
    assert all(("layer" in p.row) == (p.doing != "fine-tuning") for p in seen)


def test_the_history_tells_layers_apart_and_ends_with_the_whole():
    _, history = run_of("plain")
    numbers = [row.get("layer") for row in history.rows]
    assert list(dict.fromkeys(numbers)) == [1, 2, 3, None]
    assert [row["seconds"] for row in history.rows] == sorted(row["seconds"] for row in history.rows)
    lines = history.to_csv().splitlines()
    assert lines[0].startswith("layer,step,")
    assert lines[1].startswith("1,0,")
    assert lines[-1].startswith(",23,")


# What it refuses.


@pytest.mark.parametrize(
    ("network", "mend"),
    [(MLP((8,), linear_path=True), "linear_path=False"), (WhatWhere(), "MLP or Convolutional")],
)
def test_refuses_a_network_that_has_no_layers(network, mend):
    with pytest.raises(ValueError, match=mend):
        Autoencoder((1, 8, 8), 3, network=network, pretraining=Greedy())


def test_refuses_a_corruption_of_images_where_a_layer_is_handed_none():
    network = Convolutional((4, 6), hidden=8)
    model = Autoencoder((1, 8, 8), 3, network=network, pretraining=Greedy(Downsampling(2)))
    with pytest.raises(UserError, match=r"layer 4 is handed.*Downsampling"):
        train(model, rows(1, 8, 8), CONFIG)
