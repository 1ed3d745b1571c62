"""The Row LSTM: row after row, all pixels of a row at once.

Reference: Pixel Recurrent Neural Networks (van den Oord et al., 2016), arXiv:1601.06759, section 3.1
"""

from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor

from likely.networks.recurrent_layer import LayerSteps, RecurrentLayer, Sides, pixel_mask
from likely.networks.wavefront import Wave, sweep


@final
class RowLSTM(RecurrentLayer):
    """States of a pixel from those of the three pixels above it, and from features of the pixel and its left neighbor.

    Cells go on from the pixel right above. Input to state is the masked 1 x 3 convolution of the paper, whose right
    column the mask takes out. What a pixel sees is a triangle above it, as wide as the image only some rows up. One
    column (a signal) has nobody beside it: there it is an LSTM along the column.

    Args:
        sides: of the image; it takes as many steps as there are rows.
        features: channels in.
        hidden: states of each pixel.
        colors: channels of the image.
    """

    def __init__(self, sides: Sides, features: int, hidden: int, *, colors: int = 1) -> None:
        own, alone = pixel_mask(features, hidden, colors=colors), sides[1] == 1
        mask = own if alone else torch.cat([torch.ones_like(own), own])
        super().__init__(sides, features, hidden, mask[None], n_seen=1 if alone else 3, colors=colors)
        self.waves = row_waves(sides)

    def forward(self, x: Tensor, values: Tensor, told: Tensor | None = None) -> Tensor:
        """As `RecurrentLayer.forward`."""
        if self.sides[1] > 1:
            rows = x.unflatten(0, self.sides)
            left = F.pad(rows[:, :-1], (0, 0, 0, 0, 1, 0))
            x = torch.cat([left, rows], -1).flatten(0, 1)
        batch = x.shape[1]
        gates = self._gates(x.flatten(0, 1)[None], told, batch)
        states = sweep(gates, self.state_to_state, self.waves)[0]
        height, width = self.sides
        return states[1:].view(height, width + 1, batch, -1)[:, :-1].flatten(0, 1)

    def begin(self, n: int, told: Tensor | None) -> LayerSteps:
        """As `RecurrentLayer.begin`."""
        return _RowSteps(self, n, told)


class _RowSteps(LayerSteps):
    """Of each row of states only the one above is kept."""

    def begin_row(self, above: Tensor | None) -> None:
        self.from_above = self.bias.expand(len(self.states), -1, -1)
        if above is None:
            return
        seen = self.states
        if len(seen) > 1:
            padded = F.pad(seen, (0, 0, 0, 0, 1, 1))
            seen = torch.cat([padded[:-2], padded[1:-1], padded[2:]], -1)
        self.from_above = self.from_above + seen @ self.layer.state_to_state[0]

    def begin_pixel(self, j: int) -> tuple[Tensor, Tensor | None]:
        sums = self.from_above[j]
        if j:
            sums = torch.addmm(sums, self.features[j - 1], self.layer.input_to_state[0, : self.layer.features])
        return sums, self.cells[j]


def row_waves(sides: Sides) -> tuple[Wave, ...]:
    """Rows, top to bottom. Each pixel sees the states above: left, right above and right (or the one of one column)."""
    height, width = sides
    around = (0,) if width == 1 else (-1, 0, 1)
    waves = [Wave(0, width, 1)]
    for i in range(1, height):
        above = (i - 1) * (width + 1) + 1
        waves.append(Wave(i * width, width, above + width + 1, tuple(above + k for k in around), above))
    return tuple(waves)
