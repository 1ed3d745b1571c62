"""What samplers of convolutional networks keep, so that each number is computed once.

Features of a row stand pixel by pixel, and in a pixel color by color: all that a color may see of its own row is then
one piece of memory, and one matrix product with the weights that no mask takes out.

Reference: Fast Generation for Convolutional Autoregressive Models (Ramachandran et al., 2017), arXiv:1704.06001
"""

import abc
from typing import final

import torch
from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.left_convolution import LeftConv
from likely.networks.masked_convolution import MaskKind
from likely.networks.pixels import is_signal, lap


@final
class Line:
    """Features along a row as it grows; what a kernel reads of it lies side by side, whatever its dilation.

    Args:
        like: whose dtype and device are taken.
        n: rows at once.
        width: pixels, a multiple of the dilation.
        channels: of each pixel.
        taps: how many pixels a kernel reads, the last being the pixel itself.
        dilation: how far they are apart.
    """

    def __init__(self, like: Tensor, n: int, width: int, channels: int, taps: int, dilation: int = 1) -> None:
        self.channels, self.taps, self.dilation, self.turns = channels, taps, dilation, width // dilation
        # Pixels that a kernel reads together follow each other: those of the same remainder by the dilation.
        self.memory = like.new_zeros(n, dilation, taps - 1 + self.turns, channels)
        self.flat = self.memory.flatten(1)

    def window(self, column: int, own: int) -> Tensor:
        """What a kernel at a column reads, of the pixel itself `own` channels: (n, (taps - 1) * channels + own)."""
        return self.flat.narrow(1, self._start(column), (self.taps - 1) * self.channels + own)

    def cell(self, column: int, first: int, n_channels: int) -> Tensor:
        """Where channels of a pixel stand: (n, n_channels)."""
        return self.flat.narrow(1, self._start(column) + (self.taps - 1) * self.channels + first, n_channels)

    @property
    def cells(self) -> Tensor:
        """The row without what is to the left of it: (n, width, channels). For dilation 1."""
        return self.memory[:, 0, self.taps - 1 :]

    def go_on(self) -> None:
        """Begins again at the left with what was at the right: the next lap of a signal."""
        self.memory[:, :, : self.taps - 1] = self.memory[:, :, self.turns :].clone()

    def _start(self, column: int) -> int:
        turn, phase = divmod(column, self.dilation)
        return (phase * (self.taps - 1 + self.turns) + turn) * self.channels


@final
class RowsAbove:
    """The last rows of a map, and zeros at both sides: what kernels read of the rows above one.

    Args:
        like: whose dtype and device are taken.
        n: maps at once.
        n_rows: how many rows are kept.
        width: of the map.
        channels: of each pixel.
        side: how many columns of zeros at each side.
    """

    def __init__(self, like: Tensor, n: int, n_rows: int, width: int, channels: int, side: int) -> None:
        self.memory = like.new_zeros(n, n_rows, width + 2 * side, channels)
        self.newest = self.memory[:, -1, side : side + width]
        self.map = self.memory.permute(0, 3, 1, 2)

    def push(self, row: Tensor) -> None:
        """Takes the row (n, width, channels) that is finished, and forgets the oldest."""
        for i in range(self.memory.shape[1] - 1):
            self.memory[:, i] = self.memory[:, i + 1]
        self.newest.copy_(row)


@final
class PixelHead:
    """The last two layers: ReLU, 1 x 1, ReLU, 1 x 1, color by color.

    Args:
        layers: both.
        n: rows at once.
        colors: channels of the image.
    """

    def __init__(self, layers: tuple[LeftConv, LeftConv], n: int, colors: int) -> None:
        self.biases = [bias_of(layer, None, colors).view(colors, -1) for layer in layers]
        self.weights = [matrices_by_color(layer.masked_weight[:, :, 0], 1, "B", colors) for layer in layers]
        # What goes into each layer, all colors of a pixel.
        self.inputs = [layer.weight.new_empty(n, layer.in_channels) for layer in layers]
        self.colors = colors

    def cell(self, column: int, first: int, n_channels: int) -> Tensor:
        """Where channels of a pixel are put, the same for all columns: (n, n_channels)."""
        return self.inputs[0][:, first : first + n_channels]

    def raw(self, color: int) -> Tensor:
        """The raw numbers of a color of the pixel whose features were put: (n, raw_channels)."""
        for i, (inputs, biases, weights) in enumerate(zip(self.inputs, self.biases, self.weights, strict=True)):
            first, own = share(inputs.shape[1], self.colors, color)
            inputs[:, first : first + own].relu_()
            outputs = torch.addmm(biases[color], inputs[:, : first + own], weights[color])
            if i == 0:
                start, width = share(outputs.shape[1] * self.colors, self.colors, color)
                self.inputs[1][:, start : start + width] = outputs
        return outputs


