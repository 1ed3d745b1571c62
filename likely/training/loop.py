"""The training loop: one function for one player, several players and closed form."""

import math
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from likely.contract import Batch, ClosedFormFitted, GradientFitted, Model
from likely.data.feed import Feed, TensorFeed
from likely.data.split import Split, split_rows
from likely.errors import Interrupted, UserError
from likely.rng import permutation, preserved, restart
from likely.training.config import TrainConfig
from likely.training.history import History, Progress
from likely.training.interrupts import StopRequest, stop_requests
from likely.training.plan import (
    N_MEASURED_STEPS,
    choose_batch_size,
    choose_device,
    choose_precision,
    choose_total_steps,
    compute_settings,
)
from likely.training.run import Run

LOOK_EVERY = 50
"""Steps between two looks of the host at what the device did."""

N_INITIALIZE = 10_000
"""How many training rows a model sees to set its starting values."""

CLOSED_FORM_BATCH = 4096

N_WARM_STEPS = 5
"""The first steps allocate and compile; time is measured after them."""

TIME_MARGIN = 0.97
"""Share of the time that is left which steps and validations are planned to fill."""


class Store(Protocol):
    """Where the state of a run is kept; `likely.persistence.Checkpoints` is one."""

    def save(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None: ...
    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None: ...


def train(
    model: Model,
    data: Feed | Tensor | np.ndarray,
    config: TrainConfig = TrainConfig(),
    *,
    split: Split | None = None,
    store: Store | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> History:
    """Fits a model in place; afterwards it holds the best weights seen, in evaluation mode.

    The run is a pure function of the data, the model's starting weights and `config`: stopped and resumed from
    its store it ends bit for bit as it would have without the stop.

    Args:
        model: any model; `config.device` is where it ends.
        data: rows as the model takes them, (n, *x_shape), or a feed of them.
        config: how long, how fast, where.
        split: which rows train and which validate; by default a tenth validates, chosen by the seed.
        store: where checkpoints are kept. A state that lies there already is resumed.
        on_progress: called now and then with where the run is.

    Returns:
        The history, validation by validation.

    Raises:
        UserError: if there are no training rows, or the stored state is of another run.
        Diverged: if the objective is not finite; the model then holds the best weights so far.
        Interrupted: after SIGINT or SIGTERM, once the step is finished and the state stored.
    """
    feed = data if isinstance(data, Feed) else TensorFeed(torch.as_tensor(data))
    if split is None:
        split = split_rows(len(feed), config.seed, calibration=0, test=0)
    if not len(split.train):
        raise UserError("there are no rows to train on")
    model.to(choose_device(config.device))
    report = on_progress or (lambda progress: None)
    if isinstance(model, ClosedFormFitted):
        return _solve(model, feed, split, config, report)
    if not isinstance(model, GradientFitted):
        raise TypeError(f"{type(model).__name__} is neither GradientFitted nor ClosedFormFitted")
    with preserved(), stop_requests() as request:
        try:
            return _descend(model, feed, split, config, store, report, request)
        finally:
            model.eval()


class _Passes:
    """The rows of some ids in batches, as often as they are gone through, with the same draws each time."""

    def __init__(self, feed: Feed, ids: np.ndarray, seed: int, device: torch.device) -> None:
        self.feed, self.ids, self.seed, self.device = feed, ids, seed, device

    def __iter__(self) -> Iterator[Batch]:
        with preserved():
            restart(self.seed, "closed form")
            for batch in self.feed.batches(self.ids, CLOSED_FORM_BATCH):
                yield self.feed.ready(batch, self.device)


def _solve(
    model: ClosedFormFitted, feed: Feed, split: Split, config: TrainConfig, report: Callable[[Progress], None]
) -> History:
    start = time.monotonic()
    device = next(model.buffers()).device
    # Nothing is chosen on held-out rows, so the validation rows teach as well.
    ids = np.union1d(split.train, split.validation)
    model.solve(_Passes(feed, ids, config.seed, device))
    model.eval()
    seconds = time.monotonic() - start
    report(Progress(1, 1, seconds, 0.0, {}))
    precision = str(next(model.buffers()).dtype).removeprefix("torch.")
    return History(seconds=seconds, stopped="closed form", precision=precision, batch_size=CLOSED_FORM_BATCH)


def steps_of_ids(train_ids: np.ndarray, batch_size: int, seed: int, first: int) -> Iterator[np.ndarray]:
    """Ids of batch `first`, `first` + 1, ... without end, each of full size.

    Epochs follow each other without a gap, each a permutation of its own, so every row is seen once an epoch.
    """
    n = len(train_ids)

    def order(epoch: int) -> np.ndarray:
        return train_ids[permutation(n, seed, "order", epoch)]

    epoch, offset = divmod(first * batch_size, n)
    rest = order(epoch)[offset:]
    while True:
        while len(rest) < batch_size:
            epoch += 1
            rest = np.concatenate([rest, order(epoch)])
        yield rest[:batch_size]
        rest = rest[batch_size:]


def _descend(
    model: GradientFitted,
    feed: Feed,
    split: Split,
    config: TrainConfig,
    store: Store | None,
    report: Callable[[Progress], None],
    request: StopRequest,
) -> History:
    batch_size = choose_batch_size(config, len(split.train))
    with compute_settings(model, batch_size):
        run = Run(model, feed, split, config, batch_size)
        stored = None if store is None else store.load()
        if stored is not None:
            run.load_state(*stored)
        clock = Clock(config, run)
        if stored is None:
            _begin(run)
        first = run.step * run.batches_per_step
        stream = feed.stream(ids_by_batch(split.train, batch_size, config.seed, first))
        while not run.finished:
            run.advance(stream)
            clock.tick()
            if run.validation_due or run.step % LOOK_EVERY == 0:
                run.look()
                if run.validation_due:
                    run.validate()
                report(clock.progress())
            if request.signal is not None or (store is not None and clock.checkpoint_due()):
                run.look()
                _save(run, store)
            if request.signal is not None:
                kept = "its state is saved" if store is not None else "nothing was saved"
                raise Interrupted(f"stopped by signal {request.signal} after step {run.step}; {kept}")
        return run.finish()


def _save(run: Run, store: Store | None) -> None:
    if store is not None:
        store.save(*run.state())


def _begin(run: Run) -> None:
    """Sets starting values, chooses the precision and the length, and validates before the first step."""
    config, train_ids = run.config, run.split.train
    restart(config.seed, "initialize")
    some = np.sort(train_ids[permutation(len(train_ids), config.seed, "initialize")[:N_INITIALIZE]])
    batch = run.feed.ready(run.feed.load(some), run.device)
    if batch.condition is not None:
        run.model.remember_conditions(batch.condition)
    run.model.initialize(batch)
    rows = Batch(*(None if value is None else value[: run.batch_size] for value in batch))
    run.precision = choose_precision(config, run.model, rows)
    if config.time_limit is None:
        run.set_length(choose_total_steps(config, len(train_ids), run.batch_size * run.batches_per_step))
    run.validate()


def ids_by_batch(train_ids: np.ndarray, batch_size: int, seed: int, first: int) -> Iterator[np.ndarray]:
    """Ids of batch `first`, `first` + 1, ... without end, each of full size.

    Epochs follow each other without a gap, each a permutation of its own, so every row is seen once an epoch.
    """
    n = len(train_ids)
    epoch, offset = divmod(first * batch_size, n)
    rest = train_ids[permutation(n, seed, "order", epoch)][offset:]
    while True:
        while len(rest) < batch_size:
            epoch += 1
            rest = np.concatenate([rest, train_ids[permutation(n, seed, "order", epoch)]])
        yield rest[:batch_size]
        rest = rest[batch_size:]


class Clock:
    """What time it is for a run: how long so far, how long still, and whether a checkpoint is due."""

    def __init__(self, config: TrainConfig, run: Run) -> None:
        self.config, self.run, self.before = config, run, run.seconds
        self.start = self.last_checkpoint = time.monotonic()
        self.mark: tuple[int, float] | None = None

    def tick(self) -> None:
        """After each step: counts the seconds and, under a time limit, fixes the length of the run once."""
        run = self.run
        run.seconds = self.before + time.monotonic() - self.start
        if self.mark is None and run.step >= N_WARM_STEPS:
            self.mark = (run.step, run.seconds)
        if run.total_steps == 0 and run.step >= N_MEASURED_STEPS and self.config.time_limit is not None:
            left = TIME_MARGIN * (self.config.time_limit - run.seconds)
            run.set_length(run.step + self._steps_in(max(left, 0.0)))

    def _steps_in(self, seconds: float) -> int:
        each = self.seconds_per_step() or 1.0
        steps = seconds / each
        for _ in range(3):  # the number of validations depends on the length, and the length on their number
            interval = self.run.interval_of(math.ceil(self.run.step + steps))
            steps = seconds / (each + self.run.validation_seconds / interval)
        return max(1, int(steps))

    def seconds_per_step(self) -> float | None:
        """Since the first steps, validations counted in; None at the start."""
        if self.mark is None or self.run.step == self.mark[0]:
            return None
        return (self.run.seconds - self.mark[1]) / (self.run.step - self.mark[0])

    def checkpoint_due(self) -> bool:
        """Whether so many seconds or steps have passed."""
        steps, now = self.config.checkpoint_steps, time.monotonic()
        due = now - self.last_checkpoint >= self.config.checkpoint_every
        due = due or (steps is not None and self.run.step % steps == 0)
        self.last_checkpoint = now if due else self.last_checkpoint
        return due

    def progress(self) -> Progress:
        """Where the run is."""
        run, each = self.run, self.seconds_per_step()
        remaining = each * (run.total_steps - run.step) if each is not None and run.total_steps else None
        return Progress(run.step, run.total_steps, run.seconds, remaining, run.rows[-1] if run.rows else {})
