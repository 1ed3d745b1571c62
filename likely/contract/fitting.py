"""How a model is fitted: by gradients or in closed form, exactly one of the two."""

import abc
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

from torch import Tensor, nn

from likely.contract.model import Batch, Model, Objective, Player


class GradientFitted(Model):
    """Fitted by stochastic gradients. `forward` is the objective: what data-parallel wrappers and hooks see."""

    @final  # type: ignore[misc]
    def forward(self, x: Tensor, condition: Tensor | None = None, player: str = "") -> Objective:
        """The objective of one player.

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.
            player: a name from `players()`.

        Returns:
            The objective row by row.

        Raises:
            ValueError: if a shape, the dtype or the condition is not what the model was built for.
        """
        self._check("x", x, self.x_shape, condition)
        return self._objective(x, condition, player)

    def players(self) -> Mapping[str, Player]:
        """Who moves, in order, at each step. One player with every parameter unless a model says otherwise."""
        return {"": Player(tuple(self.parameters()))}

    def initialize(self, batch: Batch) -> None:
        """Sets starting values from some training rows, once, before the first step. Does nothing by default."""

    def after_step(self) -> None:
        """Moves what moves without a gradient (codebooks, averages), after a training step only."""

    def remarks(self, history: Sequence[Mapping[str, float]]) -> list[str]:
        """What went wrong in a training, a sentence each; nothing by default.

        Args:
            history: a row of named numbers per validation, as `likely.training.History` has them.
        """
        return []

    @abc.abstractmethod
    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective: ...


class Layered(GradientFitted):
    """Made of layers that can be trained one by one, each on the codes of those below, before the whole is."""

    pretraining: Any
    """How (`likely.pretraining.Greedy`), or None to train the whole at once."""
    measure: Any
    """A module that says how far raw numbers over x are from x, (batch,): what the lowest layer lowers."""

    @abc.abstractmethod
    def layers(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """From x to the code: pairs of modules, up to a layer's code and down again, that share the model's weights.

        Raises:
            ValueError: if the model's network cannot be cut into layers.
        """


class NoHeldOutObjective(GradientFitted):
    """Its objective on held-out rows chooses nothing (a game, contrastive divergence).

    Training then neither stops early nor picks a best step, and keeps an average of the weights instead.
    """


class Stacked(NoHeldOutObjective):
    """Made of models that are trained one after another, each on what those below it make of the rows.

    `train` trains them in turn; its own objective is theirs at once, for a loop of one's own.
    """

    @abc.abstractmethod
    def stages(self) -> Sequence[GradientFitted]:
        """The models in the order of training. Each takes the rows x, and shares the weights of the whole."""


class ClosedFormFitted(Model):
    """Fitted at once, in one or a few passes over the rows."""

    @final
    def solve(self, batches: Iterable[Batch]) -> None:
        """Fits the model.

        Args:
            batches: the training rows in pieces; may be gone through more than once.

        Raises:
            ValueError: if a shape or the condition is wrong, or there are too few rows.
        """
        self._solve(batches)

    @abc.abstractmethod
    def _solve(self, batches: Iterable[Batch]) -> None: ...
