"""Steps that are not finite: nothing moves, training stops and says where, and the best weights are kept."""

import math

import pytest
import torch
from torch import nn

from likely.contract import GradientFitted, NoHeldOutObjective, Objective, Player
from likely.data.feed import TensorFeed
from likely.data.split import split_rows
from likely.errors import Diverged
from likely.training import TrainConfig, train
from likely.training.order import ids_by_batch
from likely.training.plan import Precision
from likely.training.run import Run
from tests.training.kinds import Memory, assert_same

MARK = 77.0
"""A row of this is poison."""


class Fragile(GradientFitted):
    """The mean of x, until a marked row comes along."""

    def __init__(self, x_shape, poison):
        super().__init__(x_shape)
        self.poison = poison
        self.mean = nn.Parameter(torch.zeros(x_shape))

    def _objective(self, x, condition, player):
        marked = (x == MARK).all(1)
        error, penalty = (
            (torch.where(marked[:, None], 0.0, x) - self.mean).square().sum(1),
            0.1 * self.mean.square().sum(),
        )
        if self.poison == "nan in the total":
            error = torch.where(marked, math.nan, error)
        if self.poison == "inf in one term":
            penalty = torch.where(marked, math.inf, penalty)
        if self.poison == "the gradient":  # the square root has an infinite slope at zero
            error = error + (torch.where(marked, 0.0, 1.0) + 0 * self.mean.sum()).sqrt()
        return Objective(error + penalty, {"error": error, "penalty": penalty.expand(len(x))})


POISONS = {
    "nan in the total": "train/error",
    "inf in one term": "train/penalty",
    "the gradient": "the gradient",
}
SPLIT = split_rows(100, 0, calibration=0, test=0, validation=0.04)
CONFIG = TrainConfig(epochs=10, batch_size=10, warmup=5, learning_rate=0.1)


def rows_with_mark(*at):
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)) + 1
    x[list(at)] = MARK
    return x


def marked_batch(batch):
    """Rows of which the first marked one comes in this batch, counted from 0, of the first epoch."""
    batches = ids_by_batch(SPLIT.train, 10, 0, 0)
    return rows_with_mark([next(batches) for _ in range(batch + 1)][batch][4])


def run_over(model, x, config=CONFIG):
    run = Run(model, TensorFeed(x), SPLIT, config, 10)
    run.precision = Precision("float32", "")
    run.set_length(90)
    return run, run.feed.stream(ids_by_batch(SPLIT.train, 10, config.seed, 0))


def whole(run):
    """Weights and the optimizers' state, copied."""
    return {name: value.clone() for name, value in run.state()[0].items() if not name.startswith("pending")}


@pytest.mark.parametrize("poison", POISONS)
@pytest.mark.parametrize("at", [0, 4])
def test_a_step_that_is_not_finite_moves_nothing(poison, at):
    run, stream = run_over(Fragile((3,), poison), marked_batch(at))
    for _ in range(at):
        run.advance(stream)
    before = whole(run)
    run.advance(stream)
    after = whole(run)
    # An optimizer without a step yet has no state: all that the skipped one makes of it is zeros.
    assert all(torch.equal(after[name], before.get(name, torch.zeros_like(after[name]))) for name in after)
    run.advance(stream)
    moved = whole(run)
    assert not torch.equal(moved["model/mean"], after["model/mean"])
    assert moved["optimizer//mean/step"] == at + 1


def test_the_steps_after_a_skipped_one_are_as_if_it_had_not_been():
    poisoned, stream = run_over(Fragile((3,), "nan in the total"), marked_batch(3))
    clean, clean_stream = run_over(Fragile((3,), "none"), marked_batch(3))
    for step in range(8):
        poisoned.advance(stream)
        if step == 3:
            next(clean_stream)
            clean.step += 1
        else:
            clean.advance(clean_stream)
    assert_same(whole(clean), whole(poisoned))


@pytest.mark.parametrize(("poison", "named"), POISONS.items())
def test_training_stops_and_names_step_epoch_and_term(poison, named):
    # Nearly ten steps to the epoch, and a validation after every seventh.
    with pytest.raises(Diverged, match=rf"stopped: {named} was not finite at step 9 \(epoch 0\.8\)") as caught:
        train(Fragile((3,), poison), marked_batch(8), CONFIG, split=SPLIT)
    assert "\n" not in str(caught.value)
    assert "weights of step 7 are kept" in str(caught.value)
    assert "learning_rate below 0.1" in str(caught.value)


