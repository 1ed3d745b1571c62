"""What training leaves as it found it, what decides its result, and that no step waits for the device."""

import contextlib
import math
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from likely import rng
from likely.data.split import split_rows
from likely.training import TrainConfig, train
from likely.training.order import ids_by_batch
from likely.training.plan import Precision
from likely.training.run import Run
from tests.training.kinds import KINDS, TwoHalves, assert_same, run_of

CONFIG = TrainConfig(epochs=4, batch_size=16, warmup=5)
SMALLEST = 5e-324


def global_state():
    flushes = float(torch.tensor(SMALLEST, dtype=torch.float64) * 1) == 0
    return torch.get_rng_state().tolist(), torch.get_num_threads(), flushes, torch.is_grad_enabled()


def flags(model):
    return [parameter.requires_grad for parameter in model.parameters()]


@contextlib.contextmanager
def unusual_surroundings():
    torch.manual_seed(99)
    torch.set_num_threads(2)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(1)


@pytest.mark.parametrize("kind", KINDS)
def test_global_state_is_as_before(kind):
    model = KINDS[kind].model()
    if kind != "two-halves":  # it has one parameter to a player
        next(model.parameters()).requires_grad_(False)
    before = global_state(), flags(model)
    train(model, KINDS[kind].feed(), CONFIG)
    assert (global_state(), flags(model)) == before
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("fails_at", ["initialize", "_objective", "after_step"])
@pytest.mark.parametrize("kind", ["gan", "vae"])
def test_global_state_is_as_before_after_a_failure(kind, fails_at, monkeypatch):
    model = KINDS[kind].model()
    real, calls = getattr(type(model), fails_at), []

    def fail(*args):
        calls.append(args)
        if len(calls) == (1 if fails_at == "initialize" else 5):
            raise RuntimeError("broken")
        return real(*args)

    monkeypatch.setattr(type(model), fails_at, fail)
    with unusual_surroundings():
        before = global_state(), flags(model)
        with pytest.raises(RuntimeError, match="broken"):
            train(model, KINDS[kind].feed(), CONFIG)
        assert (global_state(), flags(model)) == before
    assert not model.training


def test_denormal_numbers_are_flushed_in_training_on_one_thread_where_it_is_tiny():
    seen = []
    model = KINDS["vae"].model()
    model.after_step = lambda: seen.append(global_state()[1:3])
    with unusual_surroundings():
        torch.set_flush_denormal(False)
        train(model, KINDS["vae"].feed(), TrainConfig(epochs=0.1))
        assert global_state()[1:3] == (2, False)
    assert set(seen) == {(1, True)}


def in_another_thread(ask):
    with ThreadPoolExecutor(1) as other:
        return other.submit(ask).result()


def test_settings_of_a_training_are_those_of_its_own_thread():
    seen = []
    model = KINDS["vae"].model()
    model.after_step = lambda: seen.append((torch.get_num_threads(), in_another_thread(torch.get_num_threads)))
    with unusual_surroundings():
        torch.set_flush_denormal(False)
        in_another_thread(lambda: train(model, KINDS["vae"].feed(), TrainConfig(epochs=0.1)))
        assert set(seen) == {(1, 2)}
        assert global_state()[1:3] == (2, False)
        assert in_another_thread(torch.get_num_threads) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_everything(kind):
    first, _ = run_of(kind, CONFIG)
    torch.rand(7)
    again, _ = run_of(kind, CONFIG)
    assert_same(first.state_dict(), again.state_dict())
    other, _ = run_of(kind, TrainConfig(epochs=4, batch_size=16, warmup=5, seed=1))
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


class Noting(TwoHalves):
    """Notes what its two players draw, in training and in validation."""

    def __init__(self, x_shape):
        super().__init__(x_shape)
        self.trained, self.held_out = [], []

    def _objective(self, x, condition, player):
        (self.trained if self.training else self.held_out).append(float(rng.normal(1)))
        return super()._objective(x, condition, player)


def test_every_step_has_noise_of_its_own_and_every_validation_the_same():
    notes = []
    for seed in (0, 0, 1):
        model = Noting((2,))
        train(model, torch.zeros(60, 2), TrainConfig(epochs=12, batch_size=16, seed=seed))
        notes.append((model.trained, model.held_out))
    trained, held_out = notes[0]
    assert len(set(trained)) == len(trained) > 20
    assert len(held_out) > 3 * len(set(held_out))
    assert notes[0] == notes[1]
    assert not set(trained) & set(notes[2][0])
    assert not set(held_out) & set(notes[2][1])


WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "unique", "index_put_bool"}
LOOKS = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__array__")


class Waiting(TorchDispatchMode):
    """Collects the operations that a device has to be waited for."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        if name in WAITS:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def noting(name, real, seen):
    def looked(self, *args):
        seen.append(name)
        return real(self, *args)

    return looked


def waits_in_a_step(kind, monkeypatch):
    model, feed = KINDS[kind].model(), KINDS[kind].feed()
    split = split_rows(len(feed), 0, calibration=0, test=0)
    run = Run(model, feed, split, CONFIG, 16)
    run.precision = Precision("float32", "")
    run.set_length(50)
    stream = feed.stream(ids_by_batch(split.train, 16, 0, 0))
    run.advance(stream)  # the optimizer makes its state
    batches = iter([next(stream) for _ in range(run.batches_per_step)])
    waiting = Waiting()
    with monkeypatch.context() as patch, waiting:
        for name in LOOKS:
            patch.setattr(torch.Tensor, name, noting(name, getattr(torch.Tensor, name), waiting.seen))
        run.advance(batches)
    return waiting.seen


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "vae" not in kind])
def test_no_step_waits_for_the_device(kind, monkeypatch):
    assert waits_in_a_step(kind, monkeypatch) == []


def test_a_vae_looks_for_missing_values_on_a_cpu_and_nowhere_else(monkeypatch):
    assert set(waits_in_a_step("vae", monkeypatch)) <= {"__bool__", "is_nonzero", "_local_scalar_dense"}
    assert len(waits_in_a_step("vae", monkeypatch)) <= 2
    monkeypatch.setattr("likely.models.vae.split_missing", lambda x: (x, None))
    assert waits_in_a_step("vae", monkeypatch) == []


def test_the_counter_counts(monkeypatch):
    real = type(KINDS["autoencoder"].model())._objective

    def looking(model, x, condition, player):
        assert float(x.sum()) != math.inf
        return real(model, x, condition, player)

    monkeypatch.setattr(type(KINDS["autoencoder"].model()), "_objective", looking)
    assert "_local_scalar_dense" in waits_in_a_step("autoencoder", monkeypatch)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", ["autoencoder", "vae-conditional", "restless", "two-halves"])
def test_no_step_waits_for_a_gpu(kind):
    model, feed = KINDS[kind].model().cuda(), KINDS[kind].feed()
    run = Run(model, feed, split_rows(len(feed), 0, calibration=0, test=0), CONFIG, 16)
    run.set_length(50)
    stream = islice(feed.stream(ids_by_batch(run.split.train, 16, 0, 0)), 6)
    run.advance(stream)
    torch.cuda.set_sync_debug_mode("error")
    try:
        run.advance(stream)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    run.look()
