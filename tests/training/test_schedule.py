"""How fast and how long: warm-up, decay, early stopping and the anneal after it, and what is refused."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from likely.contract import GradientFitted, Objective
from likely.data.split import split_rows
from likely.errors import UserError
from likely.models import Autoencoder
from likely.networks import MLP
from likely.training import TrainConfig, train
from likely.training.optimizer import PlayerOptimizer, learning_rate_share
from likely.training.plan import (
    DEFAULT_EPOCHS,
    ENOUGH_STEPS,
    LEAST_STEPS,
    MAX_STEPS,
    MAX_VALIDATION_SHARE,
    MIN_STEPS_PER_ROW,
    choose_batch_size,
    choose_device,
    choose_precision,
    choose_total_steps,
    choose_validation_interval,
)
from likely.training.run import ANNEAL_RATE, ANNEAL_SHARE, MIN_ANNEAL
from tests.training.kinds import KINDS, Memory, assert_same, run_of


def test_the_rate_rises_in_a_line_and_falls_as_a_cosine_to_zero():
    shares = [learning_rate_share(step, 1000, 100) for step in range(1001)]
    assert shares[0] == pytest.approx(0.01)
    assert shares[49] == pytest.approx(0.5 * math.cos(math.pi * 0.049 / 2) ** 2)
    assert shares[500] == pytest.approx(0.5)
    assert shares[750] == pytest.approx(math.cos(math.pi * 0.375) ** 2)
    assert shares[1000] == pytest.approx(0, abs=1e-12)
    assert np.argmax(shares) == 99
    assert (np.diff(shares[99:]) < 0).all()


def test_while_the_length_is_unknown_only_the_warm_up_counts():
    assert [learning_rate_share(step, 0, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert learning_rate_share(0, 0, 0) == 1.0


def rates_of(monkeypatch, kind, config):
    """The rate of every step that was taken."""
    rates, step = [], PlayerOptimizer.step

    def watched(optimizer, objective, share):
        rates.append(share * optimizer.highest_rate)
        return step(optimizer, objective, share)

    monkeypatch.setattr(PlayerOptimizer, "step", watched)
    return rates, *run_of(kind, config)


def test_each_step_is_taken_at_the_rate_of_the_schedule(monkeypatch):
    config = TrainConfig(epochs=20, batch_size=20, learning_rate=0.02, warmup=7)
    rates, _, history = rates_of(monkeypatch, "autoregressive", config)
    assert rates == [0.02 * learning_rate_share(step, 90, 7) for step in range(90)]
    assert history.total_steps == 90
    assert history.rows[-1]["learning_rate"] == pytest.approx(0, abs=1e-12)


class Plateau(GradientFitted):
    """Its objective falls on rows held out until a distance is gone, and then rises; noise on the way."""

    def __init__(self, x_shape):
        super().__init__(x_shape)
        self.position = nn.Parameter(torch.zeros(()))

    def _objective(self, x, condition, player):
        goal = 3.0 if self.training else 1.0
        return Objective((self.position - goal).square().expand(len(x)))


def test_a_plateau_stops_the_run_which_anneals_from_its_best_weights(monkeypatch):
    store = Memory()
    config = TrainConfig(epochs=400, batch_size=20, learning_rate=0.01, warmup=1, patience=3, checkpoint_steps=1)
    rates, step = [], PlayerOptimizer.step
    monkeypatch.setattr(
        PlayerOptimizer,
        "step",
        lambda self, total, share: rates.append(share * self.highest_rate) or step(self, total, share),
    )
    model = Plateau((2,))
    history = train(model, torch.zeros(100, 2), config, store=store)
    assert history.stopped == "early"
    states = [state for _, (_, state) in sorted(store.states.items())]
    from_step = states[-1]["anneal_from"]
    # It noticed after three validations that were no better, and went back to the best weights there were.
    best_before = states[from_step - 2]["best_step"]
    worse = [row for row in history.rows if best_before < row["step"] <= from_step]
    assert len(worse) == 3
    at_best = store.states[best_before][0]["model/position"]
    assert torch.equal(store.states[from_step][0]["model/position"], at_best)
    # The anneal is a line down to zero, over some hundred steps or a share of those before.
    length = history.total_steps - from_step
    assert length == max(MIN_ANNEAL, int(ANNEAL_SHARE * best_before))
    assert rates[from_step:] == pytest.approx(np.linspace(ANNEAL_RATE * 0.01, 0, length + 1)[:-1])
    assert history.rows[-1]["step"] == history.total_steps == len(rates) < 1800
    assert history.rows[-1]["learning_rate"] == 0
    # In the end the model holds the weights whose validation was best of all.
    best = min(history.rows, key=lambda row: row["validation"])
    assert history.best_step == best["step"]
    assert float(model.position.detach()) == pytest.approx(1, abs=math.sqrt(best["validation"]) + 1e-6)


def test_without_patience_nothing_stops_early():
    config = TrainConfig(epochs=40, batch_size=20, patience=None, learning_rate=0.1, warmup=1)
    history = train(Plateau((2,)), torch.zeros(100, 2), config)
    assert (history.stopped, history.total_steps) == ("schedule", 180)
    assert history.best_step < 180


def test_a_run_without_rows_held_out_chooses_by_the_training_objective():
    split = split_rows(100, 0, validation=0, calibration=0, test=0)
    config = TrainConfig(epochs=30, batch_size=20, learning_rate=0.02, warmup=5)
    history = train(KINDS["autoencoder"].model(), KINDS["autoencoder"].feed(), config, split=split)
    best = min(history.rows[1:], key=lambda row: row["train"])
    assert history.best_step == best["step"] > 0
    assert not any(name.startswith("validation") for row in history.rows for name in row)


def test_the_history_tells_means_over_the_steps_since_the_last_row(monkeypatch):
    totals, step = [], PlayerOptimizer.step
    monkeypatch.setattr(
        PlayerOptimizer,
        "step",
        lambda self, total, share: totals.append(float(total.detach().mean())) or step(self, total, share),
    )
    _, history = run_of("vae", TrainConfig(epochs=20, batch_size=15))
    steps = [int(row["step"]) for row in history.rows]
    assert steps[0] == 0
    assert steps[-1] == history.total_steps == 120
    for start, row in zip(steps, history.rows[1:], strict=False):
        assert row["train"] == pytest.approx(np.mean(totals[start : int(row["step"])]), rel=1e-5)
        assert row["train"] == pytest.approx(row["train/distortion"] + row["train/rate"], rel=1e-5)
        assert row["validation"] == pytest.approx(row["validation/distortion"] + row["validation/rate"], rel=1e-5)
        assert row["epoch"] == pytest.approx(row["step"] * 15 / 90)
    lines = history.to_csv().splitlines()
    assert len(lines) == len(history.rows) + 1
    assert lines[0].startswith("step,epoch,seconds,learning_rate")


def test_progress_is_told_and_ends_at_the_end():
    told = []
    _, history = (
        KINDS["vae"].model(),
        train(
            KINDS["vae"].model(), KINDS["vae"].feed(), TrainConfig(epochs=20, batch_size=15), on_progress=told.append
        ),
    )
    assert [progress.step for progress in told] == sorted({progress.step for progress in told})
    assert (told[-1].step, told[-1].total_steps, told[-1].remaining) == (120, 120, 0)
    assert told[-1].row == history.rows[-1]
    assert all(progress.remaining > 0 for progress in told[5:-1])


class Slow:
    """A clock of which every look takes a second."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        self.now += 1.0
        return self.now


