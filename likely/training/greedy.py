"""Layer by layer: each learns to give back what those below hand it, and then the whole is trained.

Reference: Greedy Layer-Wise Training of Deep Networks (Bengio et al., 2007); with a corruption of what each layer
    is handed, Stacked Denoising Autoencoders (Vincent et al., 2010)
"""

import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch
from torch import Tensor, nn

from likely.contract import GradientFitted, Layered, Objective
from likely.corruptions import Corruption
from likely.corruptions import start as begun_from
from likely.errors import UserError
from likely.rng import derive
from likely.training.config import LEAST_SECONDS, TrainConfig
from likely.training.descent import Task, descend, start, starting_rows
from likely.training.history import History
from likely.training.plan import choose_batch_size, choose_total_steps
from likely.training.stages import Done, Stages

LAYER_SHARE = 0.5
"""Without a word on epochs, a layer trains for this share of the steps that the whole is trained for."""

TIME_SHARE = 0.4
"""Of a time limit, for all layers together, each an equal part; the whole has the rest, and what layers left over."""


class LayerByItself(GradientFitted):
    """One layer as an autoencoder of what those below hand it. Its parameters are its own two modules' alone.

    Args:
        x_shape: of the rows, which the layers below are given.
        condition_shape: of the whole model's condition, which no layer looks at.
        up, down: the layer, see `Layered.layers`.
        below: what leads to it; they stay as they are.
        distance: what `down` gives, and what it should: how far they are apart, (batch,).
        corruption: of what `up` is handed, or None.
    """

    def __init__(
        self,
        x_shape: tuple[int, ...],
        condition_shape: tuple[int, ...] | None,
        up: nn.Module,
        down: nn.Module,
        below: tuple[nn.Module, ...],
        distance: Callable[[Tensor, Tensor], Tensor],
        corruption: Corruption | None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        self.up, self.down, self.distance, self.corruption = up, down, distance, corruption
        self.below = below  # in a tuple, where PyTorch looks for no parameters

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        with torch.no_grad():
            handed = given(x, self.below).to(x.dtype)  # of lower precision inside autocast
            seen = handed
            if self.corruption is not None:
                operator = self.corruption.draw(handed)
                seen = begun_from(operator.apply(handed), operator)
        return Objective(self.distance(self.down(self.up(seen)), handed))


def given(x: Tensor, below: Iterable[nn.Module]) -> Tensor:
    """What a layer is handed of rows x, with these layers below it."""
    for layer in below:
        x = layer(x)
    return x


def squared_error(raw: Tensor, x: Tensor) -> Tensor:
    """Summed over the values of a row: (batch,)."""
    return (raw.to(x.dtype) - x).square().flatten(1).sum(1)


def descend_by_layers(model: Layered, task: Task) -> History:
    """Trains each layer, then the whole; goes on where a stored state left off.

    Without a time limit a layer trains for `Greedy.epochs`, or else for `LAYER_SHARE` of the steps of the whole. Under
    one, all layers together have `TIME_SHARE` of it. Each stops early by itself, and keeps its best weights.

    Args:
        model: on its device already, with a `pretraining`.
        task: what `train` was asked for.

    Returns:
        The history of all layers, whose rows say which by "layer", from 1, and of the whole.

    Raises:
        ValueError: if the model has no layers.
        UserError, Diverged, Interrupted: as `train` does.
    """
    return _Stages(model, task).run()


class _Stages(Stages):
    whole = True

    def __init__(self, model: Layered, task: Task) -> None:
        self.layers, self.greedy, self.measure = tuple(model.layers()), model.pretraining, model.measure
        super().__init__(model, task, len(self.layers))
        if task.config.time_limit is not None and self.greedy.epochs is not None:
            raise UserError("time_limit and the epochs of pretraining exclude each other: give Greedy() without epochs")
        self._check_corruption()

    def run(self) -> History:
        stored = None if self.task.store is None else self.task.store.load()
        if stored is None:
            device = next(self.model.parameters()).device
            start(self.model, starting_rows(self.task.feed, self.task.split, self.task.config, device))
        else:
            stored = self._go_on(*stored)
        while len(self.done) < len(self.layers):
            history = self._train_layer(stored)
            self.done.append(Done(self._rows(history), history.total_steps, history.seconds))
            self._keep()
            stored = None
        history = descend(self.model, self._task(stored), started=True, identify=self.identify)
        rows = [*itertools.chain.from_iterable(done.rows for done in self.done), *self._rows(history)]
        return replace(history, rows=rows, seconds=self._seconds + history.seconds)

    @torch.no_grad()
    def _check_corruption(self) -> None:
        """Refuses, before anything is trained, what cannot happen to a layer's input."""
        self.model.eval()
        handed = next(self.model.parameters()).new_zeros(1, *self.model.x_shape)
        for number, (up, _) in enumerate(self.layers, 1):
            try:
                if self.greedy.corruption is not None:
                    self.greedy.corruption.check(tuple(handed.shape[1:]))
            except ValueError as error:
                raise UserError(f"pretraining cannot corrupt what layer {number} is handed: {error}") from error
            handed = up(handed)

    def _layer(self, number: int) -> GradientFitted:
        (up, down), below = self.layers[number], tuple(up for up, _ in self.layers[:number])
        # What x is like the model knows; what a code is like nobody does.
        distance = squared_error if number else functools.partial(self.measure)
        model, corruption = self.model, self.greedy.corruption
        layer = LayerByItself(model.x_shape, model.condition_shape, up, down, below, distance, corruption)
        layer.eval()  # as its two modules are; the first step of a run says otherwise, of all of them
        return layer

    # How long each trains.

    def _config(self, number: int) -> TrainConfig:
        """Of a layer, or of the whole: a function of what was asked for and of what the layers before it took."""
        config = self.task.config
        n_left = len(self.layers) - number
        own_seed = replace(config, seed=derive(config.seed, "layer", number)) if n_left else config
        if config.training_seconds is None:
            return replace(own_seed, epochs=self._epochs()) if n_left else config
        left = (TIME_SHARE if n_left else 1.0) * config.training_seconds - self._seconds
        return replace(own_seed, time_limit=max(LEAST_SECONDS, left / max(1, n_left)), reserved=0.0)

    def _epochs(self) -> float:
        if self.greedy.epochs is not None:
            return float(self.greedy.epochs)
        n_train = len(self.task.split.train)
        batch_size = choose_batch_size(self.task.config, n_train)
        return LAYER_SHARE * choose_total_steps(self.task.config, n_train, batch_size) * batch_size / n_train
