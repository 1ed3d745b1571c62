"""What the machine itself would have: the negative phase of learning, from chains of several kinds."""

import abc
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from likely import rng
from likely.boltzmann.machine import Machine
from likely.contract import drawn_rows


class Learning(abc.ABC):
    """Where the negative phase comes from. Its subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def build(self, n_hidden: int) -> "NegativePhase":
        """The module for a machine of so many hidden units."""


class NegativePhase(nn.Module):
    """Draws the rows that learning pushes away from, and keeps the chains they come from."""

    def start(self, machine: Machine, v: Tensor) -> None:
        """Lets its chains begin at some rows (batch, D); does nothing by default."""

    @abc.abstractmethod
    def draw(self, machine: Machine, v: Tensor, logits: Tensor) -> Tensor:
        """Rows (n, D) of the machine, for training rows v (batch, D) with these `hidden_logits`."""

    def note(self, logits: Tensor) -> None:
        """Is told the `hidden_logits` of what it drew; does nothing by default."""

    def move(self) -> None:
        """Lets the chains stand where they went in the last step; does nothing by default."""


@dataclass(frozen=True)
class ContrastiveDivergence(Learning):
    """Chains that begin at the training rows, and go a few steps.

    Attributes:
        steps: of each chain; the fewer, the more does learning stop short of the likelihood's maximum.

    Reference: Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002)
    """

    steps: int = 1

    def __post_init__(self) -> None:
        _check(self, "steps", 1)

    def build(self, n_hidden: int) -> NegativePhase:
        """As `Learning.build`."""
        return _FromRows(self.steps)


class _FromRows(NegativePhase):
    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    @torch.no_grad()
    def draw(self, machine: Machine, v: Tensor, logits: Tensor) -> Tensor:
        return machine.gibbs(machine.draw_visible(machine.draw_hidden(logits)), self.steps - 1)


@dataclass(frozen=True)
class PersistentChains(Learning):
    """Chains that go on from step to step, while the machine changes slowly under them.

    Attributes:
        n_chains: how many.
        steps: of each chain per training step.

    Reference: Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient (Tieleman, 2008)
    """

    n_chains: int = 128
    steps: int = 1

    def __post_init__(self) -> None:
        _check(self, "n_chains", 1)
        _check(self, "steps", 1)

    def build(self, n_hidden: int) -> NegativePhase:
        """As `Learning.build`."""
        return _GoingOn(self, n_hidden)


class _Chains(NegativePhase):
    """Hidden units that stay from step to step, as bits: no average of them is ever taken."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("hidden", torch.zeros(*shape, dtype=torch.bool))
        self.coming: Tensor | None = None

    @torch.no_grad()
    def start(self, machine: Machine, v: Tensor) -> None:
        hidden = self.get_buffer("hidden")
        rows = drawn_rows(v, hidden[..., 0].numel(), "chains")
        hidden.copy_(machine.draw_hidden(machine.hidden_logits(rows)).view_as(hidden))

    def move(self) -> None:
        if self.coming is not None:
            self.get_buffer("hidden").copy_(self.coming)
            self.coming = None


class _GoingOn(_Chains):
    def __init__(self, part: PersistentChains, n_hidden: int) -> None:
        super().__init__(part.n_chains, n_hidden)
        self.steps = part.steps

    @torch.no_grad()
    def draw(self, machine: Machine, v: Tensor, logits: Tensor) -> Tensor:
        hidden = self.get_buffer("hidden").to(v.dtype)
        return machine.gibbs(machine.draw_visible(hidden), self.steps - 1)

    @torch.no_grad()
    def note(self, logits: Tensor) -> None:
        # The half of the chain's step that is known already: the same product is what learning differentiates.
        if self.training:
            self.coming = rng.coins(logits.sigmoid())


