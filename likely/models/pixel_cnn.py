"""Pixel convolutional neural network."""

import math
from typing import final

from likely.chain_rule import ChainRuleModel
from likely.contract import Shape
from likely.likelihoods import GaussianMixture, Likelihood
from likely.networks.convolutions import check_is_map
from likely.networks.pixel_cnn import PixelCNNNetwork
from likely.networks.pixels import default_channels, default_depth


@final
class PixelCNN(ChainRuleModel):
    """Pixel convolutional neural network: masked convolutions, each pixel from those before it as one reads.

    The colors of a pixel come one after another: R, then G given R, then B given both. Each pixel sees what is above
    and to the left within the reach of all layers, but for a blind spot above to its right (`GatedPixelCNN` has none).
    Signals are images of one row, of which each block reads values twice as far apart as the block before it. Draws
    compute each feature once.

    Args:
        x_shape: of one row: (c, h, w) images or (c, length) signals.
        channels: inside of blocks, a multiple of c; by default chosen by the shape.
        blocks: residual blocks after the first layer; by default chosen by the shape.
        kernel: its side in blocks, odd.
        first_kernel: its side in the first layer, odd and at least 3.
        dropout: the share of a block's features that is left out at each training step.
        likelihood: of each value given those before it; `likely.fit` chooses it by the data's domain.
        condition_shape: of a condition that all pixels see, or None.

    Raises:
        ValueError: for what has no pixels, even kernels, or channels that are no multiple of c.

    Reference: Pixel Recurrent Neural Networks (van den Oord et al., 2016), arXiv:1601.06759
    """

    network: PixelCNNNetwork

    def __init__(
        self,
        x_shape: Shape,
        *,
        channels: int | None = None,
        blocks: int | None = None,
        kernel: int = 3,
        first_kernel: int = 7,
        dropout: float = 0.0,
        likelihood: Likelihood | None = None,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        check_is_map(self.x_shape, "PixelCNN")
        self.likelihood = GaussianMixture() if likelihood is None else likelihood
        self.channels = default_channels(self.x_shape) if channels is None else channels
        self.blocks = default_depth(self.x_shape, 8) if blocks is None else blocks
        self.kernel, self.first_kernel, self.dropout = kernel, first_kernel, dropout
        self.observation = self.likelihood.build(self.x_shape)
        self.network = PixelCNNNetwork(
            self.x_shape,
            self.likelihood.raw_channels,
            channels=self.channels,
            blocks=self.blocks,
            kernel=kernel,
            first_kernel=first_kernel,
            dropout=dropout,
            context_size=0 if self.condition_shape is None else math.prod(self.condition_shape),
            # Only reals come standardized.
            scaled="real" not in self.likelihood.domains,
        )
