"""Priors of a shape that can be seen, some places of which can be given to classes."""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from likely import rng
from likely.contract import Shape
from likely.variational.posteriors import LOG_TWO_PI, Gaussian, Transported
from likely.variational.priors import CodeDensity, Prior, PriorModule

N_QUADRATURE = 512
"""Points along a curve at which a density of what lies around it is summed."""


class ShapedPrior(Prior):
    """A fixed distribution whose first two values have a shape; the others are standard normal, and independent."""

    places: int
    """How many parts it has, alike in probability, of which each can be a class's own."""

    @abc.abstractmethod
    def build(self, z_size: int, x_shape: Shape) -> "ShapedModule":
        """As `Prior.build`; codes must have two values at least."""


class ShapedModule(PriorModule, abc.ABC):
    """A shaped prior over codes of a size."""

    def __init__(self, part: ShapedPrior, z_size: int) -> None:
        super().__init__()
        if z_size < 2:
            raise ValueError(f"{type(part).__name__} has its shape in two values of the code; set z_size=2 or more")
        self.places = part.places
        self.register_buffer("origin", torch.zeros(z_size), persistent=False)

    def given(self, posterior: Callable[[Tensor], Gaussian | Transported]) -> CodeDensity:
        """Itself."""
        return self

    def log_prob(self, z: Tensor) -> Tensor:
        """As `CodeDensity.log_prob`."""
        shaped, others = z.split([2, z.shape[1] - 2], 1)
        return self._log_prob(shaped) - 0.5 * (others.square() + LOG_TWO_PI).sum(1)

    def draw(self, n: int) -> Tensor:
        """As `CodeDensity.draw`: from all places alike."""
        return self.draw_at(rng.integers(self.places, n, like=self.get_buffer("origin")))

    def draw_at(self, place: Tensor) -> Tensor:
        """Codes (n, z_size), each from the place (n,) that it is told."""
        origin = self.get_buffer("origin")
        noise = rng.normal(len(place), *origin.shape, like=origin)
        shaped, others = noise.split([2, noise.shape[1] - 2], 1)
        return torch.cat([self._shaped(shaped, place), others], 1)

    @abc.abstractmethod
    def _log_prob(self, shaped: Tensor) -> Tensor:
        """log p of the first two values (batch, 2): (batch,), nats."""

    @abc.abstractmethod
    def _shaped(self, noise: Tensor, place: Tensor) -> Tensor:
        """The first two values (n, 2) at each place (n,), from standard normal noise (n, 2)."""


@dataclass(frozen=True)
class RingOfNormals(ShapedPrior):
    """Normals in a ring around the origin, each as a spoke: long away from the origin, narrow along the ring.

    Attributes:
        places: how many normals.
        radius: of the ring that their means lie on.
        length: standard deviation away from the origin.
        width: standard deviation along the ring.

    Reference: Adversarial Autoencoders (Makhzani et al., 2016), arXiv:1511.05644, section 2.3
    """

    places: int = 10
    radius: float = 2.0
    length: float = 0.4
    width: float = 0.15

    def __post_init__(self) -> None:
        _check(self, places=self.places, radius=self.radius, length=self.length, width=self.width)

    def build(self, z_size: int, x_shape: Shape) -> ShapedModule:
        """As `ShapedPrior.build`."""
        return _Ring(self, z_size)


class _Ring(ShapedModule):
    def __init__(self, part: RingOfNormals, z_size: int) -> None:
        super().__init__(part, z_size)
        self.radius, self.scales = part.radius, (part.length, part.width)

    def _spokes(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Directions outward and along the ring: (places, 2) each."""
        angle = torch.arange(self.places, device=like.device, dtype=like.dtype) * (2 * math.pi / self.places)
        outward = torch.stack([angle.cos(), angle.sin()], 1)
        return outward, torch.stack([-angle.sin(), angle.cos()], 1)

    def _log_prob(self, shaped: Tensor) -> Tensor:
        outward, along = self._spokes(shaped)
        length, width = self.scales
        off = ((shaped @ outward.T - self.radius) / length).square() + (shaped @ along.T / width).square()
        constant = math.log(self.places) + math.log(length * width) + LOG_TWO_PI
        return (-0.5 * off).logsumexp(1) - constant

    def _shaped(self, noise: Tensor, place: Tensor) -> Tensor:
        outward, along = (direction[place] for direction in self._spokes(noise))
        length, width = self.scales
        return (self.radius + length * noise[:, :1]) * outward + width * noise[:, 1:] * along


@dataclass(frozen=True)
class SwissRoll(ShapedPrior):
    """A spiral with noise around it: one curve that goes round the origin one and a half times.

    Attributes:
        places: equal parts of the curve, from the inside out, by its angle.
        radius: of its outer end; the inner end is a third as far from the origin.
        width: standard deviation of the noise.

    Reference: Adversarial Autoencoders (Makhzani et al., 2016), arXiv:1511.05644, section 2.3
    """

    places: int = 10
    radius: float = 2.5
    width: float = 0.1

    def __post_init__(self) -> None:
        _check(self, places=self.places, radius=self.radius, width=self.width)

    def build(self, z_size: int, x_shape: Shape) -> ShapedModule:
        """As `ShapedPrior.build`."""
        return _Roll(self, z_size)


class _Roll(ShapedModule):
    def __init__(self, part: SwissRoll, z_size: int) -> None:
        super().__init__(part, z_size)
        self.radius, self.width = part.radius, part.width

    def _curve(self, share: Tensor) -> Tensor:
        """Points (n, 2) of the curve at shares (n,) of its angle."""
        turned = 1.5 * math.pi * (1 + 2 * share)
        distance = self.radius * (1 + 2 * share) / 3
        return torch.stack([distance * turned.cos(), distance * turned.sin()], 1)

    def _log_prob(self, shaped: Tensor) -> Tensor:
        # The noise is as wide as several steps from point to point, so that their sum is the integral.
        share = (torch.arange(N_QUADRATURE, device=shaped.device, dtype=shaped.dtype) + 0.5) / N_QUADRATURE
        squares = (shaped.unsqueeze(1) - self._curve(share)).square().sum(2) / self.width**2
        constant = math.log(N_QUADRATURE) + 2 * math.log(self.width) + LOG_TWO_PI
        return (-0.5 * squares).logsumexp(1) - constant

    def _shaped(self, noise: Tensor, place: Tensor) -> Tensor:
        share = (place + rng.uniform_like(noise[:, 0])) / self.places
        return self._curve(share) + self.width * noise


def _check(part: ShapedPrior, *, places: int, **sizes: float) -> None:
    if places < 1:
        raise ValueError(f"{type(part).__name__}: places must be at least 1, got {places}")
    for name, size in sizes.items():
        if not 0 < size < math.inf:
            raise ValueError(f"{type(part).__name__}: {name} must be positive, got {size}")
