"""Samples of gated convolutions, each feature computed once: the vertical stack by rows, the horizontal by pixels."""

from collections.abc import Sequence
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from likely.contract import Shape
from likely.networks.gates import GatedLayer, gate, shifted
from likely.networks.left_convolution import LeftConv
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


@final
class GatedPixelSteps(PixelSteps):
    """The steps of a `GatedPixelCNNNetwork`: when a row begins, all that the rows above say of it; then its pixels.

    Args:
        x_shape: of one row.
        layers: of the network.
        positions: what is added to what the first layer's horizontal stack gives.
        head: its last two layers.
        n: rows at once.
        context: (n, context_size), or None.
        scaled: whether the network reads 2 x - 1.
    """

    def __init__(
        self,
        x_shape: Shape,
        layers: Sequence[GatedLayer],
        positions: Positions,
        head: tuple[LeftConv, LeftConv],
        n: int,
        context: Tensor | None,
        *,
        scaled: bool,
    ) -> None:
        super().__init__(head[0].weight, n, x_shape, layers[0].left.taps, scaled=scaled)
        self.head = PixelHead(head, n, self.colors)
        self.lines = [self.x, *(self._line(layer.left, layer.left.taps) for layer in layers[1:])]
        targets: list[Line | PixelHead] = [*self.lines[1:], self.head]
        # Of the row at hand.
        self.place = self.like.new_zeros(self.width, layers[0].mix.out_channels)
        self.places = positions.by_row(by_color(self.place.shape[1], self.colors))
        self.above, plans = list[_Above](), list[list[list[tuple[Tensor, ...]]]]()
        for layer, line, into in zip(layers, self.lines, targets, strict=True):
            by_above, by_left = layer.shifts(context)
            seen = bias_of(layer.left, by_left, self.colors).expand(n, self.width, -1)
            if layer.above is not None:
                self.above.append(_Above(layer, by_above, seen, self.colors))
                seen = self.above[-1].seen
            left = _Left(layer, line, into, seen, self.place, self.colors)
            plans.append([[left.operands(i, color) for i in range(self.width)] for color in range(self.colors)])
        # By color and column, then layer by layer.
        self.plans = [[list(layers) for layers in zip(*columns, strict=True)] for columns in zip(*plans, strict=True)]

    def _begin_row(self, row: int) -> None:
        if self.is_signal and row:
            for line in self.lines:
                line.go_on()
        if self.places is not None:
            self.place.copy_(self.places[row])
        if not self.is_signal:
            features = self.x.cells if row else None
            for above in self.above:
                features = above.begin_row(features)

    def _raw(self, column: int, color: int) -> Tensor:
        addmm, sigmoid, addcmul = torch.addmm, torch.sigmoid, torch.addcmul
        for seen, window, weight, u, u_a, u_b, gated, all_gated, mix, residual, out in self.plans[color][column]:
            addmm(seen, window, weight, out=u)
            sigmoid(u, out=u)
            addcmul(u_b, u_a, u_b, value=-2, out=gated)
            addmm(residual, all_gated, mix, out=out)
        return self.head.raw(color)


class _Left:
    """A layer's horizontal stack: what each pixel's and color's products are made of, laid out once."""

    def __init__(
        self, layer: GatedLayer, line: Line, into: Line | PixelHead, seen: Tensor, place: Tensor, colors: int
    ) -> None:
        self.line, self.into, self.seen, self.colors, self.kind = line, into, seen, colors, layer.kind
        self.place = place
        self.weights = matrices_by_color(layer.left.masked_weight[:, :, 0], layer.left.taps, layer.kind, colors)
        self.mix = matrices_by_color(layer.mix.masked_weight[:, :, 0], 1, "B", colors)
        self.width = layer.mix.out_channels
        n, own = len(seen), self.width // colors
        self.gated = seen.new_empty(n, self.width)
        self.u = seen.new_empty(n, 2 * own)

    def operands(self, column: int, color: int) -> tuple[Tensor, ...]:
        """The tensors that `GatedPixelSteps._raw` takes for a pixel, in its order."""
        first, own = share(self.width, self.colors, color)
        return (
            self.seen[:, column, 2 * first : 2 * (first + own)],
            self.line.window(column, n_own(self.line.channels, self.colors, color, self.kind)),
            self.weights[color],
            self.u,
            self.u[:, :own],
            self.u[:, own:],
            self.gated[:, first : first + own],
            self.gated[:, : first + own],
            self.mix[color],
            self.place[column, first : first + own] if self.kind == "A" else self.line.cell(column, first, own),
            self.into.cell(column, first, own),
        )


class _Above:
    """A layer's vertical stack, and what it says to the horizontal one: a row at a time."""

    def __init__(self, layer: GatedLayer, shift: Tensor | None, bias: Tensor, colors: int) -> None:
        assert layer.above is not None
        assert layer.link is not None
        conv, (n, width, n_out) = layer.above, bias.shape
        self.conv, self.shift, self.bias = conv, shift, bias
        n_rows, n_columns = conv.kernel_size
        self.rows = RowsAbove(bias, n, n_rows, width, conv.in_channels, n_columns // 2)
        order = by_color(n_out, colors)
        self.link = layer.link.weight.detach()[order, :, 0, 0].T.contiguous()
        self.seen = torch.empty_like(bias, memory_format=torch.contiguous_format)

    def begin_row(self, features: Tensor | None) -> Tensor:
        """Takes what it reads of a row, (n, width, n_in), writes `seen`, and gives its own features of the row."""
        if features is not None:
            self.rows.push(features)
        u = shifted(F.conv2d(self.rows.map, self.conv.weight.detach(), self.conv.bias), self.shift)
        self.seen.copy_(self.bias)
        pixels = u.permute(0, 2, 3, 1)
        self.seen.view(-1, self.seen.shape[2]).addmm_(pixels.reshape(-1, pixels.shape[3]), self.link)
        return gate(u)[:, :, 0].transpose(1, 2)
