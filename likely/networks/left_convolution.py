"""Convolutions along a row that look to the left: what a pixel gets from the pixels before it in its own row.

Channels stand in groups, one for each color of the image, as `likely.networks.masked_convolution` says.

Reference: for dilations, WaveNet: A Generative Model for Raw Audio (van den Oord et al., 2016), arXiv:1609.03499
"""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.networks.masked_convolution import MaskKind, color_mask


@final
class LeftConv(nn.Conv2d):
    """(batch, n_in, h, w) to (batch, n_out, h, w), each pixel from itself and `taps` - 1 pixels to its left.

    Only between the colors of a pixel itself is there anything to mask; an image of one color needs no mask at all.

    Args:
        n_in: channels.
        n_out: channels.
        taps: how many pixels, the last being the pixel itself.
        kind: "A" for the layer that sees x, "B" for those after it.
        colors: channels of the image.
        dilation: how far the pixels are apart.
        bias: whether to add one.

    Raises:
        ValueError: for no taps, or widths that are no multiples of the colors.
    """

    mask: Tensor | None

    def __init__(
        self,
        n_in: int,
        n_out: int,
        taps: int,
        kind: MaskKind,
        *,
        colors: int = 1,
        dilation: int = 1,
        bias: bool = True,
    ) -> None:
        # Where nothing of the pixel itself is seen, it is no part of the kernel.
        sees_itself = kind == "B" or colors > 1
        if taps - 1 + sees_itself < 1:
            raise ValueError(f"a kernel that sees nothing of a pixel needs pixels to its left: taps >= 2, got {taps}")
        super().__init__(n_in, n_out, (1, taps - 1 + sees_itself), dilation=(1, dilation), bias=bias)
        self.taps = taps
        self.margin = ((taps - 1) * dilation, 0 if sees_itself else -dilation)
        within = color_mask(n_in, n_out, kind, colors=colors)
        mask = None
        if colors > 1:
            mask = torch.ones(self.weight.shape)
            mask[:, :, 0, -1] = within
        self.register_buffer("mask", mask, persistent=False)

    @property
    def masked_weight(self) -> Tensor:
        """What is multiplied with: (n_out, n_in, 1, pixels)."""
        return self.weight if self.mask is None else self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, h, w) to (batch, n_out, h, w)."""
        padded = F.pad(x, self.margin) if any(self.margin) else x
        return F.conv2d(padded, self.masked_weight, self.bias, dilation=self.dilation)
