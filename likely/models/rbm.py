"""Restricted Boltzmann machine."""

import math
from typing import final

from torch import Tensor

from likely.boltzmann import (
    BernoulliUnits,
    Learning,
    LearningMachine,
    MachinePath,
    PersistentChains,
    VisibleUnits,
    annealed,
)
from likely.contract import (
    AnnealedEnergy,
    AnnealingPath,
    Batch,
    Decoder,
    Encoder,
    MarkovSampler,
    NoHeldOutObjective,
    Objective,
    Reconstructor,
    Shape,
)

SMALLEST_DEFAULT, LARGEST_DEFAULT = 16, 500
"""Hidden units, when nobody says how many: twice as many as values, within these bounds."""


@final
class RBM(NoHeldOutObjective, AnnealedEnergy, Encoder, Decoder, Reconstructor, MarkovSampler):
    """Restricted Boltzmann machine: p(v) is the sum over hidden bits h of exp(a . v + b . h + v W h) / Z.

    Z is what nobody knows; `likely.tasks.partition` estimates it. The code is the mean of h given v. A row is drawn by
    a chain that goes `burn_in` temperatures from values by themselves to the model, and then `burn_in` steps there.

    Args:
        x_shape: of one row.
        z_size: hidden units; by default twice as many as values, from 16 to 500.
        visible: kind of the visible units; by default bits. `likely.fit` chooses it by the data's domain.
        learning: where the negative phase comes from; by default persistent chains.
        burn_in: see above.

    Raises:
        ValueError: if `z_size` or `burn_in` is smaller than 1.

    Reference: Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002); persistent chains as
        Tieleman (2008), centering as in How to Center Deep Boltzmann Machines (Melchior et al., 2016),
        arXiv:1311.1354
    """

    def __init__(
        self,
        x_shape: Shape,
        z_size: int | None = None,
        *,
        visible: VisibleUnits | None = None,
        learning: Learning | None = None,
        burn_in: int = 1000,
    ) -> None:
        super().__init__(x_shape)
        n = math.prod(self.x_shape)
        self.z_size = min(LARGEST_DEFAULT, max(SMALLEST_DEFAULT, 2 * n)) if z_size is None else z_size
        self.z_shape = (self.z_size,)
        self.visible = BernoulliUnits() if visible is None else visible
        self.learning = PersistentChains() if learning is None else learning
        self.burn_in = burn_in
        for name, value in (("z_size", self.z_size), ("burn_in", burn_in)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.layer = LearningMachine(self.visible, self.learning, n, self.z_size)

    @property
    def discrete(self) -> bool:
        """Whether the visible units are bits."""
        return self.layer.machine.units.discrete

    def annealing_path(self) -> AnnealingPath:
        """From the values by themselves to the machine."""
        return MachinePath(self.layer.machine)

    def initialize(self, batch: Batch) -> None:
        """Begins with the values by themselves, as they are in the rows."""
        self.layer.start(batch.x.flatten(1))

    def after_step(self) -> None:
        """Moves the chains, and the offsets of the hidden units."""
        self.layer.move()

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        return Objective(self.layer.contrast(x.flatten(1)))

    def _energy(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self.layer.machine.free_energy(x.flatten(1))

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self.layer.machine.encode(x.flatten(1))

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return self.layer.machine.decode(z).view(-1, *self.x_shape)

    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._decode(self._encode(x, None), None)

    def _begin(self, n: int, condition: Tensor | None) -> Tensor:
        return annealed(self.layer.machine, n, self.burn_in).view(n, *self.x_shape)

    def _step(self, state: Tensor, condition: Tensor | None) -> Tensor:
        return self.layer.machine.gibbs(state.flatten(1)).view_as(state)
