"""Steps that are not finite: nothing moves, training stops and says where, and the best weights are kept."""

import math

import pytest
import torch
from torch import nn

from likely.contract import Batch, GradientFitted, NoHeldOutObjective, Objective, Player, TakesMissing
from likely.data.feed import TensorFeed
from likely.data.split import split_rows
from likely.errors import Diverged
from likely.likelihoods import Categorical, DiscretizedLogisticMixture
from likely.rng import seeded
from likely.training import TrainConfig, train
from likely.training.descent import start
from likely.training.order import ids_by_batch
from likely.training.plan import Precision
from likely.training.run import PUT_BACK, SKIPPED, Run
from tests.training.kinds import Memory, assert_same
from tests.zoo import ZOO

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
    assert not torch.equal(model.cpu().critic, torch.ones(3))
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
    assert torch.equal(model.cpu().weight, torch.full((3,), 3.0))


def test_a_first_look_that_is_not_finite_is_no_reason_to_stop_under_a_time_limit():
    history = train(Aging((3,), healthy=0), torch.zeros(100, 3), TrainConfig(time_limit=0.05, patience=1), split=SPLIT)
    assert history.rows[0]["step"] == 0
    assert len(history.rows) > 1


# Every model: whatever moves beside the optimizer leaves no trace either.

GRADIENT = [name for name, entry in ZOO.items() if issubclass(type(entry.make()), GradientFitted)]
CLOSED = [name for name, entry in ZOO.items() if name not in GRADIENT]
EXTREMES = (math.nan, math.inf, -math.inf, 1e38)


def begun(name):
    """A run over a model of the zoo in float32, started and two steps old, and the batches that follow."""
    model, x = ZOO[name].model().float(), ZOO[name].x().float()
    split = split_rows(len(x), 0, calibration=0, test=0)
    with seeded("test"):
        run = Run(model, TensorFeed(x), split, TrainConfig(batch_size=8, learning_rate=1e-3), 8)
        start(model, Batch(x[split.train]))
        run.keep()
        run.set_length(100)
        stream = run.feed.stream(ids_by_batch(split.train, 8, 0, 0))
        for _ in range(2):
            run.advance(stream)
    run.look()
    return run, stream


def poisoned(stream, value):
    """The same batches, with a row in each of which a value is this."""
    for batch in stream:
        x = batch.x.clone()
        x[3].view(-1)[0] = value
        yield batch._replace(x=x)


def named(tensors):
    return {name: value.clone() for name, value in tensors.items()}


def assert_finite(tensors):
    assert not [name for name, value in tensors.items() if not value.isfinite().all()]


@pytest.mark.parametrize("name", GRADIENT)
def test_a_step_that_is_not_finite_leaves_no_trace_in_any_model(name):
    run, stream = begun(name)
    model = run.model
    for value in EXTREMES:
        before, optimized, best = named(model.state_dict()), whole(run), named(run.best)
        with seeded("test"):
            run.advance(poisoned(stream, value))
        flags = dict(zip(run.names, run.pending[-1].tolist(), strict=True))
        wrong = flags[PUT_BACK] > 0
        assert wrong or math.isfinite(sum(flags.values())), value
        if math.isnan(value):
            assert wrong != isinstance(model, TakesMissing)
        assert_finite(model.state_dict())
        assert_finite(run.best)
        if not wrong:
            run.look()
            continue
        # A player whose own step was finite has moved: what it makes does not depend on rows, say.
        went = [player for player in run.players if not flags["/".join(filter(None, (SKIPPED, player)))]]
        moved = {id(p) for player in went for p in run.players[player].parameters}
        parameters = dict(model.named_parameters())
        still = [key for key in before if key not in parameters or id(parameters[key]) not in moved]
        assert_same({key: before[key] for key in still}, {key: model.state_dict()[key] for key in still})
        assert_same(best, run.best)
        if len(run.players) == 1:
            assert_same(optimized, whole(run))
        step = run.step
        with seeded("test"):  # steps that follow before the host looks change nothing of that
            run.advance(stream)
        with pytest.raises(Diverged, match=f"at step {step} "):
            run.look()
        assert_same(best, dict(model.state_dict()))
        run.pending.clear()
        run.__dict__.pop("average", None)


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("value", [math.nan, math.inf, 1e200])
def test_a_closed_form_of_extreme_rows_leaves_the_model_as_it_was(name, value):
    model, x = ZOO[name].model(), ZOO[name].x()
    before = named(model.state_dict())
    x[3].view(-1)[0] = value
    with pytest.raises(Diverged, match="extreme values"):
        train(model, x)
    assert_same(before, dict(model.cpu().state_dict()))


@pytest.mark.parametrize("name", ["autoencoder", "flow-real-nvp", "gsn-real", "gan", "rbm-bits", "vae-mixture"])
def test_starting_values_that_are_not_finite_leave_the_model_as_it_was(name):
    model, x = ZOO[name].model().float(), ZOO[name].x().float()
    before = named(model.state_dict())
    x[:] = math.inf
    with pytest.raises(Diverged, match="Look for extreme values in the data"):
        train(model, x)
    assert_same(before, dict(model.cpu().state_dict()))


class Poisoning(TensorFeed):
    """Hands out training batches, of which the k-th and those after it hold NaN."""

    def __init__(self, x, first):
        super().__init__(x)
        self.left = first

    def ready(self, batch, device, *, training=False):
        x, condition = super().ready(batch, device, training=training)
        self.left -= training
        return Batch(torch.full_like(x, math.nan) if training and self.left <= 0 else x, condition)


