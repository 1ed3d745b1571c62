"""A hidden layer that takes one value after another: the running sums that all conditionals share.

Reference: The Neural Autoregressive Distribution Estimator (Larochelle & Murray, AISTATS 2011)
"""

import functools
import math
from itertools import pairwise
from typing import Any, Literal, final

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from likely import rng
from likely.contract import Shape
from likely.networks.causal import CausalNetwork, Steps, place_of_values
from likely.networks.context import with_context

CACHED = 2**19
"""Hidden numbers that are at hand at once, those of some values of all rows: what fits into a processor's cache."""

MOST_CACHED = 2**25
"""The same on an accelerator, which is slow to start and has no such cache."""

MAX_BLOCK = 32
"""Values gone through at once at most: within a block each is multiplied with all of the block."""

Hidden = Literal["sigmoid", "relu"]


@final
class NADENetwork(CausalNetwork):
    """The raw numbers of a place are linear in hidden units whose sums run over all values before it.

    a_1 = c, a_{d + 1} = a_d + W_d x_d; h_d = g(rho_d a_d); raw_d = b_d + V_d h_d: O(n * hidden) for a whole row, in
    training, density and sampling. Sums run in float32 at least.

    Args:
        x_shape: of one row.
        raw_channels: numbers for each value.
        places: the values of each place, in the order in which they are drawn.
        hidden: how many hidden units.
        activation: g.
        rescaled: learns rho, a factor for each place; else it is 1.
        dropout: the share of hidden units that a row does without at each training step, the same for all its places.
        context_size: how many numbers of a context the hidden units see from the start.
        block: values gone through at once; by default what the number of rows calls for. Only rounding depends on it.

    Reference: The Neural Autoregressive Distribution Estimator (Larochelle & Murray, AISTATS 2011), section 3; for rho,
        RNADE (Uria et al., 2013), arXiv:1306.0186, equation 6; for dropout, A Theoretically Grounded Application of
        Dropout in Recurrent Neural Networks (Gal & Ghahramani, 2016), arXiv:1512.05287
    """

    value_order: Tensor
    place_of: Tensor

    def __init__(
        self,
        x_shape: Shape,
        raw_channels: int,
        places: tuple[slice, ...],
        *,
        hidden: int,
        activation: Hidden = "sigmoid",
        rescaled: bool = False,
        dropout: float = 0.0,
        context_size: int = 0,
        block: int | None = None,
    ) -> None:
        super().__init__(x_shape, raw_channels, places, context_size=context_size)
        n = math.prod(x_shape)
        # Everything that is numbered by value stands in the order of the places.
        order = torch.cat([torch.arange(place.start, place.stop) for place in places])
        self.register_buffer("value_order", order, persistent=False)
        self.register_buffer("place_of", place_of_values(places)[order], persistent=False)
        self.weight = nn.Parameter((2 * rng.uniform(n, hidden) - 1) / math.sqrt(n))
        self.hidden_bias = nn.Parameter((2 * rng.uniform(hidden) - 1) / math.sqrt(n))
        self.context = nn.Linear(context_size, hidden, bias=False) if context_size else None
        self.rho = nn.Parameter(torch.ones(len(places))) if rescaled else None
        self.output = nn.Parameter((2 * rng.uniform(n, raw_channels, hidden) - 1) / math.sqrt(hidden))
        self.bias = nn.Parameter(torch.zeros(n, raw_channels))
        self.activation, self.dropout = activation, dropout
        self.block, self.widths = block, tuple(place.stop - place.start for place in places)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `CausalNetwork.forward`."""
        # A sum of hundreds of rounded numbers is no place for bfloat16.
        with torch.autocast(x.device.type, enabled=False):
            values = x.flatten(1).to(self.weight.dtype)[:, self.value_order]
            start, rho = self.start(len(x), context), None if self.rho is None else self.rho[self.place_of]
            fixed = (self.activation, self._blocks(start), self.place_of)
            raw = _Conditionals.apply(
                values, start, self.weight, self.output, rho, self._left_in(start), *fixed
            )  # (n, batch, raw_channels)
            raw = (raw + self.bias[:, None])[self.value_order.argsort()]
        channels = self.raw_channels * self.x_shape[0]
        return raw.permute(1, 2, 0).reshape(len(x), channels, *self.x_shape[1:])

    def start(self, n: int, context: Tensor | None) -> Tensor:
        """What the hidden sums are before the first value: (n, hidden)."""
        none = self.weight.new_zeros(n, 0)
        given = with_context(none, context, self.context_size).to(self.weight.dtype)
        return self.hidden_bias.expand(n, -1) if self.context is None else self.hidden_bias + self.context(given)

    def _left_in(self, sums: Tensor) -> Tensor | None:
        """What each hidden unit of each row counts, (batch, hidden): once drawn it holds for all places."""
        if not (self.training and self.dropout):
            return None
        return rng.dropout_mask(sums, self.dropout)

    def _blocks(self, sums: Tensor) -> tuple[slice, ...]:
        at_hand = (CACHED if sums.device.type == "cpu" else MOST_CACHED) // max(1, sums.numel())
        size = 2 ** max(0, min(at_hand, MAX_BLOCK).bit_length() - 1)
        return blocks_of(self.widths, size if self.block is None else self.block)

    def begin(self, n: int, context: Tensor | None = None) -> Steps:
        """As `CausalNetwork.begin`."""
        return RunningSums(self, n, context)


class RunningSums:
    """Steps that add each value to the hidden sums when it is known: O(hidden) for each."""

    def __init__(self, network: NADENetwork, n: int, context: Tensor | None) -> None:
        self.sums = network.start(n, context).detach()
        ends = [0]
        for place in network.places:
            ends.append(ends[-1] + place.stop - place.start)
        values = [slice(first, end) for first, end in pairwise(ends)]
        self.weight = [network.weight.detach()[at] for at in values]
        # (values, raw_channels, hidden) to rows in the order of raw numbers
        self.output = [network.output.detach()[at].transpose(0, 1).flatten(0, 1) for at in values]
        self.bias = [network.bias.detach()[at].T.flatten() for at in values]
        self.rho = None if network.rho is None else network.rho.detach()
        self.relu = network.activation == "relu"

    def raw(self, place: int) -> Tensor:
        """As `Steps.raw`."""
        scaled = self.sums if self.rho is None else self.sums * self.rho[place]
        h = scaled.relu() if self.relu else scaled.sigmoid()
        return torch.addmm(self.bias[place], h, self.output[place].T)

    def put(self, place: int, values: Tensor) -> None:
        """As `Steps.put`."""
        self.sums = torch.addmm(self.sums, values, self.weight[place])


class _Conditionals(torch.autograd.Function):
    """V_d g(rho_d a_d) of all values: (n, batch, raw_channels).

    Goes through blocks of values. Kept for the way back are the sums at the beginning of each block alone, from which
    the rest is computed again: memory for batch * hidden * (n / block + block) numbers, not batch * hidden * n.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        start: Tensor,
        weight: Tensor,
        output: Tensor,
        rho: Tensor | None,
        left_in: Tensor | None,
        activation: Hidden,
        blocks: tuple[slice, ...],
        place_of: Tensor,
    ) -> Tensor:
        """x (batch, n), start (batch, hidden), weight (n, hidden), output (n, raw_channels, hidden), rho (n,),
        left_in (batch, hidden)."""
        sums, begun, raw = start, [], x.new_empty(x.shape[1], len(x), output.shape[1])
        for at in blocks:
            begun.append(sums)
            h = _units(_sums_within(x, sums, weight, at, place_of), rho, activation, at)
            torch.bmm(h if left_in is None else h.mul_(left_in), output[at].transpose(1, 2), out=raw[at])
            sums = torch.addmm(sums, x[:, at], weight[at])
        ctx.save_for_backward(x, weight, output, rho, left_in, place_of, *begun)
        ctx.activation, ctx.blocks = activation, blocks
        return raw

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_raw: Tensor) -> tuple[Tensor | None, ...]:
        """Backwards through the blocks; `after` is what all later units want of a sum, (batch, hidden)."""
        x, weight, output, rho, left_in, place_of, *begun = ctx.saved_tensors
        after = torch.zeros_like(begun[0])
        by_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        by_weight, by_output = torch.empty_like(weight), torch.empty_like(output)
        by_rho = None if rho is None else torch.empty_like(rho)
        for at, sums in zip(reversed(ctx.blocks), reversed(begun), strict=True):
            within = _sums_within(x, sums, weight, at, place_of)
            h = _units(within if rho is None else within.clone(), rho, ctx.activation, at)
            torch.bmm(by_raw[at].transpose(1, 2), h if left_in is None else h * left_in, out=by_output[at])
            by_sums = torch.bmm(by_raw[at], output[at])  # (values, batch, hidden)
            if left_in is not None:
                by_sums.mul_(left_in)
            by_sums = _through(by_sums, h, ctx.activation)
            if rho is not None and by_rho is not None:
                torch.sum(by_sums * within, (1, 2), out=by_rho[at])
                by_sums.mul_(rho[at, None, None])
            before = _before(place_of[at], x.dtype)
            seen = (before[:, None] * x[None, :, at]).flatten(0, 1)  # (values * batch, values)
            torch.addmm(seen.T @ by_sums.flatten(0, 1), x[:, at].T, after, out=by_weight[at])
            if by_x is not None:
                inner = (by_sums @ weight[at].T * before[:, None]).sum(0)
                by_x[:, at] = inner + after @ weight[at].T
            after += by_sums.sum(0)
        return by_x, after, by_weight, by_output, by_rho, None, None, None, None


