"""Validation only looks: in evaluation mode, with the same noise each time, without gradients, moving nothing."""

import pytest
import torch

from likely.data.split import split_rows
from likely.training import TrainConfig
from likely.training.order import ids_by_batch
from likely.training.run import Run
from tests.training.kinds import KINDS, Memory, assert_same, run_of


def begun(kind, steps=3):
    """A run that has done some steps, and everything that happened in its model since then."""
    model, feed = KINDS[kind].model(), KINDS[kind].feed()
    split = split_rows(len(feed), 0, calibration=0, test=0)
    run = Run(model, feed, split, TrainConfig(batch_size=16), 16)
    run.set_length(100)
    stream = feed.stream(ids_by_batch(split.train, 16, 0, 0))
    for _ in range(steps):
        run.advance(stream)
    return run, stream


def measures(run):
    """The newest row, of the validation part only."""
    run.validate()
    return {name: value for name, value in run.rows[-1].items() if name.startswith("validation")}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_weights_have_the_same_validation(kind):
    run, _ = begun(kind)
    first = measures(run)
    torch.rand(5)
    assert measures(run) == first


@pytest.mark.parametrize("kind", ["vae", "vae-binarized", "vae-dequantized"])
def test_its_noise_is_the_same_at_every_step_and_another_for_every_seed(kind):
    def first(seed):
        split = split_rows(100, 0, calibration=0, test=0)
        run = Run(KINDS[kind].model(), KINDS[kind].feed(), split, TrainConfig(seed=seed), 16)
        run.set_length(100)
        return run

    run = first(0)
    before = measures(run)
    run.step = 17
    assert measures(run) == before
    assert measures(first(1))["validation"] != before["validation"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_moves_nothing_and_leaves_no_gradients(kind):
    run, _ = begun(kind)
    for parameter in run.model.parameters():
        parameter.grad = None
    before = {name: value.clone() for name, value in run.state()[0].items() if not name.startswith(("best", "pending"))}
    seen = []
    run.model.register_forward_pre_hook(lambda module, args: seen.append((module.training, torch.is_grad_enabled())))
    measures(run)
    assert_same(before, {name: value for name, value in run.state()[0].items() if name in before})
    assert all(parameter.grad is None for parameter in run.model.parameters())
    assert seen
    assert set(seen) == {(False, False)}


@pytest.mark.parametrize("kind", ["vae-binarized", "restless", "gan"])
def test_how_often_it_is_done_does_not_change_the_steps(kind):
    looked, stream = begun(kind, steps=1)
    blind, blind_stream = begun(kind, steps=1)
    for _ in range(3):
        looked.validate()
        looked.advance(stream)
        blind.advance(blind_stream)
    assert_same(dict(looked.model.state_dict()), dict(blind.model.state_dict()))


def test_it_is_the_mean_over_all_rows_held_out(monkeypatch):
    monkeypatch.setattr("likely.training.run.VALIDATION_BATCH", 7)
    feed = KINDS["autoencoder"].feed()
    split = split_rows(100, 0, validation=0.45, calibration=0, test=0)
    run = Run(KINDS["autoencoder"].model(), feed, split, TrainConfig(), 3)
    run.set_length(10)
    objective = run.model.eval()(feed.load(split.validation).x)
    assert measures(run)["validation"] == pytest.approx(float(objective.total.detach().mean()), rel=1e-6)
    assert measures(run)["validation/distortion"] == pytest.approx(float(objective.total.detach().mean()), rel=1e-6)


def test_the_model_ends_with_exactly_the_weights_that_were_best():
    store = Memory()
    config = TrainConfig(epochs=8, batch_size=16, learning_rate=0.5, warmup=1, checkpoint_steps=1, patience=None)
    model, history = run_of("restless", config, store)
    assert 0 < history.best_step < history.total_steps
    tensors, _ = store.states[history.best_step]
    at_best = {name.removeprefix("model/"): v for name, v in tensors.items() if name.startswith("model/")}
    assert_same(at_best, dict(model.state_dict()))