def test_the_best_weights_are_in_the_model_and_no_bad_state_is_stored():
    store, clean = Memory(), Memory()
    model = Fragile((3,), "nan in the total")
    config = TrainConfig(epochs=10, batch_size=10, warmup=5, learning_rate=0.1, checkpoint_steps=1)
    with pytest.raises(Diverged):
        train(model, marked_batch(8), config, split=SPLIT, store=store)
    assert max(store.states) == 8
    assert all(value.isfinite().all() for tensors, _ in store.states.values() for value in tensors.values())
    train(Fragile((3,), "none"), marked_batch(8), config, split=SPLIT, store=clean)
    best = {name.removeprefix("best/"): v for name, v in clean.states[7][0].items() if name.startswith("best/")}
    assert_same(best, dict(model.state_dict()))
    assert not model.training
    assert model.mean.requires_grad


def test_resuming_a_diverged_run_diverges_at_the_same_step():
    config = TrainConfig(epochs=10, batch_size=10, warmup=5, learning_rate=0.1, checkpoint_steps=3)
    store = Memory()
    for kept in (None, 3, 6):
        again = Memory(store.states.get(kept))
        with pytest.raises(Diverged, match="at step 9"):
            train(Fragile((3,), "nan in the total"), marked_batch(8), config, split=SPLIT, store=again)
        store = store if kept else again


class FragileCritic(NoHeldOutObjective):
    """Two critic steps, then one of the other; only a critic minds a marked row."""

    def __init__(self, x_shape):
        super().__init__(x_shape)
        self.critic, self.other = nn.Parameter(torch.ones(x_shape)), nn.Parameter(torch.ones(x_shape))

    def players(self):
        return {"critic": Player((self.critic,), steps=2), "other": Player((self.other,))}

    def _objective(self, x, condition, player):
        marked = (x == MARK).all(1)
        error = (x.clamp(-2, 2) - getattr(self, player)).square().sum(1)
        return Objective(torch.where(marked & (player == "critic"), math.nan, error))


@pytest.mark.parametrize("critic_step", [0, 1])
def test_any_step_of_any_player_is_noticed(critic_step):
    model = FragileCritic((3,))
    x = marked_batch(3 + critic_step)  # the second step: critic, critic, other
    store = Memory()
    config = TrainConfig(epochs=20, batch_size=10, checkpoint_steps=1)
    with pytest.raises(Diverged, match="train/critic was not finite at step 2 "):
        train(model, x, config, split=SPLIT, store=store)
    # An average has no best step: what there is of it is kept.
    assert max(store.states) == 1
    assert not torch.equal(model.critic, torch.ones(3))
    assert all(value.isfinite().all() for value in model.state_dict().values())


class Aging(GradientFitted):
    """Gets better with every step, and is not finite on rows held out from an age on."""

    def __init__(self, x_shape, healthy):
        super().__init__(x_shape)
        self.healthy, self.weight = healthy, nn.Parameter(torch.full(x_shape, 10.0))
        self.register_buffer("age", torch.zeros((), dtype=torch.int64))

    def after_step(self):
        self.age += 1

    def _objective(self, x, condition, player):
        error = self.weight.square().sum().expand(len(x))
        return Objective(error if self.training or self.age < self.healthy else error * math.nan)


@pytest.mark.parametrize("patience", [None, 1, 3])
@pytest.mark.parametrize("healthy", [0, 1, 25])
def test_a_validation_that_is_not_finite_never_becomes_the_best(healthy, patience):
    model = Aging((3,), healthy)
    history = train(model, torch.zeros(100, 3), TrainConfig(epochs=10, batch_size=10, patience=patience), split=SPLIT)
    seen = [row["step"] for row in history.rows if math.isfinite(row["validation"])]
    assert history.best_step == max(seen, default=0)
    assert int(model.age) == history.best_step
    assert len(history.rows) > len(seen)


def test_weights_that_were_set_before_the_first_step_are_kept_when_nothing_is_better():
    class Starting(Aging):
        def initialize(self, batch):
            with torch.no_grad():
                self.weight.fill_(3.0)

    model = Starting((3,), healthy=0)
    history = train(model, torch.zeros(100, 3), TrainConfig(epochs=5, batch_size=10), split=SPLIT)
    assert history.best_step == 0
    assert torch.equal(model.weight, torch.full((3,), 3.0))


def test_a_first_look_that_is_not_finite_is_no_reason_to_stop_under_a_time_limit():
    history = train(Aging((3,), healthy=0), torch.zeros(100, 3), TrainConfig(time_limit=0.05, patience=1), split=SPLIT)
    assert history.rows[0]["step"] == 0
    assert len(history.rows) > 1
