"""Distortions: how far a reconstruction is from x, in the terms an autoencoder is trained by.

A likelihood is one, by minus its logarithm, in nats. The others that stand here are no likelihoods: they integrate
to nothing, say so, and appear among an objective's terms under their own name.
"""

import abc

from torch import Tensor, nn

from likely.contract import Shape
from likely.likelihoods import Likelihood


class DistortionMeasure(nn.Module, abc.ABC):
    """Compares raw numbers (batch, raw_channels * c, ...) with x (batch, *x_shape)."""

    term: str
    """What it is called among an objective's terms: "distortion" where it is nats."""

    @abc.abstractmethod
    def forward(self, raw: Tensor, x: Tensor) -> Tensor:
        """How far each row is from what was made of it: (batch,)."""

    @abc.abstractmethod
    def mean(self, raw: Tensor) -> Tensor:
        """The reconstruction that raw stands for: (batch, *x_shape)."""


class Distortion(abc.ABC):
    """What is no likelihood and can be minimized all the same. Its subclasses are frozen dataclasses."""

    raw_channels: int
    """How many raw numbers it reads per value of x."""

    @abc.abstractmethod
    def check(self, domain: str, levels: int) -> None:
        """Refuses data that this is no distortion of.

        Raises:
            DataError: naming what fits.
        """

    @abc.abstractmethod
    def build(self, x_shape: Shape) -> DistortionMeasure:
        """The module that compares raw numbers with x of this shape."""


def measure_of(part: Likelihood | Distortion, x_shape: Shape) -> DistortionMeasure:
    """The measure of a distortion, or of a likelihood: minus its logarithm, in nats."""
    return _Surprisal(part, x_shape) if isinstance(part, Likelihood) else part.build(x_shape)


class _Surprisal(DistortionMeasure):
    term = "distortion"

    def __init__(self, likelihood: Likelihood, x_shape: Shape) -> None:
        super().__init__()
        self.observation = likelihood.build(x_shape)

    def forward(self, raw: Tensor, x: Tensor) -> Tensor:
        surprisal: Tensor = -self.observation(raw).log_prob(x)
        return surprisal

    def mean(self, raw: Tensor) -> Tensor:
        mean: Tensor = self.observation(raw).mean
        return mean
