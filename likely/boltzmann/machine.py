"""A restricted Boltzmann machine: its energy, its conditionals, and its distributions at all temperatures."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely import rng
from likely.boltzmann.units import Units, VisibleUnits, bits

INITIAL_SCALE = 0.01
"""Of the weights: as good as none, so that the first chains are where they should be."""

OFFSET_RATE = 0.01
"""How fast the hidden units' offsets follow their means."""

MAX_ENUMERATED = 20
"""Hidden units, at most, whose states are gone through one by one."""

STATES_AT_ONCE = 2**14


class Machine(nn.Module):
    """p(v, h) = exp(base(v) + (s(v) - m) . a + (h - l) . (b + (s(v) - m) W)) / Z, h in {0, 1}^H.

    s is what the hidden units see of the visible ones, m its mean over the data, and l the mean of the hidden units:
    the distribution is that of any such machine, its gradient better conditioned (centering).

    Args:
        units: kind of the visible units.
        n_visible: D.
        n_hidden: H.

    Reference: Information processing in dynamical systems (Smolensky, 1986); centered as in How to Center Deep
        Boltzmann Machines (Melchior et al., 2016), arXiv:1311.1354
    """

    def __init__(self, units: VisibleUnits, n_visible: int, n_hidden: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(INITIAL_SCALE * rng.normal(n_visible, n_hidden))
        self.visible_bias = nn.Parameter(torch.zeros(n_visible))
        self.hidden_bias = nn.Parameter(torch.zeros(n_hidden))
        self.register_buffer("hidden_offset", torch.full((n_hidden,), 0.5))
        self.units: Units = units.build(n_visible)

    @torch.no_grad()
    def start(self, v: Tensor) -> None:
        """Visible units are at first as often on, or as spread, as in some rows (batch, D)."""
        self.units.start(v)
        self.visible_bias.copy_(self.units.base_field)

    @torch.no_grad()
    def start_upside_down(self, below: "Machine") -> None:
        """What it says of its visible units is at first what the machine below says of them, its hidden ones.

        Hidden units beyond those that the machine below has visible ones stay as they are, next to independent.
        """
        n, mean = len(below.visible_bias), self.units.offset
        self.weight[:, :n] = below.weight.T
        self.visible_bias.copy_(below.hidden_bias)
        # The machine below measures these units from another offset.
        shift = (mean - below.get_buffer("hidden_offset")) @ below.weight.T
        self.hidden_bias[:n] = below.visible_bias + shift
        self.get_buffer("hidden_offset")[:n] = below.units.offset

    def hidden_logits(self, v: Tensor) -> Tensor:
        """b + (s(v) - m) W, (..., H): of h given v (..., D)."""
        return (self.units.statistic(v) - self.units.offset) @ self.weight + self.hidden_bias

    def visible_field(self, h: Tensor) -> Tensor:
        """a + W (h - l), (..., D): what the visible units are under, given h (..., H)."""
        return F.linear(h - self.get_buffer("hidden_offset"), self.weight) + self.visible_bias

    def encode(self, v: Tensor) -> Tensor:
        """The mean of h given v, (..., H)."""
        return self.hidden_logits(v).sigmoid()

    def decode(self, h: Tensor) -> Tensor:
        """The mean of v given h, (..., D)."""
        return self.units.mean(self.visible_field(h))

    def free_energy(self, v: Tensor, logits: Tensor | None = None) -> Tensor:
        """-log of the sum over h of p(v, h) Z, (...,).

        Args:
            v: (..., D).
            logits: its `hidden_logits`, where they are known already.
        """
        return -self.log_weight(v, self.hidden_logits(v) if logits is None else logits)

    def log_weight(self, v: Tensor, logits: Tensor, t: float | Tensor = 1.0) -> Tensor:
        """log p(v) Z at temperature t, (...,): at 0 of the visible units by themselves, at 1 of the machine.

        Args:
            v: (..., D).
            logits: its `hidden_logits`.
            t: a number, or a tensor that stands before the last two axes of v, (..., 1, 1).
        """
        own, offset = self.units, self.units.offset
        field = _at(t, own.base_field, self.visible_bias)
        # Sums of products, not products of matrices: those would run in the precision of networks.
        hidden = (F.softplus(t * logits) - t * logits * self.get_buffer("hidden_offset")).sum(-1)
        visible = (own.statistic(v) * field).sum(-1) - _rows(t) * (offset * self.visible_bias).sum()
        return own.log_base(v, t) + visible + hidden

    def log_ratio(self, v: Tensor, logits: Tensor, low: float, high: float) -> Tensor:
        """How much `log_weight` grows from temperature `low` to `high`: (batch,), without the digits they share."""
        own, step = self.units, high - low
        field = self.visible_bias - own.base_field
        visible = (own.statistic(v) * field).sum(-1) - (own.offset * self.visible_bias).sum()
        base = own.log_base(v, 1.0) - own.log_base(v, 0.0)  # in a line from one to the other
        hidden = (logits * self.get_buffer("hidden_offset")).sum(-1)
        return step * (base + visible - hidden) + (F.softplus(high * logits) - F.softplus(low * logits)).sum(-1)

    def log_likelihood(self, v: Tensor, h: Tensor) -> Tensor:
        """log p(v | h), (...,): v (..., D), h (..., H)."""
        field = self.visible_field(h)
        return self.units.log_base(v) + (self.units.statistic(v) * field).sum(-1) - self.units.log_partition(field)

    def draw_hidden(self, logits: Tensor, t: float | Tensor = 1.0) -> Tensor:
        """h given v, of which `hidden_logits` came, at temperature t."""
        return bits(t * logits)

    def draw_visible(self, h: Tensor, t: float | Tensor = 1.0) -> Tensor:
        """v given h at temperature t."""
        return self.units.draw(_at(t, self.units.base_field, self.visible_field(h)), t)

    def draw_base(self, n: int) -> Tensor:
        """v at temperature 0: (n, D)."""
        return self.units.draw(self.units.base_field.expand(n, -1), 0.0)

    @property
    def base_log_partition(self) -> Tensor:
        """log Z at temperature 0, float64."""
        own, n_hidden = self.units, len(self.hidden_bias)
        return own.log_partition(own.base_field.double(), 0.0) + n_hidden * math.log(2)

    def gibbs(self, v: Tensor, steps: int = 1) -> Tensor:
        """v after so many times h given v, and v given h."""
        for _ in range(steps):
            v = self.draw_visible(self.draw_hidden(self.hidden_logits(v)))
        return v

    @torch.no_grad()
    def follow(self, hidden_mean: Tensor) -> None:
        """Moves the hidden offsets toward a mean of h (H,), and the visible biases so that p(v, h) stays."""
        offset = self.get_buffer("hidden_offset")
        step = OFFSET_RATE * (hidden_mean.to(offset.dtype) - offset)
        offset.add_(step)
        self.visible_bias.add_(self.weight @ step)

    @torch.no_grad()
    def log_partition(self) -> Tensor | None:
        """log Z at temperature 1 by going through all states of h, float64; None where they are too many."""
        n_hidden = len(self.hidden_bias)
        if n_hidden > MAX_ENUMERATED:
            return None
        weight, offset = self.weight.double(), self.get_buffer("hidden_offset").double()
        exponents = 2 ** torch.arange(n_hidden, device=weight.device)
        pieces = []
        for start in range(0, 2**n_hidden, STATES_AT_ONCE):
            number = torch.arange(start, min(start + STATES_AT_ONCE, 2**n_hidden), device=weight.device)
            h = (number[:, None] // exponents % 2).double() - offset
            field = self.visible_bias.double() + h @ weight.T
            constant = h @ self.hidden_bias.double() - field @ self.units.offset.double()
            pieces.append((constant + self.units.log_partition(field)).logsumexp(0))
        return torch.stack(pieces).logsumexp(0)


def _at(t: float | Tensor, base: Tensor, own: Tensor) -> Tensor:
    """A field at temperature t, between that at 0 and that at 1."""
    return own if isinstance(t, float) and t == 1 else (1 - t) * base + t * own


def _rows(t: float | Tensor) -> float | Tensor:
    """t before numbers of rows, where the axis of values is gone."""
    return t.squeeze(-1) if isinstance(t, Tensor) else t
