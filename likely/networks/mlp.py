"""Fully connected networks."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import nn

from likely.contract import Shape
from likely.networks.codec import Codec, Network

Activation = Literal["relu", "silu", "gelu", "tanh", "sigmoid"]
ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def layers(sizes: tuple[int, ...], activation: Activation) -> list[nn.Module]:
    """Linear layers between consecutive sizes, an activation after each."""
    return [module for a, b in pairwise(sizes) for module in (nn.Linear(a, b), ACTIVATIONS[activation]())]


@dataclass(frozen=True)
class MLP(Network):
    """Fully connected layers, `hidden` in the encoder and the same reversed in the decoder.

    Attributes:
        hidden: widths from x to the code; empty for a linear autoencoder.
        activation: after each hidden layer.
        linear_path: adds a linear map beside the deep one (see `Codec`).
    """

    hidden: tuple[int, ...] = (512, 512)
    activation: Activation = "silu"
    linear_path: bool = False

    def build(
        self, x_shape: Shape, *, code_size: int, z_size: int, raw_channels: int = 1, condition_size: int = 0
    ) -> Codec:
        """As `Network.build`; takes any shape."""
        n_values = math.prod(x_shape)
        up, down = (n_values, *self.hidden), (z_size + condition_size, *self.hidden[::-1])
        return Codec(
            x_shape,
            nn.Sequential(nn.Flatten(), *layers(up, self.activation)),
            nn.Linear(up[-1] + condition_size, code_size),
            nn.Sequential(*layers(down, self.activation), nn.Linear(down[-1], raw_channels * n_values)),
            z_size=z_size,
            raw_channels=raw_channels,
            linear_path=self.linear_path,
        )
