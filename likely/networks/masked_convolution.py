"""Masked convolutions: at each pixel what comes before it in reading order, and of the pixel itself the colors before.

Every map of features stands in groups, one for each color of the image: channel i belongs to color i % colors. That is
how x itself stands (one channel per color) and how likelihoods read raw numbers (channel r * colors + color), so that
one rule holds for all maps; widths are multiples of the number of colors.

Reference: Pixel Recurrent Neural Networks (van den Oord et al., 2016), arXiv:1601.06759, section 3.4
"""

from typing import Literal, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MaskKind = Literal["A", "B"]
"""Whether a color sees itself: never in the first layer (A), whose input is x; always after it (B)."""


@final
class MaskedConv(nn.Conv2d):
    """(batch, n_in, h, w) to (batch, n_out, h, w), each pixel from its own row up and, there, from the left.

    The mask multiplies in every pass and never touches the weights. Rows below the pixel, which a mask would take out,
    are not part of the kernel: a 7 x 7 masked convolution is one of kernel (4, 7).

    Args:
        n_in: channels.
        n_out: channels.
        kernel: rows, the last being the pixel's own, and columns, the middle one being the pixel's own.
        kind: "A" for the layer that sees x, "B" for those after it.
        colors: channels of the image.

    Raises:
        ValueError: for a kernel without a middle column, or widths that are no multiples of the colors.
    """

    mask: Tensor

    def __init__(self, n_in: int, n_out: int, kernel: tuple[int, int], kind: MaskKind, *, colors: int = 1) -> None:
        mask = causal_mask(n_in, n_out, kernel, kind, colors=colors)
        super().__init__(n_in, n_out, kernel)
        self.register_buffer("mask", mask, persistent=False)

    @property
    def masked_weight(self) -> Tensor:
        """What is multiplied with: (n_out, n_in, rows, columns)."""
        return self.weight * self.mask

    def forward(self, x: Tensor) -> Tensor:
        """(batch, n_in, h, w) to (batch, n_out, h, w)."""
        rows, columns = self.mask.shape[2:]
        if rows == columns == 1:
            return F.conv2d(x, self.masked_weight, self.bias)
        side = columns // 2
        return F.conv2d(F.pad(x, (side, side, rows - 1, 0)), self.masked_weight, self.bias)


def color_of(width: int, colors: int) -> Tensor:
    """The color that each channel of a map belongs to: (width,).

    Raises:
        ValueError: unless there are as many channels of each color.
    """
    if width < colors or width % colors:
        raise ValueError(f"{width} channels cannot be shared among {colors} colors: give a multiple of {colors}")
    return torch.arange(width) % colors


def color_mask(n_in: int, n_out: int, kind: MaskKind, *, colors: int = 1) -> Tensor:
    """What channels see of each other within a pixel: (n_out, n_in), zeros and ones."""
    above, below = color_of(n_out, colors)[:, None], color_of(n_in, colors)[None, :]
    return (above > below if kind == "A" else above >= below).float()


def causal_mask(n_in: int, n_out: int, kernel: tuple[int, int], kind: MaskKind, *, colors: int = 1) -> Tensor:
    """The mask of a `MaskedConv`: (n_out, n_in, rows, columns), zeros and ones.

    Raises:
        ValueError: for a kernel without a middle column, or widths that are no multiples of the colors.
    """
    rows, columns = kernel
    if rows < 1 or columns < 1 or columns % 2 == 0:
        raise ValueError(f"a masked kernel has at least one row and an odd number of columns, got {kernel}")
    mask = torch.ones(n_out, n_in, rows, columns)
    mask[:, :, -1, columns // 2 + 1 :] = 0
    mask[:, :, -1, columns // 2] = color_mask(n_in, n_out, kind, colors=colors)
    return mask
