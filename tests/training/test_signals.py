"""Real signals to real processes: what is lost is at most one interval, and the end is the unbroken run's."""

import multiprocessing
import os
import random
import signal
import threading
import time

import pytest

from likely.errors import Interrupted
from likely.persistence import Checkpoints
from likely.training import train
from tests.training.kinds import KINDS, Memory, assert_same, run_of, without_time
from tests.training.victim import CONFIG, INTERVAL, KIND, child, telling


@pytest.fixture(scope="module")
def processes():
    """Starts children from a fresh process that has loaded everything once."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.training.victim"])
    return context


@pytest.fixture
def start(processes):
    """Starts a run, waits until so many steps are done; its process, and how to ask for the steps it told of."""
    started = []

    def start(directory, step, last=10**9):
        ours, theirs = processes.Pipe(duplex=False)
        process = processes.Process(target=child, args=(str(directory), theirs, last))
        process.start()
        started.append(process)
        theirs.close()
        while ours.poll(60) and ours.recv() < step:
            pass
        return process, ours

    yield start
    for process in started:
        process.kill()
        process.join()


def newest(pipe, step):
    while pipe.poll():
        try:
            step = pipe.recv()
        except EOFError:
            return step
    return step


@pytest.fixture(scope="module")
def unbroken():
    store = Memory()
    model, _ = run_of(KIND, CONFIG, store)
    return model, store


def assert_resumes_to(unbroken, directory):
    model, store = unbroken
    again, _ = run_of(KIND, CONFIG, Checkpoints(directory))
    assert_same(model.state_dict(), again.state_dict())
    tensors, state = Checkpoints(directory).load()
    wanted_tensors, wanted_state = store.states[state["step"]]
    assert_same(dict(sorted(tensors.items())), dict(sorted(wanted_tensors.items())))
    assert without_time(state) == without_time(wanted_state)


@pytest.mark.parametrize("step", sorted(random.Random(0).sample(range(1, 60), 20)))
def test_killed_at_any_moment_loses_at_most_one_interval(step, start, unbroken, tmp_path):
    process, pipe = start(tmp_path / "run", step, last=step + 3)
    time.sleep(random.Random(step).uniform(0, 5e-3))
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    kept = Checkpoints(tmp_path / "run").load()
    assert newest(pipe, step) - (kept[1]["step"] if kept else 0) <= INTERVAL
    assert_resumes_to(unbroken, tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("step", [1, 23])
def test_a_request_finishes_the_step_and_saves(number, step, start, unbroken, tmp_path):
    process, pipe = start(tmp_path / "run", step)
    os.kill(process.pid, number)
    process.join(60)
    assert process.exitcode == 130
    # What was begun is done: as many steps are saved as batches were drawn.
    assert Checkpoints(tmp_path / "run").load()[1]["step"] == newest(pipe, step) + 1
    assert_resumes_to(unbroken, tmp_path / "run")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_request_ends_at_once(second, start, unbroken, tmp_path):
    process, _ = start(tmp_path / "run", 13, last=13)  # now it sleeps for an hour inside a step
    os.kill(process.pid, signal.SIGINT)
    process.join(0.3)
    assert process.is_alive()
    os.kill(process.pid, second)
    process.join(60)
    assert process.exitcode == (1 if second == signal.SIGINT else -signal.SIGTERM)
    assert Checkpoints(tmp_path / "run").load()[1]["step"] == 10
    assert_resumes_to(unbroken, tmp_path / "run")


def signaled_at(step, number, store=None, model=None):
    def tell(count):
        if count == step:
            signal.raise_signal(number)

    return train(model or KINDS[KIND].model(), telling(tell), CONFIG, store=store)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_says_where_and_puts_the_handlers_back(number):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    store = Memory()
    with pytest.raises(Interrupted, match=f"stopped by signal {int(number)} after step 8; its state is saved"):
        signaled_at(7, number, store)
    assert max(store.states) == 8
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    with pytest.raises(Interrupted, match="nothing was saved"):
        signaled_at(7, number)


def test_an_interrupted_program_may_go_on_in_the_same_process(unbroken):
    store = Memory()
    with pytest.raises(Interrupted):
        signaled_at(30, signal.SIGINT, store)
    model, _ = run_of(KIND, CONFIG, Memory(store.last))
    assert_same(model.state_dict(), unbroken[0].state_dict())


def test_handlers_are_back_after_success_and_failure():
    def own(number, frame):
        raise AssertionError("nobody signaled")

    def fail(count):
        assert signal.getsignal(signal.SIGINT) is not own
        raise RuntimeError("no more rows")

    before = signal.signal(signal.SIGINT, own)
    try:
        run_of(KIND, CONFIG)
        assert signal.getsignal(signal.SIGINT) is own
        with pytest.raises(RuntimeError, match="no more rows"):
            train(KINDS[KIND].model(), telling(fail), CONFIG)
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


def test_training_in_a_thread_leaves_signals_alone(unbroken):
    handlers, seen = [], []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))

    def tell(count):
        handlers.append(signal.getsignal(signal.SIGTERM))
        if count == 20:
            os.kill(os.getpid(), signal.SIGTERM)

    model = KINDS[KIND].model()
    thread = threading.Thread(target=train, args=(model, telling(tell), CONFIG))
    try:
        own = signal.getsignal(signal.SIGTERM)
        thread.start()
        thread.join(60)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert set(handlers) == {own}
    assert seen == [signal.SIGTERM]
    assert_same(model.state_dict(), unbroken[0].state_dict())
