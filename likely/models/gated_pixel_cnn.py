"""Gated pixel convolutional neural network."""

import math
from typing import final

from likely.chain_rule import ChainRuleModel
from likely.contract import Shape
from likely.likelihoods import GaussianMixture, Likelihood
from likely.networks.convolutions import check_is_map
from likely.networks.gated_pixel_cnn import GatedPixelCNNNetwork
from likely.networks.pixels import default_channels, default_depth


@final
class GatedPixelCNN(ChainRuleModel):
    """Gated PixelCNN: a stack of convolutions over the rows above, one along the row, and gates; no blind spot.

    The colors of a pixel come one after another: R, then G given R, then B given both. Each pixel sees all that is
    above and to the left within the reach of all layers. Signals are images of one row, of which each layer reads
    values twice as far apart as the layer before it. A condition shifts every gate. Draws compute each feature once.

    Args:
        x_shape: of one row: (c, h, w) images or (c, length) signals.
        channels: of each stack, a multiple of c; by default chosen by the shape.
        layers: after the first; by default chosen by the shape.
        kernel: its side in these layers, odd.
        first_kernel: its side in the first layer, odd and at least 3.
        dropout: the share of gated features that is left out at each training step.
        likelihood: of each value given those before it; `likely.fit` chooses it by the data's domain.
        condition_shape: of a condition that all pixels see, or None.

    Raises:
        ValueError: for what has no pixels, even kernels, or channels that are no multiple of c.

    Reference: Conditional Image Generation with PixelCNN Decoders (van den Oord et al., 2016), arXiv:1606.05328
    """

    network: GatedPixelCNNNetwork

    def __init__(
        self,
        x_shape: Shape,
        *,
        channels: int | None = None,
        layers: int | None = None,
        kernel: int = 3,
        first_kernel: int = 7,
        dropout: float = 0.0,
        likelihood: Likelihood | None = None,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        check_is_map(self.x_shape, "GatedPixelCNN")
        self.likelihood = GaussianMixture() if likelihood is None else likelihood
        self.channels = default_channels(self.x_shape) if channels is None else channels
        self.layers = default_depth(self.x_shape, 5) if layers is None else layers
        self.kernel, self.first_kernel, self.dropout = kernel, first_kernel, dropout
        self.observation = self.likelihood.build(self.x_shape)
        self.network = GatedPixelCNNNetwork(
            self.x_shape,
            self.likelihood.raw_channels,
            channels=self.channels,
            layers=self.layers,
            kernel=kernel,
            first_kernel=first_kernel,
            dropout=dropout,
            context_size=0 if self.condition_shape is None else math.prod(self.condition_shape),
            # Only reals come standardized.
            scaled="real" not in self.likelihood.domains,
        )
