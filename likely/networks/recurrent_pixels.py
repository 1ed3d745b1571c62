"""Pixel recurrent networks: a masked convolution, layers of LSTMs over the pixels, and a head within each pixel.

Reference: Pixel Recurrent Neural Networks (van den Oord et al., 2016), arXiv:1601.06759
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, final, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.causal import CausalNetwork, Steps, pixel_places
from likely.networks.context import with_context
from likely.networks.convolutions import check_is_map
from likely.networks.diagonal_lstm import DiagonalBiLSTM
from likely.networks.masked import MaskedLinear
from likely.networks.masked_convolution import MaskedConv, color_mask
from likely.networks.recurrent_layer import RecurrentLayer, Sides
from likely.networks.row_lstm import RowLSTM
from likely.networks.wavefront import GATES

Recurrence = Literal["diagonal", "row"]
RECURRENCES: tuple[Recurrence, ...] = get_args(Recurrence)
REACH = 3
"""Rows above, and columns to either side, that the first convolution sees: 7 x 7."""

MAX_GATES_AT_ONCE = 2**25
"""Rows that only want an answer go through together as far as their gates, all at once in memory, are so many."""


@final
class RecurrentPixels(CausalNetwork):
    """Images (c, h, w) or signals (c, length) to raw numbers, each by the values before it in reading order.

    A signal, and an image of a single row or column, is gone through along its length.

    Args:
        x_shape: of one row.
        raw_channels: numbers for each value.
        hidden: states of each pixel, layer and direction; a multiple of c. Maps between layers have twice as many.
        layers: recurrent layers, each with a residual connection around it.
        recurrence: "diagonal" or "row".
        context_size: how many numbers of a context all gates see.

    Raises:
        ValueError: for what has no pixels, an unknown recurrence, or widths that are no multiples of c.
    """

    def __init__(
        self,
        x_shape: Shape,
        raw_channels: int,
        hidden: int,
        *,
        layers: int = 1,
        recurrence: Recurrence = "diagonal",
        context_size: int = 0,
    ) -> None:
        _check(x_shape, layers, recurrence)
        super().__init__(x_shape, raw_channels, pixel_places(x_shape), context_size=context_size)
        self.colors, self.sides, features = x_shape[0], lay(x_shape[1:], recurrence), 2 * hidden
        kernel = (1 + REACH * (self.sides[0] > 1), 1 + 2 * REACH * (self.sides[1] > 1))
        colors = self.colors
        self.first = MaskedConv(colors, features, kernel, "A", colors=colors)
        self.layers = nn.ModuleList(
            DiagonalBiLSTM(self.sides, features, hidden, colors=colors, sees_values=not i)
            if recurrence == "diagonal"
            else RowLSTM(self.sides, features, hidden, colors=colors)
            for i in range(layers)
        )
        self.ups = nn.ModuleList(MaskedLinear(color_mask(hidden, features, "B", colors=colors)) for _ in range(layers))
        widths = (features, features, raw_channels * colors)
        self.head = nn.ModuleList(MaskedLinear(color_mask(i, o, "B", colors=colors)) for i, o in pairwise(widths))
        n_told = sum(layer.directions for layer in self.recurrent_layers) * GATES * hidden
        self.teller = nn.Linear(context_size, n_told, bias=False) if context_size else None

    @property
    def recurrent_layers(self) -> list[RecurrentLayer]:
        """First to last."""
        return [layer for layer in self.layers if isinstance(layer, RecurrentLayer)]

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `CausalNetwork.forward`."""
        if torch.is_grad_enabled():
            return self._raw(x, context)
        layer = self.recurrent_layers[0]
        size = max(1, MAX_GATES_AT_ONCE // (layer.directions * math.prod(self.sides) * GATES * layer.hidden))
        pieces = x.split(size)
        contexts = [None] * len(pieces) if context is None else context.split(size)
        return torch.cat([self._raw(*rows) for rows in zip(pieces, contexts, strict=True)])

    def _raw(self, x: Tensor, context: Tensor | None) -> Tensor:
        told, image = self.tell(len(x), context), x.reshape(len(x), self.colors, *self.sides)
        values, h = _by_pixel(image), _by_pixel(self.first(image))
        for layer, up, say in zip(self.layers, self.ups, told, strict=True):
            h = h + up(layer(h, values, say))
        for each in self.head:
            h = each(F.relu(h))
        return h.permute(1, 2, 0).reshape(len(x), -1, *self.x_shape[1:])

    def tell(self, n: int, context: Tensor | None) -> Sequence[Tensor | None]:
        """What a context (n, context_size) says to the gates of each layer: (directions, n, gates)."""
        empty = next(self.parameters()).new_empty(n, 0)
        context = with_context(empty, context, self.context_size)
        if self.teller is None:
            return [None] * len(self.layers)
        parts: Tensor = self.teller(context).unflatten(1, (len(self.layers), self.recurrent_layers[0].directions, -1))
        return list(parts.permute(1, 2, 0, 3))

    def begin(self, n: int, context: Tensor | None = None) -> Steps:
        """Starts n rows: all states of a pixel are computed once."""
        return _PixelSteps(self, n, context)


class _PixelSteps:
    """Rows on their way, color after color of pixel after pixel.

    Channels of colors that are still to come hold what is left from earlier pixels; the masks let nobody see them.
    """

    def __init__(self, network: RecurrentPixels, n: int, context: Tensor | None) -> None:
        self.colors, (height, width) = network.colors, network.sides
        first, like, self.width = network.first, network.first.weight, width
        self.rows, self.columns = first.mask.shape[2:]
        told = network.tell(n, context)
        self.layers = [layer.begin(n, say) for layer, say in zip(network.recurrent_layers, told, strict=True)]
        self.x = like.new_zeros(n, self.colors, height + self.rows - 1, width + self.columns - 1)
        wide = network.recurrent_layers[0].features
        self.out, self.between = like.new_zeros(n, wide), like.new_zeros(n, wide)
        self.first = self._by_color(first.masked_weight.flatten(1), first.bias)
        linear = [each for each in (*network.ups, *network.head) if isinstance(each, MaskedLinear)]
        sliced = [self._by_color(each.weight * each.mask, each.bias) for each in linear]
        *self.ups, self.middle, self.last = sliced

    def _by_color(self, weight: Tensor, bias: Tensor | None) -> list[tuple[Tensor, Tensor]]:
        """For each color its own outputs of a layer: weight (n_in, n_out / colors) and bias."""
        assert bias is not None
        return [(weight[k :: self.colors].T.contiguous(), bias[k :: self.colors]) for k in range(self.colors)]

    def raw(self, place: int) -> Tensor:
        """As `Steps.raw`."""
        pixel, color = divmod(place, self.colors)
        i, j = divmod(pixel, self.width)
        if not color:
            self._enter(i, j)
        own = slice(color, None, self.colors)
        patch = self.x[:, :, i : i + self.rows, j : j + self.columns].flatten(1)
        h = _linear(patch, self.first[color])  # (n, features of this color)
        for layer, up in zip(self.layers, self.ups, strict=True):
            layer.features[j, :, own] = h
            h = h + _linear(layer.state(color), up[color])
        self.out[:, own] = h
        self.between[:, own] = _linear(self.out.relu(), self.middle[color])
        return _linear(self.between.relu(), self.last[color])

    def _enter(self, i: int, j: int) -> None:
        above = None
        if i and not j:
            side = self.columns // 2
            above = self.x[:, :, i + self.rows - 2, side : side + self.width].permute(2, 0, 1)
        for layer in self.layers:
            if not j:
                layer.begin_row(above)
            layer.enter(j)

    def put(self, place: int, values: Tensor) -> None:
        """As `Steps.put`."""
        pixel, color = divmod(place, self.colors)
        i, j = divmod(pixel, self.width)
        self.x[:, color, i + self.rows - 1, j + self.columns // 2] = values[:, 0]


def lay(sides: Sequence[int], recurrence: Recurrence) -> Sides:
    """Height and width of what the layers go through: a line is a column of rows, or a row of diagonals."""
    length = int(torch.Size(sides).numel())
    if len(sides) == 1 or length in sides:
        return (length, 1) if recurrence == "row" else (1, length)
    height, width = sides
    return height, width


def _by_pixel(maps: Tensor) -> Tensor:
    """(batch, channels, height, width) to (pixels, batch, channels)."""
    return maps.permute(2, 3, 0, 1).flatten(0, 1)


def _linear(x: Tensor, layer: tuple[Tensor, Tensor]) -> Tensor:
    return torch.addmm(layer[1], x, layer[0])


def _check(x_shape: Shape, layers: int, recurrence: str) -> None:
    check_is_map(x_shape, "PixelRNN")
    if recurrence not in RECURRENCES:
        raise ValueError(f"recurrence must be one of {', '.join(RECURRENCES)}, got {recurrence!r}")
    if layers < 1:
        raise ValueError(f"layers must be at least 1, got {layers}")
