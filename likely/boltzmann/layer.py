"""A machine that learns: with its negative phase, and what moves without a gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from likely.boltzmann.machine import Machine
from likely.boltzmann.negative import Learning, NegativePhase, contrast
from likely.boltzmann.units import VisibleUnits
from likely.contract import Batch, NoHeldOutObjective, Objective, Shape


class LearningMachine(nn.Module):
    """A machine and where its negative phase comes from.

    Args:
        units: kind of the visible units.
        learning: kind of the negative phase.
        n_visible: D.
        n_hidden: H.
    """

    def __init__(self, units: VisibleUnits, learning: Learning, n_visible: int, n_hidden: int) -> None:
        super().__init__()
        self.machine = Machine(units, n_visible, n_hidden)
        self.negative: NegativePhase = learning.build(n_hidden)
        self.hidden_mean: Tensor | None = None

    def start(self, v: Tensor, below: Machine | None = None) -> None:
        """Starting values from some rows (batch, D), and from the machine whose hidden units they are."""
        self.machine.start(v)
        # Upside down it knows of its rows what the machine below does, so whatever it learns makes the stack better.
        if below is not None and _fits_upside_down(self.machine, below):
            self.machine.start_upside_down(below)
        self.negative.start(self.machine, v)

    def contrast(self, v: Tensor) -> Tensor:
        """As `contrast`, (batch,); in training it notes where chains and offsets are to go."""
        total, hidden_mean = contrast(self.machine, self.negative, v)
        if self.training:
            self.hidden_mean = hidden_mean
        return total

    def move(self) -> None:
        """Moves chains and offsets, after a training step."""
        self.negative.move()
        if self.hidden_mean is not None:
            self.machine.follow(self.hidden_mean)
            self.hidden_mean = None


def _fits_upside_down(machine: Machine, below: Machine) -> bool:
    return below.units.discrete and len(machine.hidden_bias) >= len(below.visible_bias)


class Stage(NoHeldOutObjective):
    """A machine of a stack, learning from what the machines below it make of rows; those stay as they are.

    Args:
        x_shape: of the rows, which the lowest machine is given.
        layer: that learns.
        below: the machines under it, from the lowest.
    """

    def __init__(self, x_shape: Shape, layer: LearningMachine, below: Sequence[Machine]) -> None:
        super().__init__(x_shape)
        self.layer = layer
        self.below = tuple(below)  # in a tuple, where PyTorch looks for no parameters

    def initialize(self, batch: Batch) -> None:
        """As `GradientFitted.initialize`."""
        self.layer.start(drawn_up(batch.x.flatten(1), self.below), self.below[-1] if self.below else None)

    def after_step(self) -> None:
        """As `GradientFitted.after_step`."""
        self.layer.move()

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        return Objective(self.layer.contrast(drawn_up(x.flatten(1), self.below)))


@torch.no_grad()
def drawn_up(v: Tensor, machines: Sequence[Machine]) -> Tensor:
    """Hidden units of the last machine, drawn from the lowest one's visible units v (batch, D) up."""
    for machine in machines:
        v = machine.draw_hidden(machine.hidden_logits(v))
    return v
