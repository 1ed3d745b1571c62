"""Penalties: what an autoencoder pays for its code besides the distortion."""

import abc

from torch import Tensor, nn

from likely.contract import Shape
from likely.networks import Codec


class PenaltyTerm(nn.Module, abc.ABC):
    """What is added to the distortion of each row, and what becomes of the code before it is decoded."""

    def bottleneck(self, z: Tensor) -> Tensor:
        """The code (batch, z_size) as the decoder is given it: as it is, unless a penalty says otherwise."""
        return z

    @abc.abstractmethod
    def forward(self, codec: Codec, x: Tensor, z: Tensor) -> Tensor:
        """What each row pays, weighted, (batch,); the same under `torch.no_grad`.

        Args:
            codec: whose `encode` made the code.
            x: (batch, *x_shape), what was encoded.
            z: (batch, z_size), its code.
        """


class Penalty(abc.ABC):
    """What a code costs. Its subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def build(self, x_shape: Shape, z_size: int) -> PenaltyTerm:
        """The module for rows of this shape and codes of this size.

        Raises:
            ValueError: if it does not fit them.
        """