@pytest.mark.parametrize("limit", [20, 60])
def test_steps_too_slow_to_measure_many_do_not_overrun_the_limit(limit, monkeypatch):
    monkeypatch.setattr("likely.training.clock.time", Slow())
    _, history = run_of("autoencoder", TrainConfig(time_limit=limit, batch_size=20))
    assert 0.8 * limit <= history.total_steps <= limit


@pytest.mark.parametrize(
    ("config", "n_train", "wanted"),
    [
        (TrainConfig(), 100, LEAST_STEPS),
        (TrainConfig(), 400, MIN_STEPS_PER_ROW * 400),
        (TrainConfig(), 1_000, ENOUGH_STEPS),
        (TrainConfig(), 40_000, math.ceil(DEFAULT_EPOCHS * 40_000 / 128)),
        (TrainConfig(), 10**7, MAX_STEPS),
        (TrainConfig(epochs=2), 1_000, 16),
        (TrainConfig(epochs=0.5), 1_000, 4),
        (TrainConfig(epochs=1e-9), 1_000, 1),
        (TrainConfig(time_limit=5), 1_000, 0),
    ],
)
def test_the_length_of_a_run(config, n_train, wanted):
    assert choose_total_steps(config, n_train, 128) == wanted


@pytest.mark.parametrize(("n", "wanted"), [(1, 1), (10, 10), (100, 16), (1500, 64), (5000, 128), (10**7, 128)])
def test_the_batch_size(n, wanted):
    assert choose_batch_size(TrainConfig(), n) == wanted


