"""Stages: a model trained part after part, in runs that one store and one history hold together."""

import abc
import functools
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from likely.contract import GradientFitted
from likely.errors import Diverged
from likely.training.config import TrainConfig
from likely.training.descent import Task, descend
from likely.training.history import History, Progress
from likely.training.identity import check_identity, identity_of
from likely.training.plan import choose_batch_size, choose_total_steps

WHOLE = "whole/"
"""Before the names of the model's own tensors in a stored state."""


@dataclass(frozen=True)
class Done:
    """A layer that is trained: its part of the history, in numbers that JSON can hold."""

    rows: list[dict[str, float]]
    steps: int
    seconds: float


class Stages(abc.ABC):
    """What is done of a model's parts, and what is to do.

    Args:
        model: on its device already.
        task: what `train` was asked for.
        n_layers: how many parts.
    """

    whole: bool
    """Whether the whole is trained, too, once its parts are; it has begun before they do."""

    def __init__(self, model: GradientFitted, task: Task, n_layers: int) -> None:
        self.model, self.task, self.n_layers = model, task, n_layers
        self.done: list[Done] = []
        # A pass over the data, which every layer's run would take again.
        self.identify = functools.cache(lambda: identity_of(model, task.feed, task.split, task.config))

    @abc.abstractmethod
    def _layer(self, number: int) -> GradientFitted:
        """A part as a model of its own."""

    @abc.abstractmethod
    def _config(self, number: int) -> TrainConfig:
        """Of a part, or of the whole: a function of what was asked for and of what the parts before it took."""

    def _train_layer(self, stored: Any) -> History:
        number = len(self.done)
        layer = self._layer(number)
        try:
            # A stack's layer begins by what those below it have learned; others began with the whole.
            return descend(layer, self._task(stored), started=self.whole, identify=self.identify)
        except Diverged as error:
            raise Diverged(f"layer {number + 1} of {self.n_layers}: {error}") from error
        finally:
            layer.eval()

    def _rows(self, history: History) -> list[dict[str, float]]:
        """Of one layer, or of the whole, as they stand in the history of all."""
        number = len(self.done) + 1
        layer = {"layer": number} if number <= self.n_layers else {}
        return [{**layer, **row, "seconds": self._seconds + row["seconds"]} for row in history.rows]

    @property
    def _seconds(self) -> float:
        return sum(done.seconds for done in self.done)

    def _task(self, stored: Any) -> Task:
        """Of the layer whose turn it is, or of the whole."""
        store = None if self.task.store is None else StageStore(self, stored)
        return replace(self.task, config=self._config(len(self.done)), store=store, report=self._tell)

    def _planned_steps(self, number: int) -> int:
        """Of a layer or the whole; 0 under a time limit."""
        config, n_train = self._config(number), len(self.task.split.train)
        players = self.model.players().values() if number == self.n_layers else ()
        per_step = sum(player.steps for player in players) or 1
        return choose_total_steps(config, n_train, per_step * choose_batch_size(config, n_train))

    # What is told and kept meanwhile.

    def _tell(self, now: Progress) -> None:
        """Where all layers and the whole are, taken together."""
        number, n = len(self.done), self.n_layers
        step = sum(done.steps for done in self.done) + now.step
        last = n if self.whole else n - 1
        later = sum(map(self._planned_steps, range(number + 1, last + 1)))  # 0 under a time limit: nobody knows
        seconds = self._seconds + now.seconds
        total, remaining = 0, now.remaining
        if now.total_steps and (later or number == last):
            total = step - now.step + now.total_steps + later
        if self.task.config.training_seconds is not None and number < last:
            remaining = max(0.0, self.task.config.training_seconds - seconds)
        elif remaining is not None:
            remaining += later * seconds / max(1, step)
        row = {"layer": number + 1, **now.row} if number < n else now.row
        doing = f"layer {number + 1} of {n}" if number < n else "fine-tuning"
        self.task.report(Progress(step, total, seconds, remaining, row, doing))

    def _keep(self) -> None:
        """Between two layers: what is stored holds no run that has begun."""
        if self.task.store is not None:
            StageStore(self, None).save({}, {"identity": self.identify(), "step": 0, "begun": False})

    def _go_on(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> Any:
        """Puts back what was stored; what of it is the state of a run that has begun, or None."""
        check_identity(state["identity"], self.identify())
        self.done = [Done(**done) for done in state["layers"]]
        whole = {name.removeprefix(WHOLE): value for name, value in tensors.items() if name.startswith(WHOLE)}
        if whole:
            self.model.load_state_dict(whole)
        return (tensors, state) if state["begun"] else None


class StageStore:
    """The store of a layer's run: beside its state it keeps the model so far, and what the layers before it did."""

    def __init__(self, stages: Stages, stored: Any) -> None:
        self.stages, self.stored = stages, stored

    def save(self, tensors: dict[str, Tensor], state: dict[str, Any]) -> None:
        stages = self.stages
        store = stages.task.store
        assert store is not None
        # In the last run, the model's own tensors are the run's.
        of_layer = len(stages.done) < stages.n_layers or not tensors
        whole = {WHOLE + name: value for name, value in stages.model.state_dict().items()} if of_layer else {}
        store.save(tensors | whole, {"begun": True, **state, "layers": [vars(done) for done in stages.done]})

    def load(self) -> Any:
        return self.stored
