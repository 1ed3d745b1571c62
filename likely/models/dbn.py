"""Deep belief network."""

import itertools
import math
from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely import rng
from likely.boltzmann import (
    BernoulliUnits,
    Learning,
    LearningMachine,
    Machine,
    MachinePath,
    PersistentChains,
    Stage,
    VisibleUnits,
    annealed,
    drawn_up,
)
from likely.contract import (
    AnnealedEnergy,
    AnnealingPath,
    Encoder,
    GradientFitted,
    MarkovSampler,
    Objective,
    Shape,
    Stacked,
)

SMALLEST_DEFAULT, LARGEST_DEFAULT = 16, 500
"""Units of the first hidden layer, when nobody says how many: twice as many as values, within these bounds."""


@final
class DBN(Stacked, AnnealedEnergy, Encoder, MarkovSampler):
    """Deep belief network: p(x) is the sum over hidden bits of p(x | h1) p(h1 | h2) ... p(h_top-1, h_top).

    The highest two layers are a restricted Boltzmann machine, those below go down from it. `train` trains machine
    after machine, each on hidden bits of the one below. Where there is room for it, a machine begins as the one below
    upside down, so that what it learns raises the bound.

    Its energy is minus a bound of log p(x) Z, by draws of the hidden bits given x: in mean no less than -log p(x) Z,
    with the Z of the highest machine. The code is the mean of the highest units given the means of those below. A row
    is drawn by a chain in the highest machine, which goes `burn_in` temperatures from independent units to the machine
    and then `burn_in` steps there, and from it down.

    Args:
        x_shape: of one row.
        hidden: units of each hidden layer, from the lowest; by default two layers, the lower of twice as many units as
            values (16 to 500), the higher of twice as many as that.
        visible: kind of the visible units; by default bits. `likely.fit` chooses it by the data's domain.
        learning: where the negative phase of each machine comes from; by default persistent chains.
        n_draws: of the hidden bits, for an energy: more draws, a tighter bound.
        burn_in: see above.

    Raises:
        ValueError: if there are fewer than two hidden layers, or a number is smaller than 1.

    Reference: A Fast Learning Algorithm for Deep Belief Nets (Hinton et al., 2006); its bound as On the Quantitative
        Analysis of Deep Belief Networks (Salakhutdinov & Murray, 2008), section 5, by importance weights
    """

    def __init__(
        self,
        x_shape: Shape,
        hidden: tuple[int, ...] | None = None,
        *,
        visible: VisibleUnits | None = None,
        learning: Learning | None = None,
        n_draws: int = 16,
        burn_in: int = 1000,
    ) -> None:
        super().__init__(x_shape)
        n = math.prod(self.x_shape)
        first = min(LARGEST_DEFAULT, max(SMALLEST_DEFAULT, 2 * n))
        self.hidden = (first, 2 * first) if hidden is None else tuple(hidden)
        if len(self.hidden) < 2:
            raise ValueError(f"hidden must name two layers or more, got {self.hidden}; one layer is an RBM")
        for name, value in (("hidden", min(self.hidden)), ("n_draws", n_draws), ("burn_in", burn_in)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.z_shape = (self.hidden[-1],)
        self.visible = BernoulliUnits() if visible is None else visible
        self.learning = PersistentChains() if learning is None else learning
        self.n_draws, self.burn_in = n_draws, burn_in
        kinds = (self.visible, *[BernoulliUnits()] * (len(self.hidden) - 1))
        self.layers = nn.ModuleList(
            LearningMachine(kind, self.learning, below, above)
            for kind, (below, above) in zip(kinds, itertools.pairwise((n, *self.hidden)), strict=True)
        )

    @property
    def discrete(self) -> bool:
        """Whether the visible units are bits."""
        return self._machines[0].units.discrete

    @property
    def _machines(self) -> list[Machine]:
        """From the lowest."""
        return [layer.machine for layer in self._learning_machines]

    @property
    def _learning_machines(self) -> list[LearningMachine]:
        return [layer for layer in self.layers if isinstance(layer, LearningMachine)]

    def stages(self) -> Sequence[GradientFitted]:
        """Machine after machine, from the lowest."""
        machines = self._machines
        return [Stage(self.x_shape, layer, machines[:i]) for i, layer in enumerate(self._learning_machines)]

    def annealing_path(self) -> AnnealingPath:
        """From independent units to the highest machine."""
        return MachinePath(self._machines[-1])

    def after_step(self) -> None:
        """Moves the chains, and the offsets of the hidden units."""
        for layer in self._learning_machines:
            layer.move()

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        v, terms = x.flatten(1), {}
        for number, layer in enumerate(self._learning_machines, 1):
            terms[f"layer_{number}"] = layer.contrast(v)
            v = drawn_up(v, [layer.machine])
        return Objective(torch.stack(list(terms.values())).sum(0), terms)

    def _energy(self, x: Tensor, condition: Tensor | None) -> Tensor:
        draws = torch.stack([self._log_weight(x.flatten(1)) for _ in range(self.n_draws)])
        return math.log(self.n_draws) - draws.logsumexp(0)

    def _log_weight(self, v: Tensor) -> Tensor:
        """log p(v, h) Z - log q(h | v) for a draw of the hidden bits, the noise the same for all rows: (batch,)."""
        *below, top = self._machines
        log_weight = v.new_zeros(len(v))
        for machine in below:
            logits = machine.hidden_logits(v)
            h = (rng.uniform_like(logits[:1]) < logits.sigmoid()).to(v.dtype)
            log_q = -F.binary_cross_entropy_with_logits(logits, h, reduction="none").sum(-1)
            log_weight = log_weight + machine.log_likelihood(v, h) - log_q
            v = h
        return log_weight - top.free_energy(v)

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        code = x.flatten(1)
        for machine in self._machines:
            code = machine.encode(code)
        return code

    def _begin(self, n: int, condition: Tensor | None) -> Tensor:
        return annealed(self._machines[-1], n, self.burn_in)

    def _step(self, state: Tensor, condition: Tensor | None) -> Tensor:
        return self._machines[-1].gibbs(state)

    def _observe(self, state: Tensor, condition: Tensor | None) -> Tensor:
        for machine in reversed(self._machines[:-1]):
            state = machine.draw_visible(state)
        return state.view(len(state), *self.x_shape)
