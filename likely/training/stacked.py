"""Models made of models: one after another is trained, on what those below it make of the rows."""

import itertools
from dataclasses import replace

from likely.contract import GradientFitted, Stacked
from likely.rng import derive
from likely.training.config import LEAST_SECONDS, TrainConfig
from likely.training.descent import Task
from likely.training.history import History
from likely.training.stages import Done, Stages


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


class _StagesOfStack(Stages):
    whole = False

    def __init__(self, model: Stacked, task: Task) -> None:
        super().__init__(model, task, len(model.stages()))
        self.machines = model.stages()

    def run(self) -> History:
        stored = None if self.task.store is None else self.task.store.load()
        if stored is not None:
            stored = self._go_on(*stored)
        history = History(total_steps=sum(done.steps for done in self.done))  # of a run that was stopped after its end
        rows = list(itertools.chain.from_iterable(done.rows for done in self.done))
        while len(self.done) < self.n_layers:
            history = self._train_layer(stored)
            self.done.append(Done(self._rows(history), history.total_steps, history.seconds))
            rows += self.done[-1].rows
            self._keep()
            stored = None
        return replace(history, rows=rows, seconds=self._seconds)

    def _layer(self, number: int) -> GradientFitted:
        return self.machines[number].eval()

    def _config(self, number: int) -> TrainConfig:
        config = replace(self.task.config, seed=derive(self.task.config.seed, "layer", number))
        if config.training_seconds is None:
            return config
        left = config.training_seconds - self._seconds
        return replace(config, time_limit=max(LEAST_SECONDS, left / (self.n_layers - number)), reserved=0.0)
