"""Layer by layer: each learns to give back what those below hand it, and then the whole is trained.

Reference: Greedy Layer-Wise Training of Deep Networks (Bengio et al., 2007); with a corruption of what each layer
    is handed, Stacked Denoising Autoencoders (Vincent et al., 2010)
"""

import functools
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from likely.contract import GradientFitted, Layered, Objective, Stacked
from likely.corruptions import Corruption
from likely.corruptions import start as begun_from
from likely.errors import Diverged, UserError
from likely.rng import derive
from likely.training.config import TrainConfig
from likely.training.descent import Task, descend, start, starting_rows
from likely.training.history import History, Progress
from likely.training.identity import check_identity, identity_of
from likely.training.plan import choose_batch_size, choose_total_steps

LAYER_SHARE = 0.5
"""Without a word on epochs, a layer trains for this share of the steps that the whole is trained for."""

TIME_SHARE = 0.4
"""Of a time limit, for all layers together, each an equal part; the whole has the rest, and what layers left over."""

LEAST_SECONDS = 1e-3
WHOLE = "whole/"
"""Before the names of the model's own tensors in a stored state."""


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


@dataclass(frozen=True)
class Done:
    """A layer that is trained: its part of the history, in numbers that JSON can hold."""

    rows: list[dict[str, float]]
    steps: int
    seconds: float


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


def descend_by_stages(model: Stacked, task: Task) -> History:
    """Trains the models that a stack is made of, one after another; goes on where a stored state left off.

    Each is trained as long as was asked for; under a time limit all have equal parts of it, and what others left over.

    Args:
        model: on its device already.
        task: what `train` was asked for.

    Returns:
        The history of all, whose rows say which by "layer", from 1.

    Raises:
        UserError, Diverged, Interrupted: as `train` does.
    """
    return _StagesOfStack(model, task).run()


