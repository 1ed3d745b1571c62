"""Layers of a PixelRNN: LSTMs over the pixels of an image, and their states pixel by pixel.

Maps are (pixels, batch, channels), pixels in reading order, so that what happens within a pixel is one matrix product.
The channels of a map belong to colors as `likely.networks.masked_convolution` has it.
"""

import abc
import math

import torch
from torch import Tensor, nn

from likely import rng
from likely.networks.masked_convolution import color_mask
from likely.networks.wavefront import GATES

Sides = tuple[int, int]
"""Height and width."""


class RecurrentLayer(nn.Module, abc.ABC):
    """(pixels, batch, features) to states (pixels, batch, hidden) of the same pixels, which see what came before.

    Within a pixel the states of a color see the features of this color and those before it; of other pixels they see
    all.

    Args:
        sides: of the image.
        features: channels in.
        hidden: states of each pixel.
        mask: (directions, n_in, gates), what of its n_in inputs, the last being the features of the pixel itself, a
            pixel's gates see.
        n_seen: pixels whose states a pixel sees.
        colors: channels of the image.
    """

    mask: Tensor

    def __init__(self, sides: Sides, features: int, hidden: int, mask: Tensor, *, n_seen: int, colors: int) -> None:
        super().__init__()
        self.sides, self.features, self.hidden, self.colors = sides, features, hidden, colors
        self.directions, n_inputs, n_gates = mask.shape
        self.register_buffer("mask", mask, persistent=False)
        self.input_to_state = nn.Parameter(_uniform((self.directions, n_inputs, n_gates)))
        self.state_to_state = nn.Parameter(_uniform((self.directions, hidden * n_seen, n_gates)))
        self.bias = nn.Parameter(torch.zeros(self.directions, 1, n_gates))
        with torch.no_grad():
            self.bias[..., hidden : 2 * hidden] = 1  # forget little at first

    @property
    def masked_input(self) -> Tensor:
        """What inputs are multiplied with: (directions, n_in, gates)."""
        return self.input_to_state * self.mask

    @abc.abstractmethod
    def forward(self, x: Tensor, values: Tensor, told: Tensor | None = None) -> Tensor:
        """The states of all pixels.

        Args:
            x: (pixels, batch, features).
            values: (pixels, batch, colors), the image itself.
            told: (directions, batch, gates), what a context says to the gates of every pixel.

        Returns:
            (pixels, batch, hidden).
        """

    def _gates(self, inputs: Tensor, told: Tensor | None, batch: int) -> Tensor:
        """Inputs (directions, pixels * batch, n_in) to sums (directions, pixels, batch, gates)."""
        if told is None:
            return torch.baddbmm(self.bias, inputs, self.masked_input).unflatten(1, (-1, batch))
        gates = torch.bmm(inputs, self.masked_input).unflatten(1, (-1, batch))
        return gates + (self.bias + told).unsqueeze(1).to(gates.dtype)

    @abc.abstractmethod
    def begin(self, n: int, told: Tensor | None) -> "LayerSteps":
        """Starts n rows, to be gone through pixel by pixel."""


class LayerSteps(abc.ABC):
    """A layer on its way through images: told the features of a pixel, color after color, it gives the states.

    Args:
        layer: whose weights it uses.
        n: rows.
        told: (directions, n, gates), from a context.
    """

    def __init__(self, layer: RecurrentLayer, n: int, told: Tensor | None) -> None:
        width, colors = layer.sides[1], layer.colors
        like, weight = layer.bias, layer.masked_input
        self.layer, self.colors = layer, colors
        self.bias = layer.bias if told is None else layer.bias + told
        # Of the row that is gone through; to the right of the pixel still of the row before.
        self.features = like.new_zeros(width, n, layer.features)
        self.states = like.new_zeros(width, n, layer.hidden)
        self.cells = torch.zeros_like(self.states)
        own = weight[0, -layer.features :]
        self.own = [own[:, color::colors].contiguous() for color in range(colors)]

    @abc.abstractmethod
    def begin_row(self, above: Tensor | None) -> None:
        """Goes on to the next row; of the one before, which is complete, above are the values (width, n, colors)."""

    @abc.abstractmethod
    def begin_pixel(self, j: int) -> tuple[Tensor, Tensor | None]:
        """What other pixels say to the gates of pixel j of the row, (n, gates), and the cells it goes on from."""

    def enter(self, j: int) -> None:
        """Goes on to pixel j of the row."""
        self.j = j
        self.sums, self.before = self.begin_pixel(j)

    def state(self, color: int) -> Tensor:
        """States (n, hidden) of the pixel, right up to this color; its features must be so."""
        own = slice(color, None, self.colors)
        sums = torch.addmm(self.sums[:, own], self.features[self.j], self.own[color])
        output, forget, take, candidate = sums.chunk(GATES, -1)
        cells = take.sigmoid() * candidate.tanh()
        if self.before is not None:
            cells += forget.sigmoid() * self.before[:, own]
        self.cells[self.j, :, own] = cells
        self.states[self.j, :, own] = output.sigmoid() * cells.tanh()
        return self.states[self.j]


def pixel_mask(features: int, hidden: int, *, colors: int = 1) -> Tensor:
    """What the gates of a pixel see of its own features: (features, gates)."""
    return color_mask(features, GATES * hidden, "B", colors=colors).T


def _uniform(shape: tuple[int, ...]) -> Tensor:
    """Starting weights (..., n_in, n_out)."""
    bound = 1 / math.sqrt(shape[-2])
    return bound * (2 * rng.uniform(*shape) - 1)
