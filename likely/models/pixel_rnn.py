"""Pixel recurrent neural network."""

import math
from typing import final

from likely.chain_rule import ChainRuleModel
from likely.contract import Shape
from likely.likelihoods import Gaussian, Likelihood
from likely.networks.recurrent_pixels import Recurrence, RecurrentPixels

FEW_PIXELS = 256
"""Images of no more have room for more layers in the same time."""


@final
class PixelRNN(ChainRuleModel):
    """Pixel recurrent neural network: LSTMs go through the image, each pixel's numbers from all that came before.

    The Diagonal BiLSTM goes along diagonals, from both sides, in height + width - 1 steps, and sees all; the Row LSTM
    goes row by row and sees a triangle above each pixel. Signals are gone through along their length. The colors of a
    pixel come one after another. Draws compute the states of each pixel once.

    Args:
        x_shape: of one row: (c, h, w) images or (c, length) signals.
        recurrence: "diagonal" or "row".
        channels: states of each pixel, layer and direction, a multiple of c; by default chosen by the shape.
        layers: of recurrence; by default chosen by the shape.
        likelihood: of each value given those before it; `likely.fit` chooses it by the data's domain.
        condition_shape: of a condition that all gates see, or None.

    Raises:
        ValueError: for what has no pixels, an unknown recurrence, no layers, or channels that are no multiple of c.

    Reference: Pixel Recurrent Neural Networks (van den Oord et al., 2016), arXiv:1601.06759
    """

    network: RecurrentPixels

    def __init__(
        self,
        x_shape: Shape,
        *,
        recurrence: Recurrence = "diagonal",
        channels: int | None = None,
        layers: int | None = None,
        likelihood: Likelihood | None = None,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        self.recurrence = recurrence
        self.channels = default_channels(self.x_shape) if channels is None else channels
        self.layers = default_layers(self.x_shape) if layers is None else layers
        self.likelihood = Gaussian() if likelihood is None else likelihood
        self.observation = self.likelihood.build(self.x_shape)
        self.network = RecurrentPixels(
            self.x_shape,
            self.likelihood.raw_channels,
            self.channels,
            layers=self.layers,
            recurrence=recurrence,
            context_size=0 if self.condition_shape is None else math.prod(self.condition_shape),
        )


def default_channels(x_shape: Shape) -> int:
    """States per pixel: 32, or so many that each color has 16."""
    return max(32, 16 * x_shape[0])


def default_layers(x_shape: Shape) -> int:
    """Layers for a shape."""
    return 2 if math.prod(x_shape[1:]) <= FEW_PIXELS else 1
