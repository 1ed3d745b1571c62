"""Masked convolutions in residual blocks.

Reference: Pixel Recurrent Neural Networks (van den Oord et al., 2016), arXiv:1601.06759, sections 3.4 and 3.5
"""

from typing import final

import torch
from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.causal import CausalNetwork, Steps, pixel_places
from likely.networks.context import check_context
from likely.networks.left_convolution import LeftConv
from likely.networks.masked_blocks import MaskedBlock, masked_conv
from likely.networks.pixel_cnn_steps import PixelCNNSteps
from likely.networks.pixels import Positions, as_pixels, check_kernels, dilations, is_signal


@final
class PixelCNNNetwork(CausalNetwork):
    """A masked convolution A over x, residual blocks of masked convolutions B, two layers of 1 x 1.

    Its field of view has a blind spot: what is above and to the right of a pixel and would be seen only by way of
    pixels to the right in the pixel's own row, a wedge below a rising line. `GatedPixelCNNNetwork` has none. Each pixel
    is told where in the image it is. Signals (c, length) have no rows, and so no blind spot; their blocks read pixels
    1, 2, 4, ... apart, block by block.

    Args:
        x_shape: (colors, height, width) or (colors, length).
        raw_channels: numbers for each value.
        channels: inside of blocks, a multiple of the colors; between blocks there are twice as many.
        blocks: how many.
        kernel: its side in blocks, odd.
        first_kernel: its side in the first layer, odd.
        dropout: the share of a block's features that is left out in training.
        context_size: numbers of a context, which shift the features of each block.
        scaled: whether x is in [0, 1] and to be read as 2 x - 1.

    Raises:
        ValueError: for even kernels, or channels that the colors cannot share.
    """

    def __init__(
        self,
        x_shape: Shape,
        raw_channels: int,
        *,
        channels: int,
        blocks: int,
        kernel: int = 3,
        first_kernel: int = 7,
        dropout: float = 0.0,
        context_size: int = 0,
        scaled: bool = True,
    ) -> None:
        check_kernels(kernel=kernel, first_kernel=first_kernel)
        super().__init__(x_shape, raw_channels, pixel_places(x_shape), context_size=context_size)
        self.scaled, colors, above = scaled, x_shape[0], not is_signal(x_shape)
        self.first = masked_conv(colors, 2 * channels, first_kernel, "A", colors=colors, above=above)
        self.positions = Positions(2 * channels, x_shape)
        self.blocks = nn.ModuleList(
            MaskedBlock(
                channels,
                kernel,
                colors=colors,
                context_size=context_size,
                above=above,
                dilation=dilation,
                dropout=dropout,
            )
            for dilation in dilations(x_shape, blocks)
        )
        self.head = LeftConv(2 * channels, 2 * channels, 1, "B", colors=colors)
        self.out = LeftConv(2 * channels, raw_channels * colors, 1, "B", colors=colors)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `CausalNetwork.forward`."""
        check_context(context, self.context_size)
        features = self.first(as_pixels(x, scaled=self.scaled))
        # Of one channel nobody can tell the layout, and a convolution of it may give the slow one.
        features = self.positions(features.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            features = block(features, context)
        raw: Tensor = self.out(self.head(features.relu()).relu())
        return raw.squeeze(2) if x.ndim == 3 else raw

    @torch.no_grad()
    def begin(self, n: int, context: Tensor | None = None) -> Steps:
        """As `CausalNetwork.begin`, from caches."""
        check_context(context, self.context_size)
        blocks = [block for block in self.blocks if isinstance(block, MaskedBlock)]
        ends = self.positions, (self.head, self.out)
        return PixelCNNSteps(self.x_shape, self.first, blocks, *ends, n, context, scaled=self.scaled)
