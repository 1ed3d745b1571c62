"""The Diagonal BiLSTM: diagonal after diagonal, all pixels of a diagonal at once, from both sides.

Reference: Pixel Recurrent Neural Networks (van den Oord et al., 2016), arXiv:1601.06759, section 3.2
"""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from likely.networks.recurrent_layer import LayerSteps, RecurrentLayer, Sides, pixel_mask
from likely.networks.wavefront import Wave, cell, n_slots, sweep


@final
class DiagonalBiLSTM(RecurrentLayer):
    """States of a pixel from those beside and above it, once from the left and once from the right.

    Cells go on from the pixel beside. The states from the right come down one row before both are added, since beside
    a pixel to its right lies what comes after it; together they see all that came before. One row (a signal) is
    gone through from the left only: there it is an LSTM along the row.

    The features of a pixel know nothing of its own value, so that behind a masked convolution the last pixel of a row
    would be hidden from the pixels that begin the next, a blind spot. From the right, where it is safe, the layer can
    be shown the values of the image as well.

    Args:
        sides: of the image; it takes height + width - 1 steps.
        features: channels in.
        hidden: states of each pixel and direction.
        colors: channels of the image.
        sees_values: whether the states from the right see the value of their pixel.
    """

    by_wave: Tensor
    from_wave: Tensor
    left_slot: Tensor
    right_slot: Tensor

    def __init__(self, sides: Sides, features: int, hidden: int, *, colors: int = 1, sees_values: bool = False) -> None:
        own, directions = pixel_mask(features, hidden, colors=colors), 1 if sides[0] == 1 else 2
        shown = sees_values and directions == 2
        mask = torch.stack([own] * directions)
        if shown:
            by_value = torch.stack([torch.zeros(colors, own.shape[1]), torch.ones(colors, own.shape[1])])
            mask = torch.cat([by_value, mask], 1)
        super().__init__(sides, features, hidden, mask, n_seen=directions, colors=colors)
        self.shown = shown
        self.waves = diagonal_waves(sides)
        place, slot = _where(sides, self.waves)
        mirrored = [place, place.flip(1)][:directions]  # what the left is to one, the right is to the other
        from_wave = torch.stack([each.flatten() for each in mirrored])
        above = torch.cat([torch.zeros_like(slot[:1]), slot.flip(1)[:-1] + n_slots(self.waves)])
        self.register_buffer("from_wave", from_wave, persistent=False)
        self.register_buffer("by_wave", from_wave.argsort(1).flatten(), persistent=False)
        self.register_buffer("left_slot", slot.flatten(), persistent=False)
        self.register_buffer("right_slot", above.flatten(), persistent=False)

    def forward(self, x: Tensor, values: Tensor, told: Tensor | None = None) -> Tensor:
        """As `RecurrentLayer.forward`."""
        batch = x.shape[1]
        if self.shown:
            x = torch.cat([values.to(x.dtype), x], -1)
        skewed: Tensor = _Skew.apply(x, self.by_wave, self.from_wave)
        gates = self._gates(skewed.view(self.directions, -1, x.shape[-1]), told, batch)
        states = sweep(gates, self.state_to_state, self.waves).flatten(0, 1)
        from_left = states.index_select(0, self.left_slot)
        return from_left if self.directions == 1 else from_left + states.index_select(0, self.right_slot)

    def begin(self, n: int, told: Tensor | None) -> LayerSteps:
        """As `RecurrentLayer.begin`."""
        return _DiagonalSteps(self, n, told)


class _Skew(torch.autograd.Function):
    """Pixels in reading order, put into the order of waves for each direction.

    A permutation is undone by a permutation: PyTorch would scatter and add, pixel by pixel.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, by_wave: Tensor, from_wave: Tensor) -> Tensor:
        ctx.save_for_backward(from_wave)
        return x.index_select(0, by_wave)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (from_wave,) = ctx.saved_tensors
        parts = grad.view(len(from_wave), -1, *grad.shape[1:])
        return sum_of([part.index_select(0, order) for part, order in zip(parts, from_wave, strict=True)]), None, None


def sum_of(parts: Sequence[Tensor]) -> Tensor:
    """All of one shape, added."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


class _DiagonalSteps(LayerSteps):
    """From the left a pixel at a time; from the right a row at a time, once the row is complete."""

    def __init__(self, layer: DiagonalBiLSTM, n: int, told: Tensor | None) -> None:
        super().__init__(layer, n, told)
        self.shown = layer.shown
        beside, *above = layer.state_to_state.split(layer.hidden, 1)
        self.beside, self.above = beside, above[0] if above else None
        self.right, self.right_input = torch.zeros_like(self.states), layer.masked_input[-1]

    def begin_row(self, above: Tensor | None) -> None:
        self.from_above = self.bias[0].expand(len(self.states), -1, -1)
        if above is None or self.above is None:
            return
        self._go_back(torch.cat([above, self.features], -1) if self.shown else self.features)
        self.from_above = self.from_above + self.states @ self.above[0]

    def begin_pixel(self, j: int) -> tuple[Tensor, Tensor | None]:
        if not j:
            return self.from_above[j], None
        return torch.addmm(self.from_above[j], self.states[j - 1], self.beside[0]), self.cells[j - 1]

    def state(self, color: int) -> Tensor:
        """As `LayerSteps.state`: both directions added."""
        return super().state(color) + self.right[self.j]

    def _go_back(self, inputs: Tensor) -> None:
        """Goes through the row that is complete, inputs (width, n, n_in), from right to left."""
        assert self.above is not None
        sums = self.bias[1] + inputs @ self.right_input + self.right @ self.above[1]
        c, tanh_c, before = (torch.empty_like(self.right[:1]) for _ in range(3))
        for j in reversed(range(len(sums))):
            if j + 1 < len(sums):
                sums[j].addmm_(self.right[j + 1], self.beside[1])
                cell(sums[j : j + 1], before, c, tanh_c, self.right[j : j + 1])
            else:
                cell(sums[j : j + 1], None, c, tanh_c, self.right[j : j + 1])
            c, before = before, c


def diagonal_waves(sides: Sides) -> tuple[Wave, ...]:
    """Diagonals from the upper left corner on, top to bottom. Each pixel sees the states beside and above it."""
    height, width = sides
    waves: list[Wave] = []
    top_before = 0
    for d in range(height + width - 1):
        top, bottom = max(0, d - width + 1), min(height - 1, d)
        first = waves[-1].first + waves[-1].size if waves else 0
        seen: tuple[int, ...] = ()
        if waves:
            beside = waves[-1].slot + top - top_before
            seen = (beside,) if height == 1 else (beside, beside - 1)
        waves.append(Wave(first, bottom - top + 1, first + d + 1, seen, seen[0] if seen else 0))
        top_before = top
    return tuple(waves)


def _where(sides: Sides, waves: Sequence[Wave]) -> tuple[Tensor, Tensor]:
    """Of each pixel its place in the order of waves, and the slot of its states: (height, width) each."""
    height, width = sides
    place, slot = torch.zeros(height, width, dtype=torch.long), torch.zeros(height, width, dtype=torch.long)
    for d, wave in enumerate(waves):
        i = torch.arange(wave.size) + max(0, d - width + 1)
        place[i, d - i] = torch.arange(wave.size) + wave.first
        slot[i, d - i] = torch.arange(wave.size) + wave.slot
    return place, slot