@dataclass(frozen=True)
class ParallelTempering(Learning):
    """Persistent chains at several temperatures, which change places: the hot ones find what the cold ones miss.

    Attributes:
        n_temperatures: from 0, where values are by themselves, to 1, the machine.
        n_chains: at each temperature.
        steps: of each chain per training step, each with a round of exchanges.

    Reference: Tempered Markov Chain Monte Carlo for training of Restricted Boltzmann Machines (Desjardins et al., 2010)
    """

    n_temperatures: int = 10
    n_chains: int = 64
    steps: int = 1

    def __post_init__(self) -> None:
        _check(self, "n_temperatures", 2)
        _check(self, "n_chains", 1)
        _check(self, "steps", 1)

    def build(self, n_hidden: int) -> NegativePhase:
        """As `Learning.build`."""
        return _Tempered(self, n_hidden)


class _Tempered(_Chains):
    def __init__(self, part: ParallelTempering, n_hidden: int) -> None:
        super().__init__(part.n_temperatures, part.n_chains, n_hidden)
        self.steps = part.steps

    @torch.no_grad()
    def draw(self, machine: Machine, v: Tensor, logits: Tensor) -> Tensor:
        hidden = self.get_buffer("hidden").to(v.dtype)
        t = torch.linspace(0, 1, len(hidden), dtype=v.dtype, device=v.device).view(-1, 1, 1)
        for _ in range(self.steps):
            visible = machine.draw_visible(hidden, t)
            visible, seen = exchanged(machine, visible, machine.hidden_logits(visible), t)
            hidden = machine.draw_hidden(seen, t)
        if self.training:
            self.coming = hidden.bool()
        return visible[-1]


@torch.no_grad()
def exchanged(machine: Machine, v: Tensor, logits: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    """Rows at neighboring temperatures change places, with the odds that leave the distribution at each as it is.

    Args:
        machine: whose distributions they are of.
        v: (n_temperatures, n_chains, D).
        logits: its `hidden_logits`.
        t: (n_temperatures, 1, 1), rising.

    Returns:
        v and logits as they stand now.
    """
    n, n_chains = v.shape[:2]
    place = torch.arange(n, device=v.device)
    # Pairs (0, 1), (2, 3), ... or (1, 2), (3, 4), ..., by the toss of a coin that the host does not look at.
    odd = rng.integers(2, like=v)
    partner = (((place - odd) ^ 1) + odd).clamp(0, n - 1)
    partner = torch.where(partner[partner] == place, partner, place)
    here = machine.log_weight(v, logits, t)
    there = machine.log_weight(v, logits, t[partner])
    gain = (there - here) + (there - here)[partner]
    chance = rng.uniform(n, n_chains, like=v)[torch.minimum(place, partner)]
    goes = (chance.log() < gain).unsqueeze(-1)
    return torch.where(goes, v[partner], v), torch.where(goes, logits[partner], logits)


def contrast(machine: Machine, phase: NegativePhase, v: Tensor) -> tuple[Tensor, Tensor]:
    """What learning lowers, (batch,): the free energy of rows, against that of rows of the machine itself.

    Its gradient is that of minus the log-likelihood, as far as the chains have come to the machine's distribution.

    Args:
        machine: that learns.
        phase: its negative phase.
        v: (batch, D).

    Returns:
        The contrast (batch,), and the mean of the hidden units over the rows (H,), without gradient.
    """
    logits = machine.hidden_logits(v)
    own = phase.draw(machine, v, logits.detach())
    own_logits = machine.hidden_logits(own)
    phase.note(own_logits.detach())
    pushed = machine.free_energy(own, own_logits)
    pushed = pushed if pushed.shape == v.shape[:1] else pushed.mean()
    return machine.free_energy(v, logits) - pushed, logits.detach().sigmoid().mean(0)


def _check(part: Learning, name: str, least: int) -> None:
    if getattr(part, name) < least:
        raise ValueError(f"{type(part).__name__}: {name} must be at least {least}, got {getattr(part, name)}")
