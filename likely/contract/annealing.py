"""Energies whose constant can be estimated: by going to them from a distribution whose constant is known."""

import abc
from typing import Protocol

from torch import Tensor

from likely.contract.densities import Density, Energy


class AnnealingPath(Protocol):
    """Distributions f_t(s) / Z_t from one that is known whole, at t = 0, to one whose constant Z_1 is wanted."""

    @property
    def log_partition(self) -> Tensor:
        """log Z_0: (), nats, float64."""

    def draw(self, n: int) -> Tensor:
        """Independent states from the distribution at 0: (n, ...)."""

    def advance(self, states: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
        """One temperature on.

        Args:
            states: (n, ...).
            low: the temperature that they come from.
            high: the next one.

        Returns:
            log f_high - log f_low of each state as it came, (n,) float64, and the states after a move that leaves the
            distribution at `high` as it is.
        """

    def enumerated(self) -> Tensor | None:
        """log Z_1 by a sum over all states: (), nats, float64; None where they are too many."""


class AnnealedEnergy(Density, Energy):
    """Its energy is -log p(x) but for the constant at the end of a path, which annealed importance sampling estimates.

    -energy(x) - log Z_1 is log p(x), or in mean no more than that where the energy itself is random.
    """

    @abc.abstractmethod
    def annealing_path(self) -> AnnealingPath:
        """The path to the distribution whose constant the energy lacks."""
