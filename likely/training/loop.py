"""Training: one function for one player, several players, layer by layer and closed form."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from likely.contract import Batch, ClosedFormFitted, GradientFitted, Layered, Model, Stacked
from likely.data.feed import Feed, TensorFeed
from likely.data.split import Split, split_rows
from likely.errors import UserError
from likely.rng import permutation, stream, torch_draws
from likely.training.config import TrainConfig
from likely.training.descent import Store, Task, descend, starting_rows
from likely.training.greedy import descend_by_layers
from likely.training.guard import all_or_nothing
from likely.training.history import History, Progress
from likely.training.interrupts import stop_requests
from likely.training.plan import choose_device
from likely.training.stacked import descend_by_stages

CLOSED_FORM_BATCH = 4096


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

    A `Layered` model with a `pretraining` is trained layer by layer first, then as a whole; a `Stacked` one stage by
    stage.

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
    with (
        stream(config.seed, "training", on_device=True),
        torch_draws(model, feed, *feed.augmentation),
        _left_in_order(model),
        stop_requests() as request,
    ):
        task = Task(feed, split, config, store, report, request)
        if isinstance(model, Layered) and model.pretraining is not None:
            return descend_by_layers(model, task)
        if isinstance(model, Stacked):
            return descend_by_stages(model, task)
        return descend(model, task)


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
    """The rows of some ids in batches, as often as they are gone through, with the same draws each time.

    They come in random order, so that a batch is a sample of them all: the first one may serve to begin with.
    """

    def __init__(self, feed: Feed, ids: np.ndarray, seed: int, device: torch.device) -> None:
        self.feed, self.seed, self.device = feed, seed, device
        self.ids = ids[permutation(len(ids), seed, "closed form")]

    def __iter__(self) -> Iterator[Batch]:
        noise = stream(self.seed, "closed form")
        for batch in self.feed.batches(self.ids, CLOSED_FORM_BATCH):
            with noise:  # for the rows alone: what the model does between two batches is its own
                ready = self.feed.ready(batch, self.device)
            yield ready


def _solve(
    model: ClosedFormFitted, feed: Feed, split: Split, config: TrainConfig, report: Callable[[Progress], None]
) -> History:
    start = time.monotonic()
    device = next(model.buffers()).device
    # Nothing is chosen on held-out rows, so the validation rows teach as well.
    taught = replace(split, train=split.taught())
    passes = _Passes(feed, taught.train, config.seed, device)
    with stream(config.seed, "solving"), torch_draws(model, feed), all_or_nothing(model, passes):
        if model.condition_shape is not None:
            condition = starting_rows(feed, taught, config, device).condition
            if condition is not None:  # the model says what it lacks
                model.remember_conditions(condition)
        model.solve(passes)
    model.eval()
    seconds = time.monotonic() - start
    report(Progress(1, 1, seconds, 0.0, {}))
    precision = str(next(model.buffers()).dtype).removeprefix("torch.")
    return History(seconds=seconds, stopped="closed form", precision=precision, batch_size=CLOSED_FORM_BATCH)