class _Stages:
    whole = True
    """Whether the whole is trained, too, once its layers are."""

    def __init__(self, model: Layered, task: Task) -> None:
        self.model, self.task, self.greedy = model, task, model.pretraining
        self.layers = tuple(model.layers())
        if task.config.time_limit is not None and self.greedy.epochs is not None:
            raise UserError("time_limit and the epochs of pretraining exclude each other: give Greedy() without epochs")
        self._check_corruption()
        self.done: list[Done] = []
        # A pass over the data, which every layer's run would take again.
        self.identify = functools.cache(lambda: identity_of(model, task.feed, task.split, task.config))

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

    def _train_layer(self, stored: Any) -> History:
        number = len(self.done)
        layer = self._layer(number)
        try:
            # A stack's layer begins by what those below it have learned; others began with the whole.
            return descend(layer, self._task(stored), started=self.whole, identify=self.identify)
        except Diverged as error:
            raise Diverged(f"layer {number + 1} of {len(self.layers)}: {error}") from error
        finally:
            layer.eval()

    def _layer(self, number: int) -> LayerByItself:
        (up, down), below = self.layers[number], tuple(up for up, _ in self.layers[:number])
        # What x is like the model knows; what a code is like nobody does.
        distance = squared_error if number else functools.partial(self.model.measure)
        model, corruption = self.model, self.greedy.corruption
        layer = LayerByItself(model.x_shape, model.condition_shape, up, down, below, distance, corruption)
        layer.eval()  # as its two modules are; the first step of a run says otherwise, of all of them
        return layer

    def _rows(self, history: History) -> list[dict[str, float]]:
        """Of one layer, or of the whole, as they stand in the history of all."""
        number = len(self.done) + 1
        layer = {"layer": number} if number <= len(self.layers) else {}
        return [{**layer, **row, "seconds": self._seconds + row["seconds"]} for row in history.rows]

    @property
    def _seconds(self) -> float:
        return sum(done.seconds for done in self.done)

    # How long each trains.

    def _task(self, stored: Any) -> Task:
        """Of the layer whose turn it is, or of the whole."""
        store = None if self.task.store is None else _StageStore(self, stored)
        return replace(self.task, config=self._config(len(self.done)), store=store, report=self._tell)

    def _config(self, number: int) -> TrainConfig:
        """Of a layer, or of the whole: a function of what was asked for and of what the layers before it took."""
        config = self.task.config
        n_left = len(self.layers) - number
        own_seed = replace(config, seed=derive(config.seed, "layer", number)) if n_left else config
        if config.time_limit is None:
            return replace(own_seed, epochs=self._epochs()) if n_left else config
        left = (TIME_SHARE if n_left else 1.0) * config.time_limit - self._seconds
        return replace(own_seed, time_limit=max(LEAST_SECONDS, left / max(1, n_left)))

    def _epochs(self) -> float:
        if self.greedy.epochs is not None:
            return float(self.greedy.epochs)
        n_train = len(self.task.split.train)
        batch_size = choose_batch_size(self.task.config, n_train)
        return LAYER_SHARE * choose_total_steps(self.task.config, n_train, batch_size) * batch_size / n_train

    def _planned_steps(self, number: int) -> int:
        """Of a layer or the whole; 0 under a time limit."""
        config, n_train = self._config(number), len(self.task.split.train)
        players = self.model.players().values() if number == len(self.layers) else ()
        per_step = sum(player.steps for player in players) or 1
        return choose_total_steps(config, n_train, per_step * choose_batch_size(config, n_train))

    # What is told and kept meanwhile.

    def _tell(self, now: Progress) -> None:
        """Where all layers and the whole are, taken together."""
        number, n = len(self.done), len(self.layers)
        step = sum(done.steps for done in self.done) + now.step
        last = n if self.whole else n - 1
        later = sum(map(self._planned_steps, range(number + 1, last + 1)))  # 0 under a time limit: nobody knows
        seconds = self._seconds + now.seconds
        total, remaining = 0, now.remaining
        if now.total_steps and (later or number == last):
            total = step - now.step + now.total_steps + later
        if self.task.config.time_limit is not None and number < last:
            remaining = max(0.0, self.task.config.time_limit - seconds)
        elif remaining is not None:
            remaining += later * seconds / max(1, step)
        row = {"layer": number + 1, **now.row} if number < n else now.row
        doing = f"layer {number + 1} of {n}" if number < n else "fine-tuning"
        self.task.report(Progress(step, total, seconds, remaining, row, doing))

    def _keep(self) -> None:
        """Between two layers: what is stored holds no run that has begun."""
        if self.task.store is not None:
            _StageStore(self, None).save({}, {"identity": self.identify(), "step": 0, "begun": False})

    def _go_on(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> Any:
        """Puts back what was stored; what of it is the state of a run that has begun, or None."""
        check_identity(state["identity"], self.identify())
        self.done = [Done(**done) for done in state["layers"]]
        whole = {name.removeprefix(WHOLE): value for name, value in tensors.items() if name.startswith(WHOLE)}
        if whole:
            self.model.load_state_dict(whole)
        return (tensors, state) if state["begun"] else None


class _StagesOfStack(_Stages):
    whole = False

    def __init__(self, model: Stacked, task: Task) -> None:
        self.model, self.task, self.layers = model, task, tuple(model.stages())
        self.done = []
        self.identify = functools.cache(lambda: identity_of(model, task.feed, task.split, task.config))

    def run(self) -> History:
        stored = None if self.task.store is None else self.task.store.load()
        if stored is not None:
            stored = self._go_on(*stored)
        history = History(total_steps=sum(done.steps for done in self.done))  # of a run that was stopped after its end
        rows = list(itertools.chain.from_iterable(done.rows for done in self.done))
        while len(self.done) < len(self.layers):
            history = self._train_layer(stored)
            self.done.append(Done(self._rows(history), history.total_steps, history.seconds))
            rows += self.done[-1].rows
            self._keep()
            stored = None
        return replace(history, rows=rows, seconds=self._seconds)

    def _layer(self, number: int) -> GradientFitted:
        return self.layers[number].eval()

    def _config(self, number: int) -> TrainConfig:
        config = replace(self.task.config, seed=derive(self.task.config.seed, "layer", number))
        if config.time_limit is None:
            return config
        left = config.time_limit - self._seconds
        return replace(config, time_limit=max(LEAST_SECONDS, left / (len(self.layers) - number)))


class _StageStore:
    """The store of a layer's run: beside its state it keeps the model so far, and what the layers before it did."""

    def __init__(self, stages: _Stages, stored: Any) -> None:
        self.stages, self.stored = stages, stored

    def save(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        stages = self.stages
        store = stages.task.store
        assert store is not None
        # In the last run, the model's own tensors are the run's.
        of_layer = len(stages.done) < len(stages.layers) or not tensors
        whole = {WHOLE + name: value for name, value in stages.model.state_dict().items()} if of_layer else {}
        store.save(tensors | whole, {"begun": True, **state, "layers": [vars(done) for done in stages.done]})

    def load(self) -> Any:
        return self.stored
