"""Gated convolutions over the rows above and along the row: no pixel that comes before is out of sight.

Reference: Conditional Image Generation with PixelCNN Decoders (van den Oord et al., 2016), arXiv:1606.05328
"""

from typing import final

import torch
from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.causal import CausalNetwork, Steps, pixel_places
from likely.networks.context import check_context
from likely.networks.gated_pixel_steps import GatedPixelSteps
from likely.networks.gates import GatedLayer
from likely.networks.left_convolution import LeftConv
from likely.networks.pixels import Positions, as_pixels, check_kernels, dilations, is_signal


@final
class GatedPixelCNNNetwork(CausalNetwork):
    """A vertical stack that sees all rows above, and a horizontal one that sees it and the row's pixels to the left.

    The vertical stack is moved down by a row where it reads x, so that its features of a row are about the rows above
    it from the start, and no layer has to move them. The horizontal one is told where in the image it is. Signals
    (c, length) have no rows above: their horizontal stack reads pixels 1, 2, 4, ... apart, layer by layer.

    Args:
        x_shape: (colors, height, width) or (colors, length).
        raw_channels: numbers for each value.
        channels: of each stack, a multiple of the colors.
        layers: after the first, which reads x.
        kernel: its side in layers after the first, odd.
        first_kernel: its side in the first layer, odd.
        dropout: the share of a layer's gated features that is left out in training.
        context_size: numbers of a context, which shift all gates.
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
        layers: int,
        kernel: int = 3,
        first_kernel: int = 7,
        dropout: float = 0.0,
        context_size: int = 0,
        scaled: bool = True,
    ) -> None:
        check_kernels(kernel=kernel, first_kernel=first_kernel)
        super().__init__(x_shape, raw_channels, pixel_places(x_shape), context_size=context_size)
        self.scaled, colors = scaled, x_shape[0]
        inputs, sides = [colors] + layers * [channels], [first_kernel] + layers * [kernel]
        self.layers = nn.ModuleList(
            GatedLayer(
                n_in,
                channels,
                side,
                "B" if i else "A",
                colors=colors,
                context_size=context_size,
                above=not is_signal(x_shape),
                last=i == layers,
                dilation=dilation,
                dropout=dropout,
            )
            for i, (n_in, side, dilation) in enumerate(
                zip(inputs, sides, [1, *dilations(x_shape, layers)], strict=True)
            )
        )
        self.positions = Positions(channels, x_shape)
        self.head = LeftConv(channels, channels, 1, "B", colors=colors)
        self.out = LeftConv(channels, raw_channels * colors, 1, "B", colors=colors)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `CausalNetwork.forward`."""
        check_context(context, self.context_size)
        first, *rest = self.layers
        x_pixels = as_pixels(x, scaled=self.scaled)
        above, left = first(x_pixels, x_pixels, context)
        left = self.positions(left)
        for layer in rest:
            above, left = layer(above, left, context)
        raw: Tensor = self.out(self.head(left.relu()).relu())
        return raw.squeeze(2) if x.ndim == 3 else raw

    @torch.no_grad()
    def begin(self, n: int, context: Tensor | None = None) -> Steps:
        """As `CausalNetwork.begin`, from caches."""
        check_context(context, self.context_size)
        layers = [layer for layer in self.layers if isinstance(layer, GatedLayer)]
        ends = self.positions, (self.head, self.out)
        return GatedPixelSteps(self.x_shape, layers, *ends, n, context, scaled=self.scaled)
