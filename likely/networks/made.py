"""Masked networks over places: one pass gives what each place's numbers are given those before it, in several orders.

Reference: MADE: Masked Autoencoder for Distribution Estimation (Germain et al., 2015), arXiv:1502.03509
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.activations import ACTIVATIONS, Activation
from likely.networks.causal import CausalNetwork, Steps, place_of_values
from likely.networks.context import with_context
from likely.networks.dropout import Dropout
from likely.networks.masked import degrees_of_units
from likely.rng import permutation


@final
class MaskedMLP(CausalNetwork):
    """Hidden layers whose units see values of some places, and outputs that see the units of earlier places alone.

    A hidden unit of degree d sees the places at d or before in the order, and units of degree d or less; the numbers of
    the place at p see degrees below p. A context has degree -1: all see it. Masks multiply weights in every pass.

    With several orders, of which the first is that of `places`, the same weights serve all: an order is chosen at each
    pass. The first layer then has a second weight for each input, which says what it is that this input is seen at
    all: a zero that is hidden is told from a zero that is there.

    Args:
        x_shape: of one row.
        raw_channels: numbers for each value.
        places: the values of each place, in the first order.
        hidden: widths of the layers between; empty for a linear dependence.
        n_orders: how many orders; those after the first are always the same shuffles.
        direct: adds a linear map from the input to the output.
        activation: after each hidden layer.
        dropout: the share of hidden values that is left out at each training step.
        context_size: how many numbers of a context all outputs see.

    Reference: MADE: Masked Autoencoder for Distribution Estimation (Germain et al., 2015), arXiv:1502.03509,
        sections 3, 4.1 and, for the second weights, 4.2
    """

    orders: Tensor
    place_of: Tensor

    def __init__(
        self,
        x_shape: Shape,
        raw_channels: int,
        places: tuple[slice, ...],
        *,
        hidden: Sequence[int],
        n_orders: int = 1,
        direct: bool = False,
        activation: Activation = "relu",
        dropout: float = 0.0,
        context_size: int = 0,
    ) -> None:
        super().__init__(x_shape, raw_channels, places, context_size=context_size)
        n, n_places = math.prod(x_shape), len(places)
        sizes = [n + context_size, *hidden, raw_channels * n]
        self.n_orders, self.hidden = n_orders, tuple(hidden)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.direct = nn.Linear(n, raw_channels * n, bias=False) if direct and hidden else None
        self.seen = nn.Parameter(torch.zeros(sizes[1], n)) if n_orders > 1 else None
        self.activation, self.dropout = ACTIVATIONS[activation](), Dropout(dropout)
        # Rebuilt with the network, not saved.
        self.register_buffer("orders", torch.tensor(_orders(n_places, n_orders)), persistent=False)
        self.register_buffer("place_of", place_of_values(places), persistent=False)
        lowest = -1 if context_size else 0
        for i, width in enumerate(hidden):
            self.register_buffer(f"degrees_{i}", degrees_of_units(width, lowest, n_places - 2), persistent=False)
        if n_orders == 1:
            for i, mask in enumerate(self.masks(0)):
                self.register_buffer(f"mask_{i}", mask, persistent=False)

    @property
    def linears(self) -> list[nn.Linear]:
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def degrees(self, order: int | Tensor) -> list[Tensor]:
        """Of the inputs (a context after them), of the units of each hidden layer, and of the outputs."""
        chosen = self.orders[order] if isinstance(order, int) else self.orders.index_select(0, order).squeeze(0)
        values = chosen[self.place_of]
        context = values.new_full((self.context_size,), -1)
        units = [self.get_buffer(f"degrees_{i}") for i in range(len(self.hidden))]
        return [torch.cat([values, context]), *units, values.repeat(self.raw_channels)]

    def masks(self, order: int | Tensor) -> list[Tensor]:
        """Of each layer (out, in), first to last, zeros and ones; after them that of the direct map."""
        degrees = self.degrees(order)
        pairs = list(pairwise(degrees))
        down, up = pairs[-1]
        masks = [*(above[:, None] >= below for below, above in pairs[:-1]), up[:, None] > down]
        if self.direct is not None:
            masks.append(up[:, None] > degrees[0][: len(self.place_of)])
        return [mask.to(self.linears[0].weight.dtype) for mask in masks]

    def forward(self, x: Tensor, context: Tensor | None = None, order: int | Tensor = 0) -> Tensor:
        """All raw numbers in one pass.

        Args:
            x: (batch, *x_shape).
            context: (batch, context_size), or None.
            order: the number of the order, (1,) where it is a tensor, so that nothing waits for the device.

        Returns:
            (batch, raw_channels * x_shape[0], *x_shape[1:]).
        """
        values = x.flatten(1)
        h = with_context(values, context, self.context_size)
        if self.n_orders == 1:
            masks = [self.get_buffer(f"mask_{i}") for i in range(len(self.layers) + (self.direct is not None))]
        else:
            masks = self.masks(order)
        for i, (layer, mask) in enumerate(zip(self.linears, masks, strict=False)):
            bias = layer.bias + self._of_the_seen(mask) if i == 0 and self.seen is not None else layer.bias
            h = F.linear(self.dropout(self.activation(h)) if i else h, layer.weight * mask, bias)
        if self.direct is not None:
            h = h + F.linear(values, self.direct.weight * masks[-1])
        return h.view(len(x), self.raw_channels * self.x_shape[0], *self.x_shape[1:])

    def _of_the_seen(self, mask: Tensor) -> Tensor:
        """What a unit of the first layer is told by its inputs' being seen, whatever they are: (out,)."""
        assert self.seen is not None
        return (self.seen * mask[:, : self.seen.shape[1]]).sum(1)

    def begin(self, n: int, context: Tensor | None = None) -> Steps:
        """As `CausalNetwork.begin`."""
        return UnitsOnce(self, n, context, 0)

    def in_order(self, order: int) -> CausalNetwork:
        """The network of one of its orders."""
        return _InOrder(self, order)


