"""Networks that say of each value what the values before it say of it: the interface, and its plain sampler.

A place is what is drawn at once: a pixel of one channel, a column of a table (all 0/1 values of a category). Values
are numbered as x stands flattened, c * h * w of them for an image; the raw numbers of value i are raw.flatten(1)
viewed as (batch, raw_channels, n_values) at [:, :, i], as likelihoods read them.
"""

import abc
import itertools
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from likely.contract import Shape


class Steps(Protocol):
    """Rows on their way: asked for the raw numbers of a place, then told its values, place after place."""

    def raw(self, place: int) -> Tensor:
        """The raw numbers of a place, (batch, raw_channels * its values), given all places before it."""

    def put(self, place: int, values: Tensor) -> None:
        """Sets the values (batch, its values) of the place that was asked for last."""


class CausalNetwork(nn.Module, abc.ABC):
    """x to raw numbers (batch, raw_channels * c, ...), those of each place by the places before it alone.

    Args:
        x_shape: of one row.
        raw_channels: numbers for each value.
        places: the values of each place, in the order in which they are drawn.
        context_size: how many numbers of a context all outputs see.
    """

    def __init__(self, x_shape: Shape, raw_channels: int, places: tuple[slice, ...], *, context_size: int = 0) -> None:
        super().__init__()
        self.x_shape, self.raw_channels, self.places, self.context_size = x_shape, raw_channels, places, context_size

    @abc.abstractmethod
    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """All raw numbers in one pass.

        Args:
            x: (batch, *x_shape).
            context: (batch, context_size), or None.

        Returns:
            (batch, raw_channels * x_shape[0], *x_shape[1:]).
        """

    def begin(self, n: int, context: Tensor | None = None) -> Steps:
        """Starts n rows. Networks override this to compute each number once; it may not change what comes out."""
        return Anew(self, n, context)

    def raw_at(self, raw: Tensor, place: int) -> Tensor:
        """Of all raw numbers those of a place: (batch, raw_channels * its values)."""
        return raw.reshape(len(raw), self.raw_channels, -1)[:, :, self.places[place]].flatten(1)


class Anew:
    """Steps that run the whole network for each place: what caches are measured against."""

    def __init__(self, network: CausalNetwork, n: int, context: Tensor | None) -> None:
        like = next(network.parameters())
        self.network, self.context = network, context
        self.x = torch.zeros(n, *network.x_shape, dtype=like.dtype, device=like.device)

    def raw(self, place: int) -> Tensor:
        """As `Steps.raw`."""
        return self.network.raw_at(self.network(self.x, self.context), place)

    def put(self, place: int, values: Tensor) -> None:
        """As `Steps.put`."""
        self.x.flatten(1)[:, self.network.places[place]] = values


def pixel_places(x_shape: Shape) -> tuple[slice, ...]:
    """Pixel after pixel as one reads, all channels of a pixel in turn: of (c, h, w) images and (c, length) signals."""
    channels, *sides = x_shape
    n_pixels = int(torch.Size(sides).numel())
    first = [channel * n_pixels + pixel for pixel in range(n_pixels) for channel in range(channels)]
    return tuple(slice(i, i + 1) for i in first)


def vector_places(widths: Sequence[int]) -> tuple[slice, ...]:
    """Places of so many values each, one after another."""
    ends = list(itertools.accumulate(widths))
    return tuple(slice(end - width, end) for end, width in zip(ends, widths, strict=True))


def place_of_values(places: Sequence[slice]) -> Tensor:
    """The number of the place that each value belongs to, as x stands flattened: (n,)."""
    of = torch.empty(sum(place.stop - place.start for place in places), dtype=torch.long)
    for i, place in enumerate(places):
        of[place] = i
    return of
