"""Samples of masked convolutions, each feature computed once: what rows above say by rows, the rest by pixels."""

from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from likely.contract import Shape
from likely.networks.left_convolution import LeftConv
from likely.networks.masked_blocks import MaskedBlock
from likely.networks.masked_convolution import MaskedConv, MaskKind
from likely.networks.pixel_steps import (
    Line,
    PixelHead,
    PixelSteps,
    RowsAbove,
    bias_of,
    by_color,
    matrices_by_color,
    n_own,
    share,
)
from likely.networks.pixels import Positions

Conv = MaskedConv | LeftConv


@final
class PixelCNNSteps(PixelSteps):
    """The steps of a `PixelCNNNetwork`: when a row begins, all that the rows above say of it; then its pixels.

    Args:
        x_shape: of one row.
        first: the layer that reads x.
        blocks: those after it.
        positions: what is added to what the first layer gives.
        head: the last two layers.
        n: rows at once.
        context: (n, context_size), or None.
        scaled: whether the network reads 2 x - 1.
    """

    def __init__(
        self,
        x_shape: Shape,
        first: Conv,
        blocks: Sequence[MaskedBlock],
        positions: Positions,
        head: tuple[LeftConv, LeftConv],
        n: int,
        context: Tensor | None,
        *,
        scaled: bool,
    ) -> None:
        super().__init__(head[0].weight, n, x_shape, taps_of(first), scaled=scaled)
        self.head = PixelHead(head, n, self.colors)
        places = positions.by_row(by_color(first.out_channels, self.colors))
        self.first = _Masked(first, "A", self.x, None, self.colors, places)
        self.convs = [self.first]
        residual = head[0].weight.new_empty(n, first.out_channels // self.colors)
        steps = []
        for block in blocks:
            line = self._line(block.conv, taps_of(block.conv))
            self.convs.append(_Masked(block.conv, "B", line, block.shift(context), self.colors))
            steps.append(_Block(block, self.convs[-1], residual, self.colors))
        colors, columns = range(self.colors), range(self.width)
        # By color and column.
        self.starts = [[(*self.first.operands(i, color), residual) for i in columns] for color in colors]
        self.plans = [[[step.operands(i, color) for step in steps] for i in columns] for color in colors]
        self.ends = [self.head.cell(0, *share(first.out_channels, self.colors, color)) for color in colors]

    def _begin_row(self, row: int) -> None:
        for conv in self.convs:
            if self.is_signal and row:
                conv.line.go_on()
            elif row:
                conv.begin_row(row)

    def _raw(self, column: int, color: int) -> Tensor:
        addmm, relu = torch.addmm, torch.clamp_min
        above, window, weight, residual = self.starts[color][column]
        addmm(above, window, weight, out=residual)
        for active, seen, bias, narrow, cell, above, window, weight, h, all_h, widen in self.plans[color][column]:
            relu(residual, 0, out=active)
            addmm(bias, seen, narrow, out=cell).relu_()
            addmm(above, window, weight, out=h).relu_()
            residual.addmm_(all_h, widen)
        self.ends[color].copy_(residual)
        return self.head.raw(color)


class _Masked:
    """A masked convolution: what the rows above say of a row, and what a pixel gets from its own row."""

    def __init__(
        self, conv: Conv, kind: MaskKind, line: Line, shift: Tensor | None, colors: int, places: Tensor | None = None
    ) -> None:
        self.kind, self.line, self.colors, self.places = kind, line, colors, places
        n, width = len(line.flat), line.turns * line.dilation
        weight, taps = conv.masked_weight.detach(), taps_of(conv)
        self.weights = matrices_by_color(weight[:, :, -1, :taps], taps, kind, colors)
        bias = bias_of(conv, shift, colors)
        self.above = (bias if places is None else bias + places[0]).expand(n, width, -1)
        self.rows: RowsAbove | None = None
        if conv.kernel_size[0] > 1:
            order = by_color(conv.out_channels, colors), by_color(conv.in_channels, colors)
            self.kernel = weight[:, :, :-1][order[0]][:, order[1]]
            self.bias, self.above = bias, self.above.clone()
            self.rows = RowsAbove(weight, n, conv.kernel_size[0] - 1, width, conv.in_channels, taps - 1)

    def begin_row(self, row: int) -> None:
        """Takes the row that is finished, and writes what rows above say of this one."""
        if self.rows is None:
            return
        self.rows.push(self.line.cells)
        by_rows = F.conv2d(self.rows.map, self.kernel)[:, :, 0].transpose(1, 2)
        torch.add(self.bias, by_rows, out=self.above)
        if self.places is not None:
            self.above += self.places[row]

    def operands(self, column: int, color: int) -> tuple[Tensor, Tensor, Tensor]:
        """What rows above say, what is read of the row, and the matrix that it is multiplied with."""
        first, own = share(self.above.shape[2], self.colors, color)
        window = self.line.window(column, n_own(self.line.channels, self.colors, color, self.kind))
        return self.above[:, column, first : first + own], window, self.weights[color]


class _Block:
    """A residual block: what each pixel's and color's products are made of, laid out once."""

    def __init__(self, block: MaskedBlock, conv: _Masked, residual: Tensor, colors: int) -> None:
        self.conv, self.colors, n = conv, colors, len(residual)
        self.bias = bias_of(block.narrow, None, colors).flatten()
        self.narrow = matrices_by_color(block.narrow.masked_weight[:, :, 0], 1, "B", colors)
        self.widen = matrices_by_color(block.widen.masked_weight[:, :, 0], 1, "B", colors)
        self.active = residual.new_empty(n, block.narrow.in_channels)
        self.h = residual.new_empty(n, block.widen.in_channels)

    def operands(self, column: int, color: int) -> tuple[Tensor, ...]:
        """The tensors that `PixelCNNSteps._raw` takes for a pixel, in its order."""
        wide, narrow = (share(buffer.shape[1], self.colors, color) for buffer in (self.active, self.h))
        return (
            self.active[:, wide[0] : sum(wide)],
            self.active[:, : sum(wide)],
            self.bias[narrow[0] : sum(narrow)],
            self.narrow[color],
            self.conv.line.cell(column, *narrow),
            *self.conv.operands(column, color),
            self.h[:, narrow[0] : sum(narrow)],
            self.h[:, : sum(narrow)],
            self.widen[color],
        )


def taps_of(conv: Conv) -> int:
    """How many pixels of its row a masked convolution reads, the last being the pixel itself."""
    return conv.taps if isinstance(conv, LeftConv) else conv.kernel_size[1] // 2 + 1
