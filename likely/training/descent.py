"""Descent: one run of stochastic gradients, from its first step or its stored state to its end."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from likely.contract import Batch, GradientFitted
from likely.data.feed import Feed
from likely.data.split import Split
from likely.errors import Interrupted
from likely.rng import TorchDraws, restart, some_of
from likely.training.clock import Clock
from likely.training.config import TrainConfig
from likely.training.guard import all_or_nothing
from likely.training.history import History, Progress
from likely.training.interrupts import StopRequest
from likely.training.order import ids_by_batch
from likely.training.plan import choose_batch_size, choose_precision, choose_total_steps, compute_settings
from likely.training.run import Run

LOOK_EVERY = 50
"""Steps between two looks of the host at what the device did."""

N_INITIALIZE = 10_000
"""How many training rows a model sees to set its starting values."""


class Store(Protocol):
    """Where the state of a run is kept; `likely.persistence.Checkpoints` is one."""

    def save(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None: ...
    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None: ...


@dataclass(frozen=True)
class Task:
    """What a run is to do, and who is told of it.

    Attributes:
        feed: the rows.
        split: which of them train and validate.
        config: how long, how fast.
        store: where checkpoints are kept, or None.
        report: called now and then with where the run is.
        request: whether it is to stop.
    """

    feed: Feed
    split: Split
    config: TrainConfig
    store: Store | None
    report: Callable[[Progress], None]
    request: StopRequest


def descend(
    model: GradientFitted,
    task: Task,
    *,
    started: bool = False,
    identify: Callable[[], dict[str, Any]] | None = None,
) -> History:
    """Trains a model that is on its device already.

    Args:
        model: what moves.
        task: on which rows, how long, and who is told.
        started: whether its starting values are set already.
        identify: what has to be the same for a stored state to be this run's; by default the model and the task.

    Raises:
        UserError, Diverged, Interrupted: as `train` does.
    """
    run = Run(model, task.feed, task.split, task.config, choose_batch_size(task.config, len(task.split.train)))
    run.identify = identify or run.identify
    with compute_settings(model, run.batch_size):
        stored = None if task.store is None else task.store.load()
        if stored is not None:
            run.load_state(*stored)
        clock = Clock(task.config, run)
        if stored is None:
            _begin(run, started)
        _go(run, clock, task)
        return run.finish()


def _go(run: Run, clock: Clock, task: Task) -> None:
    """Step after step, until the schedule ends or somebody asks to stop."""
    store, request = task.store, task.request
    first = run.step * run.batches_per_step
    stream = run.feed.stream(ids_by_batch(run.split.train, run.batch_size, run.config.seed, first))
    while not run.finished:
        run.advance(stream)
        clock.tick()
        if run.validation_due or run.step % LOOK_EVERY == 0:
            run.look()
            if run.validation_due:
                run.validate()
            task.report(clock.progress())
        if request.signal is not None or (store is not None and clock.checkpoint_due()):
            run.look()
            if store is not None:
                store.save(*run.state())
        if request.signal is not None:
            kept = "its state is saved" if store is not None else "nothing was saved"
            raise Interrupted(f"stopped by signal {request.signal} after step {run.step}; {kept}")


def _begin(run: Run, started: bool) -> None:
    """Sets starting values, chooses the precision and the length, and validates before the first step."""
    config, train_ids = run.config, run.split.train
    if not started:
        start(run.model, starting_rows(run.feed, run.split, config, run.device))
        run.keep()
    run.precision = choose_precision(config, run.model, run.batch_size)
    if config.time_limit is None:
        run.set_length(choose_total_steps(config, len(train_ids), run.batch_size * run.batches_per_step))
    run.validate()


def starting_rows(feed: Feed, split: Split, config: TrainConfig, device: torch.device) -> Batch:
    """Some training rows, drawn at random and in random order, the same for the same seed."""
    restart(config.seed, "initialize")
    chosen = split.train[some_of(len(split.train), N_INITIALIZE, config.seed, "initialize")]
    rising = np.sort(chosen)  # files are read in the order in which they lie
    x, condition = feed.load(rising)
    order = torch.from_numpy(np.searchsorted(rising, chosen))
    return feed.ready(Batch(x[order], None if condition is None else condition[order]), device)


def start(model: GradientFitted, batch: Batch) -> None:
    """Sets the starting values of a model from some training rows.

    Raises:
        Diverged: if they are not finite; the model is then as it was.
    """
    with all_or_nothing(model, [batch]), TorchDraws():  # it may build layers, whose weights torch draws
        if batch.condition is not None:
            model.remember_conditions(batch.condition)
        model.initialize(batch)
