"""An LSTM over the pixels of images, wave by wave: all pixels of a wave at once, each from states of the wave before.

Which pixels make a wave, and which states each of them sees, is a plan: rows for the Row LSTM, diagonals for the
Diagonal BiLSTM. States lie wave after wave with a slot of zeros before, between and after, so that what the pixels of
a wave see of the wave before are slices of it, a slot off to either side; outside the image they read zeros.

Reference: Pixel Recurrent Neural Networks (van den Oord et al., 2016), arXiv:1601.06759, sections 3.1 to 3.3
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

GATES = 4
"""Output, forget, input and candidate, in this order."""


@dataclass(frozen=True)
class Wave:
    """Pixels of one step.

    Attributes:
        first: where its pixels begin, among all pixels in the order of waves.
        size: how many pixels.
        slot: where its states begin, among the slots.
        seen: where the states begin that its pixels see, for each weight; none for the first wave.
        cell: where the cells begin that its pixels go on from.
    """

    first: int
    size: int
    slot: int
    seen: tuple[int, ...] = ()
    cell: int = 0


def n_slots(waves: Sequence[Wave]) -> int:
    """Slots of all states, with the zeros around them."""
    return waves[-1].slot + waves[-1].size + 1


def sweep(gates: Tensor, weight: Tensor, waves: Sequence[Wave]) -> Tensor:
    """The hidden states of an LSTM, wave after wave.

    Args:
        gates: (directions, pixels, batch, 4 h), what the input says to the gates, pixels in the order of waves.
        weight: (directions, k h, 4 h), from the k states that a pixel sees to its gates.
        waves: the steps, first to last; all directions take them at once.

    Returns:
        (directions, slots, batch, h).
    """
    with torch.autocast(gates.device.type, enabled=False):
        states: Tensor = _Sweep.apply(gates, weight.to(gates.dtype), waves)
    return states


def cell(activations: Tensor, before: Tensor | None, c: Tensor, tanh_c: Tensor, h: Tensor) -> None:
    """One step of the LSTM, for all pixels of a wave in all directions.

    Args:
        activations: (directions, size, batch, 4 h), sums that become the gates in place.
        before: (directions, size, batch, h), the cells to go on from; None for zeros.
        c: the same shape, becomes the new cells.
        tanh_c: the same shape, becomes their hyperbolic tangents.
        h: the same shape, becomes the hidden states.
    """
    width = h.shape[-1]
    activations[..., : 3 * width].sigmoid_()
    activations[..., 3 * width :].tanh_()
    output, forget, take, candidate = activations.chunk(GATES, -1)
    torch.mul(take, candidate, out=c)
    if before is not None:
        c.addcmul_(forget, before)
    torch.tanh(c, out=tanh_c)
    torch.mul(output, tanh_c, out=h)


class _Sweep(torch.autograd.Function):
    """Written by hand, forth and back: autograd's own record of so many small steps costs as much as the steps."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, waves: Sequence[Wave]) -> Tensor:
        directions, n_pixels, batch, width = gates.shape[0], gates.shape[1], gates.shape[2], gates.shape[3] // GATES
        states = gates.new_zeros(directions, n_slots(waves), batch, width)
        cells, activations = torch.zeros_like(states), torch.empty_like(gates)
        tanh_c = gates.new_empty(directions, n_pixels, batch, width)
        seen = gates.new_empty(directions, n_pixels, batch, weight.shape[1])
        for wave in waves:
            pixels, slots = slice(wave.first, wave.first + wave.size), slice(wave.slot, wave.slot + wave.size)
            sums, before = activations[:, pixels], None
            if wave.seen:
                torch.cat([states[:, i : i + wave.size] for i in wave.seen], -1, out=seen[:, pixels])
                a, b = gates[:, pixels].flatten(1, 2), seen[:, pixels].flatten(1, 2)
                torch.baddbmm(a, b, weight, out=sums.view(a.shape))
                before = cells[:, wave.cell : wave.cell + wave.size]
            else:
                sums.copy_(gates[:, pixels])
                seen[:, pixels] = 0
            cell(sums, before, cells[:, slots], tanh_c[:, pixels], states[:, slots])
        ctx.save_for_backward(weight, activations, cells, tanh_c, seen)
        ctx.waves = waves
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, activations, cells, tanh_c, seen = ctx.saved_tensors
        d_states, d_cells, d_sums = grad.clone(), torch.zeros_like(cells), torch.empty_like(activations)
        width, back = cells.shape[-1], weight.transpose(1, 2)
        for wave in reversed(ctx.waves):
            pixels, slots = slice(wave.first, wave.first + wave.size), slice(wave.slot, wave.slot + wave.size)
            sums, earlier = d_sums[:, pixels], slice(wave.cell, wave.cell + wave.size)
            before = cells[:, earlier] if wave.seen else None
            d_before = _cell_backward(
                d_states[:, slots], d_cells[:, slots], activations[:, pixels], before, tanh_c[:, pixels], sums
            )
            if wave.seen:
                d_cells[:, earlier] = d_before
                d_seen = torch.bmm(sums.flatten(1, 2), back).view(*sums.shape[:3], -1)
                for i, part in zip(wave.seen, d_seen.split(width, -1), strict=True):
                    d_states[:, i : i + wave.size] += part
        d_weight = torch.bmm(seen.flatten(1, 2).transpose(1, 2), d_sums.flatten(1, 2))
        return d_sums, d_weight, None


def _cell_backward(
    d_h: Tensor, d_c: Tensor, activations: Tensor, before: Tensor | None, tanh_c: Tensor, d_sums: Tensor
) -> Tensor:
    """Fills `d_sums` (directions, size, batch, 4 h), and returns the gradient of the cells before, as `before`."""
    width = d_h.shape[-1]
    output, forget, take, candidate = activations.chunk(GATES, -1)
    d_output, d_forget, d_take, d_candidate = d_sums.chunk(GATES, -1)
    through = torch.ops.aten.tanh_backward(d_h * output, tanh_c).add_(d_c)  # into the cells
    torch.mul(d_h, tanh_c, out=d_output)
    torch.mul(through, candidate, out=d_take)
    torch.mul(through, take, out=d_candidate)
    if before is None:
        d_forget.zero_()
    else:
        torch.mul(through, before, out=d_forget)
    gated, gates = d_sums[..., : 3 * width], activations[..., : 3 * width]
    torch.ops.aten.sigmoid_backward.grad_input(gated, gates, grad_input=gated)
    torch.ops.aten.tanh_backward.grad_input(d_candidate, candidate, grad_input=d_candidate)
    return through.mul_(forget)
