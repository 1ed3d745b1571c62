"""Residual blocks of masked convolutions, over images and over signals.

Reference: Pixel Recurrent Neural Networks (van den Oord et al., 2016), arXiv:1601.06759, figure 5
"""

from typing import final

from torch import Tensor, nn

from likely.networks.dropout import Dropout
from likely.networks.gates import shifted
from likely.networks.left_convolution import LeftConv
from likely.networks.masked_convolution import MaskedConv, MaskKind


def masked_conv(
    n_in: int, n_out: int, kernel: int, kind: MaskKind, *, colors: int, above: bool, dilation: int = 1
) -> MaskedConv | LeftConv:
    """The masked convolution of a kernel with that side; without rows above, of its left half alone."""
    if above:
        return MaskedConv(n_in, n_out, (kernel // 2 + 1, kernel), kind, colors=colors)
    return LeftConv(n_in, n_out, kernel // 2 + 1, kind, colors=colors, dilation=dilation)


@final
class MaskedBlock(nn.Module):
    """x + f(x), f: ReLU, 1 x 1 to half the channels, ReLU, a masked convolution, ReLU, 1 x 1 back.

    Args:
        channels: between; twice as many are read and given.
        kernel: its side.
        colors: channels of the image.
        context_size: numbers of a context, which shift the masked convolution.
        above: whether there are rows above.
        dilation: how far apart the pixels of a signal are.
        dropout: the share of features that is left out in training.
    """

    def __init__(
        self,
        channels: int,
        kernel: int,
        *,
        colors: int = 1,
        context_size: int = 0,
        above: bool = True,
        dilation: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.narrow = LeftConv(2 * channels, channels, 1, "B", colors=colors)
        self.conv = masked_conv(channels, channels, kernel, "B", colors=colors, above=above, dilation=dilation)
        self.widen = LeftConv(channels, 2 * channels, 1, "B", colors=colors, bias=False)
        self.context = nn.Linear(context_size, channels, bias=False) if context_size else None
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        """(batch, 2 * channels, h, w) to the same; context (batch, context_size), or None."""
        h = shifted(self.conv(self.narrow(x.relu()).relu()), self.shift(context))
        out: Tensor = x + self.widen(self.dropout(h.relu()))
        return out

    def shift(self, context: Tensor | None) -> Tensor | None:
        """What a context adds after the masked convolution: (batch, channels)."""
        return None if self.context is None else self.context(context)
