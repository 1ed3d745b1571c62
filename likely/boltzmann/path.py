"""From values by themselves to a machine, temperature by temperature."""

from torch import Tensor

from likely.boltzmann.machine import Machine


class MachinePath:
    """The distributions of a machine's visible units at temperatures from 0 to 1; an `AnnealingPath`.

    At 0 values are by themselves, as often on, or as spread, as in the data: the base-rate machine.

    Reference: On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov & Murray, 2008), section 4.1
    """

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    @property
    def log_partition(self) -> Tensor:
        """As `AnnealingPath.log_partition`."""
        return self.machine.base_log_partition

    def draw(self, n: int) -> Tensor:
        """As `AnnealingPath.draw`: (n, D)."""
        return self.machine.draw_base(n)

    def advance(self, states: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
        """As `AnnealingPath.advance`."""
        logits = self.machine.hidden_logits(states)
        log_weight = self.machine.log_ratio(states.double(), logits.double(), low, high)
        return log_weight, self.machine.draw_visible(self.machine.draw_hidden(logits, high), high)

    def enumerated(self) -> Tensor | None:
        """As `AnnealingPath.enumerated`."""
        return self.machine.log_partition()


def annealed(machine: Machine, n: int, steps: int) -> Tensor:
    """Rows that come from the base along `steps` temperatures: a better place to begin than any single one, (n, D)."""
    path, v = MachinePath(machine), machine.draw_base(n)
    for step in range(steps):
        _, v = path.advance(v, step / steps, (step + 1) / steps)
    return v