@final
class _InOrder(CausalNetwork):
    """One order of a network with several; shares its weights."""

    def __init__(self, network: MaskedMLP, order: int) -> None:
        places = _sorted(network.places, network.orders[order].tolist())
        super().__init__(network.x_shape, network.raw_channels, places, context_size=network.context_size)
        self.network, self.order = network, order

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `CausalNetwork.forward`."""
        raw: Tensor = self.network(x, context, self.order)
        return raw

    def begin(self, n: int, context: Tensor | None = None) -> Steps:
        """As `CausalNetwork.begin`."""
        return UnitsOnce(self.network, n, context, self.order)


@final
class OrdersApart(CausalNetwork):
    """A masked network for each of several orders, the first that of `places`: none stands in another's way.

    Args:
        x_shape, raw_channels, places, n_orders, context_size: as `MaskedMLP`; the orders are those that it has.
        settings: of each, as `MaskedMLP`.
    """

    def __init__(
        self,
        x_shape: Shape,
        raw_channels: int,
        places: tuple[slice, ...],
        *,
        n_orders: int,
        context_size: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(x_shape, raw_channels, places, context_size=context_size)
        self.networks = nn.ModuleList(
            MaskedMLP(x_shape, raw_channels, _sorted(places, order), context_size=context_size, **settings)
            for order in _orders(len(places), n_orders)
        )

    def forward(self, x: Tensor, context: Tensor | None = None, order: int = 0) -> Tensor:
        """As `MaskedMLP.forward`."""
        raw: Tensor = self.networks[order](x, context)
        return raw

    def begin(self, n: int, context: Tensor | None = None) -> Steps:
        """As `CausalNetwork.begin`."""
        return self.in_order(0).begin(n, context)

    def in_order(self, order: int) -> CausalNetwork:
        """The network of one of the orders."""
        network = self.networks[order]
        assert isinstance(network, CausalNetwork)
        return network


class UnitsOnce:
    """Steps that compute each hidden unit once, when the last value it sees is known.

    Inputs, units and outputs are sorted by degree once; what a unit sees then is a beginning of the layer below it, so
    that no weight is multiplied that a mask would have taken away: all places together cost half of one pass.
    """

    def __init__(self, network: MaskedMLP, n: int, context: Tensor | None, order: int) -> None:
        degrees = network.degrees(order)
        by_degree = [each.argsort(stable=True) for each in degrees]
        n_values, dtype = len(network.place_of), network.linears[0].weight.dtype
        self.activation, self.raw_channels = network.activation, network.raw_channels
        # Of each layer, where the units of degree d begin: starts[layer][d + 1].
        bounds = torch.arange(-1, len(network.places) + 1, device=degrees[0].device)
        self.starts = [
            torch.searchsorted(each[at], bounds).tolist() for each, at in zip(degrees, by_degree, strict=True)
        ]
        self.weights = [
            layer.weight.detach()[up][:, down]
            for layer, down, up in zip(network.linears, by_degree, by_degree[1:], strict=False)
        ]
        self.biases = [layer.bias.detach()[up] for layer, up in zip(network.linears, by_degree[1:], strict=True)]
        if network.seen is not None:
            told = network.linears[0].bias + network._of_the_seen(network.masks(order)[0])
            self.biases[0] = told.detach()[by_degree[1]]
        self.direct = None
        if network.direct is not None:
            # A context comes first among the inputs, being of degree -1, and the direct map does not see it.
            self.direct = network.direct.weight.detach()[by_degree[-1]][:, by_degree[0][network.context_size :]]
        self.context_size = network.context_size
        widths = [n_values + network.context_size, *network.hidden]
        self.values = [torch.zeros(n, width, dtype=dtype, device=degrees[0].device) for width in widths]
        with_context(self.values[0][:, :n_values], context, network.context_size)
        if context is not None:
            self.values[0][:, : network.context_size] = context

    def raw(self, place: int) -> Tensor:
        """As `Steps.raw`."""
        # What is seen now: degrees below `place`; those units whose degree is place - 1 have not been computed yet.
        for i in range(len(self.values) - 1):
            first, end, seen = self.starts[i + 1][place], self.starts[i + 1][place + 1], self.starts[i][place + 1]
            if first < end:
                weight, bias = self.weights[i][first:end, :seen], self.biases[i][first:end]
                self.values[i + 1][:, first:end] = self.activation(F.linear(self.values[i][:, :seen], weight, bias))
        first, end, seen = self.starts[-1][place + 1], self.starts[-1][place + 2], self.starts[-2][place + 1]
        raw = F.linear(self.values[-1][:, :seen], self.weights[-1][first:end, :seen], self.biases[-1][first:end])
        if self.direct is not None:
            seen = self.starts[0][place + 1] - self.context_size
            inputs = self.values[0][:, self.context_size : self.context_size + seen]
            raw = torch.addmm(raw, inputs, self.direct[first:end, :seen].T)
        return raw

    def put(self, place: int, values: Tensor) -> None:
        """As `Steps.put`."""
        self.values[0][:, self.starts[0][place + 1] : self.starts[0][place + 2]] = values


def _orders(n: int, n_orders: int) -> list[list[int]]:
    """Fixed orders of n places, the first as they stand: the place in the order of each."""
    return [list(range(n)), *(permutation(n, "made", number).tolist() for number in range(1, n_orders))]


def _sorted(places: tuple[slice, ...], order: Sequence[int]) -> tuple[slice, ...]:
    """Places by their place in an order."""
    return tuple(places[place] for place in sorted(range(len(places)), key=order.__getitem__))
