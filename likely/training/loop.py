"""The training loop: one function for one player, several players and closed form."""

import contextlib
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
from likely.training.clock import Clock
from likely.training.config import TrainConfig
from likely.training.history import History, Progress
from likely.training.interrupts import StopRequest, stop_requests
from likely.training.order import ids_by_batch
from likely.training.plan import (
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
    if isinstance(data, np.ndarray):  # pandas hands out arrays that torch warns of: they cannot be written to
        data = torch.from_numpy(np.require(data, requirements="W"))
    feed = data if isinstance(data, Feed) else TensorFeed(data)
    if split is None:
        split = split_rows(len(feed), config.seed, calibration=0, test=0, groups=feed.groups)
    if not len(split.train):
        raise UserError("there are no rows to train on")
    model.to(choose_device(config.device))
    report = on_progress or (lambda progress: None)
    if isinstance(model, ClosedFormFitted):
        return _solve(model, feed, split, config, report)
    if not isinstance(model, GradientFitted):
        raise TypeError(f"{type(model).__name__} is neither GradientFitted nor ClosedFormFitted")
    with preserved(), _left_in_order(model), stop_requests() as request:
        return _descend(model, feed, split, config, store, report, request)


@contextlib.contextmanager
def _left_in_order(model: Model) -> Iterator[None]:
    """Afterwards, whatever happens, the model is in evaluation mode; what took gradients does, and holds none."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag).grad = None
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
    run = Run(model, feed, split, config, batch_size)
    with compute_settings(model, batch_size), contextlib.closing(run):
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
    run.keep()
    rows = Batch(batch.x[: run.batch_size], None if batch.condition is None else batch.condition[: run.batch_size])
    run.precision = choose_precision(config, run.model, rows)
    if config.time_limit is None:
        run.set_length(choose_total_steps(config, len(train_ids), run.batch_size * run.batches_per_step))
    run.validate()