def _before(place_of: Tensor, dtype: torch.dtype) -> Tensor:
    """Whether value j comes at an earlier place than value i: (i, j), zeros and ones."""
    return (place_of[:, None] > place_of).to(dtype)


def _sums_within(x: Tensor, sums: Tensor, weight: Tensor, at: slice, place_of: Tensor) -> Tensor:
    """The hidden sums that each value of a block is read from: (values, batch, hidden)."""
    seen = _before(place_of[at], x.dtype)[:, None] * x[None, :, at]
    n = len(seen)
    return torch.baddbmm(sums.expand(n, *sums.shape), seen, weight[at].expand(n, *weight[at].shape))


def _units(sums: Tensor, rho: Tensor | None, activation: Hidden, at: slice) -> Tensor:
    """g(rho a), written over the sums."""
    if rho is not None:
        sums.mul_(rho[at, None, None])
    return sums.relu_() if activation == "relu" else sums.sigmoid_()


def _through(by_h: Tensor, h: Tensor, activation: Hidden) -> Tensor:
    """What is wanted of rho a, from what is wanted of h = g(rho a)."""
    derivative = torch.ops.aten.threshold_backward(by_h, h, 0) if activation == "relu" else None
    return torch.ops.aten.sigmoid_backward(by_h, h) if derivative is None else derivative


@functools.cache
def blocks_of(widths: tuple[int, ...], size: int) -> tuple[slice, ...]:
    """Places of these widths gathered into blocks of `size` values or fewer, and no place cut in two."""
    blocks, first, end = list[slice](), 0, 0
    for width in widths:
        if end > first and end + width - first > size:
            blocks.append(slice(first, end))
            first = end
        end += width
    return (*blocks, slice(first, end))
