"""A small residual network that keeps the sides of a map, for what a coupling layer does with images."""

from typing import final

import torch
from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.activations import ACTIVATIONS, Activation
from likely.networks.convolutions import CONVOLUTIONS, ChannelsLast, ResidualBlock, keep_variance
from likely.networks.dropout import Dropout


@final
class ConvolutionalConditioner(nn.Module):
    """(batch, c, *sides) to (batch, out_channels, *sides): a convolution, residual blocks, a convolution of zeros.

    A bias of its own at each place tells convolutions where they are: objects stand in the middle of images.

    Args:
        x_shape: (c, *sides) of what it reads: an image or a signal.
        out_channels: of what it gives, zero at the start.
        width: channels inside.
        blocks: residual blocks.
        context_size: how many numbers of a context it sees.
        dropout: the share of the last features that is left out at each training step.
        activation: before each convolution but the first.
    """

    def __init__(
        self,
        x_shape: Shape,
        out_channels: int,
        *,
        width: int,
        blocks: int,
        context_size: int = 0,
        dropout: float = 0.0,
        activation: Activation = "relu",
    ) -> None:
        super().__init__()
        n_dims, self.context_size = len(x_shape) - 1, context_size
        convolution, act = CONVOLUTIONS[n_dims], ACTIVATIONS[activation]
        self.first = nn.Sequential(ChannelsLast(), convolution(x_shape[0], width, 3, padding=1))
        self.place = nn.Parameter(torch.zeros(width, *x_shape[1:]))
        self.context = convolution(context_size, width, 1) if context_size else None
        left_out = [Dropout(dropout)] if dropout else []
        self.blocks = nn.Sequential(*(ResidualBlock(width, n_dims, act) for _ in range(blocks)), act(), *left_out)
        self.last = convolution(width, out_channels, 3, padding=1)
        keep_variance(self)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)
        if n_dims == 2:
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """x (batch, c, *sides); context (batch, context_size), or a map of it, (batch, context_size, *sides).

        Raises:
            ValueError: for a context that is missing, unexpected or of another size.
        """
        features: Tensor = self.first(x)
        features = features + self.place.to(features.dtype)
        told = self._of_context(context, x.ndim)
        if told is not None:
            features = features + told
        raw: Tensor = self.last(self.blocks(features))
        return raw

    def _of_context(self, context: Tensor | None, ndim: int) -> Tensor | None:
        found = 0 if context is None else context.shape[1]
        if found != self.context_size:
            wanted = f"a context (batch, {self.context_size})" if self.context_size else "no context"
            raise ValueError(f"built for {wanted}, got {'none' if context is None else f'one of {context.shape}'}")
        if context is None or self.context is None:
            return None
        told: Tensor = self.context(
            context if context.ndim == ndim else context.view(*context.shape, *[1] * (ndim - 2))
        )
        return told
