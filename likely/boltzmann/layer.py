"""A machine that learns: with its negative phase, and what moves without a gradient."""

from torch import Tensor, nn

from likely.boltzmann.machine import Machine
from likely.boltzmann.negative import Learning, NegativePhase, contrast
from likely.boltzmann.units import VisibleUnits


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

    def start(self, v: Tensor) -> None:
        """Starting values from some rows (batch, D)."""
        self.machine.start(v)
        self.negative.start()

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