class PixelSteps(abc.ABC):
    """Steps of a network over images or signals, row by row; a signal goes on in laps as an image does in rows.

    Args:
        like: whose dtype and device are taken.
        n: rows at once.
        x_shape: (colors, height, width) or (colors, length).
        taps: how many pixels the first layer reads of the row, the last being the pixel itself.
        scaled: whether x is in [0, 1] and the network reads 2 x - 1.
    """

    def __init__(self, like: Tensor, n: int, x_shape: Shape, taps: int, *, scaled: bool) -> None:
        self.n, self.colors, self.is_signal, self.like = n, x_shape[0], is_signal(x_shape), like
        self.width = lap(x_shape[-1]) if self.is_signal else x_shape[-1]
        self.x = Line(like, n, self.width, self.colors, taps)
        self.scale, self.shift = (2, like.new_tensor([-1.0])) if scaled else (1, like.new_zeros(1))

    def raw(self, place: int) -> Tensor:
        """As `Steps.raw`."""
        pixel, color = divmod(place, self.colors)
        row, column = divmod(pixel, self.width)
        if column == color == 0:
            self._begin_row(row)
        return self._raw(column, color)

    def put(self, place: int, values: Tensor) -> None:
        """As `Steps.put`."""
        pixel, color = divmod(place, self.colors)
        torch.add(self.shift, values, alpha=self.scale, out=self.x.cell(pixel % self.width, color, 1))

    def _line(self, layer: nn.Conv2d, taps: int) -> Line:
        """Where what a layer reads along a row is kept."""
        return Line(self.like, self.n, self.width, layer.in_channels, taps, layer.dilation[1])

    @abc.abstractmethod
    def _begin_row(self, row: int) -> None:
        """All that a row needs of the rows above, at once; or the next lap of a signal."""

    @abc.abstractmethod
    def _raw(self, column: int, color: int) -> Tensor: ...


def by_color(width: int, colors: int) -> Tensor:
    """The channels of a map so ordered that those of a color stand together: (width,)."""
    return torch.arange(width).view(-1, colors).T.flatten()


def share(width: int, colors: int, color: int) -> tuple[int, int]:
    """Where the channels of a color begin in that order, and how many they are."""
    return width // colors * color, width // colors


def n_own(width: int, colors: int, color: int, kind: MaskKind) -> int:
    """How many channels of the pixel itself a color sees: those of the colors before it and, under mask B, its own."""
    return width // colors * (color + (kind == "B"))


def bias_of(layer: nn.Conv2d, shift: Tensor | None, colors: int) -> Tensor:
    """A layer's bias, with a shift (n, n_out) where there is one, in the order of `by_color`: (1 or n, 1, n_out)."""
    assert layer.bias is not None
    bias = layer.bias if shift is None else layer.bias + shift
    return bias.detach()[..., by_color(layer.out_channels, colors)].view(-1, 1, layer.out_channels)


def matrices_by_color(weight: Tensor, taps: int, kind: MaskKind, colors: int) -> list[Tensor]:
    """Of a kernel what each color needs, no masked weight among it: (inputs seen, n_out / colors) each.

    Args:
        weight: (n_out, n_in, pixels): what is multiplied with in a pixel's own row, up to the pixel itself.
        taps: how many pixels are read, the last being the pixel itself, of which a kernel need not see anything.
        kind: "A" or "B".
        colors: channels of the image.

    Returns:
        For each color the matrix that a `Line.window` is multiplied with.
    """
    n_in = weight.shape[1]
    own, order = weight.detach()[:, by_color(n_in, colors)], range(colors)
    return [
        own[color::colors]
        .permute(2, 1, 0)
        .flatten(0, 1)[: (taps - 1) * n_in + n_own(n_in, colors, color, kind)]
        .clone()
        for color in order
    ]