def test_a_batch_is_never_larger_than_the_data():
    assert choose_batch_size(TrainConfig(batch_size=500), 90) == 90


def test_validation_is_about_fifty_times_and_never_costs_much():
    assert choose_validation_interval(5000, 100, 128) == 100
    assert choose_validation_interval(5000, 10_000, 128) == math.ceil(10_000 / (MAX_VALIDATION_SHARE * 128))
    assert choose_validation_interval(10, 0, 128) == 1


def test_precision_is_the_models_own_where_it_is_float64():
    kind = KINDS["autoencoder"]
    history = train(kind.model().double(), kind.feed().x.double(), TrainConfig(epochs=1))
    assert history.precision == "float64"
    with pytest.raises(UserError, match=r"model\.double\(\)"):
        train(kind.model(), kind.feed(), TrainConfig(epochs=1, precision="float64"))


def test_bfloat16_trains_and_keeps_float32_weights():
    model, history = run_of("autoencoder", TrainConfig(epochs=20, batch_size=20, precision="bfloat16"))
    assert history.precision == "bfloat16"
    assert history.rows[-1]["validation"] < history.rows[0]["validation"]
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("width", "chosen"), [(8, "float32"), (2048, "bfloat16")])
def test_precision_follows_from_the_model_and_the_processor(width, chosen, fast, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: fast)
    model = Autoencoder((64,), 2, network=MLP((width, width)))
    precision = choose_precision(TrainConfig(), model, 128)
    assert precision.name == (chosen if fast else "float32")
    assert precision.why
    assert choose_precision(TrainConfig(precision="bfloat16"), model, 128).why == "as asked for"


def test_no_clock_has_a_say_in_the_precision(monkeypatch):
    """A machine on which bfloat16 seems slow at one time and fast at another gives the same weights."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    monkeypatch.setattr("likely.training.plan.BFLOAT16_WORK", {"cpu": 0})
    clocks = iter([0.0, 1.0, 1.0, 2.0] * 50), iter([0.0, 1e-3, 1.0, 9.0] * 50)
    ends = []
    for clock in clocks:
        with monkeypatch.context() as patched:
            patched.setattr("time.perf_counter", lambda clock=clock: next(clock))
            model, history = run_of("autoencoder", TrainConfig(epochs=1))
        ends.append(dict(model.state_dict()))
        assert history.notes[0].startswith("bfloat16: the network is large")
    assert_same(*ends)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"epochs": 1, "time_limit": 1}, "exclude each other"),
        ({"epochs": 0}, "epochs must be a number above 0, got 0"),
        ({"time_limit": -1}, "time_limit"),
        ({"batch_size": 0}, "batch_size"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"checkpoint_steps": 0}, "checkpoint_steps"),
        ({"precision": "float8"}, "precision"),
    ],
)
def test_settings_that_make_no_sense_are_refused(arguments, named):
    with pytest.raises(UserError, match=named):
        TrainConfig(**arguments)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cuda:99"])
def test_devices_that_are_not_there_are_refused(name):
    with pytest.raises(UserError, match="auto"):
        choose_device(name)


def test_no_rows_to_train_on_are_refused():
    with pytest.raises(UserError, match="no rows to train on"):
        train(KINDS["autoencoder"].model(), torch.zeros(1, 4), TrainConfig(epochs=1))


@pytest.mark.filterwarnings("error")
def test_arrays_that_cannot_be_written_to_are_taken_without_a_word():
    x = KINDS["autoencoder"].feed().x.numpy().copy()
    x.flags.writeable = False
    model, config = KINDS["autoencoder"].model(), TrainConfig(epochs=2)
    train(model, x, config)
    same = KINDS["autoencoder"].model()
    train(same, torch.from_numpy(x.copy()), config)
    assert all(map(torch.equal, model.parameters(), same.parameters()))