@pytest.mark.parametrize("name", ["rbm-bits", "rbm-tempered", "dbn-bits", "gsn-real", "gsn-columns", "gan", "flow"])
def test_training_of_models_that_move_by_themselves_ends_and_keeps_what_was_finite(name):
    """Seventy steps of fifty between two looks, of which the 60th is not finite."""
    model, x = ZOO[name].model().float(), ZOO[name].x().float()
    steps = sum(player.steps for player in model.players().values())
    config = TrainConfig(epochs=150, batch_size=32, learning_rate=1e-3)
    with pytest.raises(Diverged, match="not finite at step 60 "):
        train(model, Poisoning(x, 59 * steps + 1), config)
    assert_finite(model.state_dict())
    assert not model.training


class Moves(GradientFitted):
    """Buffers of every kind: of batch norm, of its own, one that overflows, and one that moves from a step on."""

    def __init__(self):
        super().__init__((2,))
        self.norm = nn.BatchNorm1d(2)
        self.weight = nn.Parameter(torch.ones(2))
        self.offset = nn.Parameter(torch.zeros(2))
        self.register_buffer("last", torch.zeros(2))
        self.register_buffer("late", torch.zeros(2))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("constant", torch.ones(2))

    def after_step(self):
        self.count += 1
        self.last.copy_(self.seen)
        with torch.no_grad():
            self.offset.add_(0.1 * self.seen)
        if self.count > 3:
            self.late.copy_(self.seen)

    def _objective(self, x, condition, player):
        self.seen = x.detach().mean(0)
        return Objective((self.norm(x) * self.weight - self.offset).clamp(-10, 10).square().sum(1))


@pytest.mark.parametrize("value", [math.nan, math.inf, 3e38])
@pytest.mark.parametrize("at", [0, 1, 3, 5])
def test_buffers_are_put_back_and_training_goes_on_as_if_the_step_had_not_been(value, at):
    x = torch.randn(100, 2)
    poisoned_run, stream = run_over(Moves(), x)
    clean, clean_stream = run_over(Moves(), x)
    with seeded("test"):
        for step in range(8):
            if step == at:
                before = named(poisoned_run.model.state_dict())
                poisoned_run.advance(poisoned(stream, value))
                after = named(poisoned_run.model.state_dict())
                # Objective and gradient of 3e38 are finite, so the optimizer moved the weights, and nothing else moved.
                weights = dict(poisoned_run.model.named_parameters()) if value == 3e38 else ()
                # What moves for the first time in this very step goes back to the best weights.
                same = [name for name in before if name not in weights and not (at == 3 and name == "late")]
                assert_same({name: before[name] for name in same}, {name: after[name] for name in same})
                assert_finite(after)
                next(clean_stream)
                clean.step += 1
            else:
                poisoned_run.advance(stream)
                clean.advance(clean_stream)
    if value != 3e38:
        assert_same(whole(clean), whole(poisoned_run))
    with pytest.raises(Diverged, match=rf"not finite at step {at + 1} "):
        poisoned_run.look()


def test_what_overflows_beside_the_weights_is_named():
    run, stream = run_over(Moves(), torch.randn(100, 2))
    with seeded("test"):
        run.advance(stream)
        run.advance(poisoned(stream, 3e38))
    with pytest.raises(Diverged, match="what moves beside the weights was not finite at step 2"):
        run.look()


def test_only_what_moves_is_copied():
    run, stream = run_over(Moves(), torch.randn(100, 2))
    with seeded("test"):
        for _ in range(2):
            run.advance(stream)
    held = {*run.guard.buffers.before, *run.guard.parameters.before}
    assert held == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked", "last", "count", "offset"}


class Raises(GradientFitted):
    """Fails, as a library does that refuses NaN, or by a fault of its own."""

    def __init__(self, x_shape, marked_only):
        super().__init__(x_shape)
        self.marked_only, self.mean = marked_only, nn.Parameter(torch.zeros(x_shape))

    def _objective(self, x, condition, player):
        if self.training and (x.isnan().any() or not self.marked_only):
            raise RuntimeError("normal expects all elements of std >= 0.0")
        return Objective((x - self.mean).square().sum(1))


def test_an_error_that_numbers_cause_is_a_divergence_and_others_are_not():
    with pytest.raises(Diverged, match="what the model was given was not finite at step 3 ") as caught:
        train(Raises((3,), marked_only=True), Poisoning(torch.randn(100, 3), 3), CONFIG, split=SPLIT)
    assert isinstance(caught.value.__cause__, RuntimeError)
    with pytest.raises(RuntimeError, match="normal expects"):
        train(Raises((3,), marked_only=False), torch.randn(100, 3), CONFIG, split=SPLIT)


@pytest.mark.parametrize("likelihood", [Categorical(4), DiscretizedLogisticMixture(4)])
def test_a_value_that_is_no_level_is_no_index_out_of_range(likelihood):
    """On a GPU it would be the end of the process."""
    observation = likelihood.build((2,))(torch.zeros(3, likelihood.raw_channels * 2))
    x = torch.tensor([[math.nan, 0.0], [math.inf, 0.0], [0.0, 1 / 3]])
    log_p = observation.log_prob(x)
    assert not log_p[0].isfinite()
    assert log_p[2].isfinite()


def test_a_value_that_is_no_level_has_no_probability():
    observation = Categorical(4).build((1,))(torch.randn(4, 4))
    assert observation.log_prob(torch.tensor([[-1 / 3], [4 / 3], [1e30], [math.nan]])).tolist() == [-math.inf] * 4
