"""Gated units, and layers of them that see all pixels before one.

Reference: Conditional Image Generation with PixelCNN Decoders (van den Oord et al., 2016), arXiv:1606.05328
"""

from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from likely.networks.dropout import Dropout
from likely.networks.left_convolution import LeftConv
from likely.networks.masked_convolution import MaskKind


class _Gate(torch.autograd.Function):
    """tanh(-a / 2) sigmoid(b) as s_b - 2 s_a s_b: one sigmoid for both halves, and nothing else to remember.

    On a CPU, tanh and sigmoid of halves of a map cost as much as the convolution that made it.
    """

    @staticmethod
    def forward(ctx: Any, u: Tensor) -> Tensor:
        s = u.sigmoid()
        ctx.save_for_backward(s)
        s_a, s_b = s.chunk(2, 1)
        return torch.addcmul(s_b, s_a, s_b, value=-2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (s,) = ctx.saved_tensors
        s_a, s_b = s.chunk(2, 1)
        through = torch.empty_like(s)
        by_a, by_b = through.chunk(2, 1)
        scaled = gradient * -2
        torch.mul(scaled, s_b, out=by_a)
        torch.addcmul(gradient, scaled, s_a, out=by_b)
        return torch.ops.aten.sigmoid_backward(through, s)


def gate(u: Tensor) -> Tensor:
    """Halves a and b of the channels of u (batch, 2 * n, ...) to tanh(-a / 2) sigmoid(b), (batch, n, ...).

    The sign and the 2 that set it apart from tanh(a) sigmoid(b) are the weights' to learn: `widen_gates`.

    Reference: arXiv:1606.05328, equation 2
    """
    gated: Tensor = _Gate.apply(u)
    return gated


@torch.no_grad()
def widen_gates(layer: nn.Conv2d) -> None:
    """Starts a layer before `gate` as if it were before tanh(a) sigmoid(b)."""
    layer.weight[: layer.out_channels // 2] *= 2
    if layer.bias is not None:
        layer.bias[: layer.out_channels // 2] *= 2


@final
class GatedLayer(nn.Module):
    """A layer of the vertical stack and one of the horizontal, which reads the vertical one.

    Features of the vertical stack in a row are about the rows above it, all columns and colors; those of the horizontal
    stack are about these and about what is to the left.

    Args:
        n_in: channels of what is read; of x in the first layer.
        channels: of each stack.
        kernel: its side.
        kind: "A" for the layer that reads x, "B" for those after it, which add to what they read.
        colors: channels of the image.
        context_size: numbers of a context, which shift the gates.
        above: whether there are rows above; without them there is no vertical stack.
        last: whether nobody reads the vertical stack any more.
        dilation: how far apart the pixels to the left are.
        dropout: the share of gated features that is left out in training.
    """

    def __init__(
        self,
        n_in: int,
        channels: int,
        kernel: int,
        kind: MaskKind,
        *,
        colors: int = 1,
        context_size: int = 0,
        above: bool = True,
        last: bool = False,
        dilation: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.kind, self.last = kind, last
        side, width = kernel // 2, 2 * channels
        self.left = LeftConv(n_in, width, side + 1, kind, colors=colors, dilation=dilation)
        widen_gates(self.left)
        self.above = self.link = None
        if above:
            # The layer that reads x leaves out the pixel's own row; after it, features of a row may see each other.
            n_rows, moved = (side, -1) if kind == "A" else (side + 1, 0)
            self.margin = (side, side, side, moved)
            self.above = nn.Conv2d(n_in, width, (n_rows, kernel))
            self.link = nn.Conv2d(width, width, 1, bias=False)
            widen_gates(self.above)
        self.context = nn.Linear(context_size, width * (1 + above), bias=False) if context_size else None
        self.mix = LeftConv(channels, channels, 1, "B", colors=colors, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, above: Tensor, left: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Both stacks (batch, channels, h, w) after this layer; the vertical as it was where nobody reads it.

        Args:
            above: the vertical stack, (batch, n_in, h, w).
            left: the horizontal stack, likewise.
            context: (batch, context_size), or None.
        """
        by_above, by_left = self.shifts(context)
        u = self.left(left)
        if self.above is not None and self.link is not None:
            seen = shifted(self.above(F.pad(above, self.margin)), by_above)
            u = u + self.link(seen)
            above = above if self.last else self.dropout(gate(seen))
        mixed = self.mix(self.dropout(gate(shifted(u, by_left))))
        return above, mixed if self.kind == "A" else left + mixed

    def shifts(self, context: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """What a context adds before the gates of the vertical and the horizontal stack: (batch, 2 * channels) each."""
        if self.context is None:
            return None, None
        width = self.left.out_channels
        by_left, by_above = self.context(context).tensor_split([width], 1)
        return by_above, by_left


def shifted(u: Tensor, shift: Tensor | None) -> Tensor:
    """A map (batch, width, h, w), to which (batch, width) is added everywhere."""
    return u if shift is None else u + shift[:, :, None, None]
