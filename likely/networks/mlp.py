"""Fully connected networks."""

import math
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from likely.contract import Shape
from likely.networks.activations import ACTIVATIONS, Activation
from likely.networks.codec import Codec, DeepCodec, Layer, Network
from likely.networks.dropout import Dropout
from likely.networks.tied import TransposedLinear, check_tied


@dataclass(frozen=True)
class MLP(Network):
    """Fully connected layers, `hidden` in the encoder and the same reversed in the decoder.

    Attributes:
        hidden: widths from x to the code; empty for a linear autoencoder.
        activation: after each hidden layer.
        linear_path: adds a linear map beside the deep one (see `DeepCodec`).
        code_activation: of the code itself; None leaves it linear.
        dropout: the share of hidden values that is left out at each training step (Srivastava et al., 2014); a code
            with an activation is a hidden layer like the others.
        input_dropout: the same of the values of x.
        tied: the decoder's weights are the encoder's, transposed.
    """

    hidden: tuple[int, ...] = (512, 512)
    activation: Activation = "silu"
    linear_path: bool = False
    code_activation: Activation | None = None
    dropout: float = 0.0
    input_dropout: float = 0.0
    tied: bool = False

    def __post_init__(self) -> None:
        for name, share in (("dropout", self.dropout), ("input_dropout", self.input_dropout)):
            if not 0 <= share < 1:
                raise ValueError(f"MLP: {name} must be a share from 0 to below 1, got {share}")

    def build(
        self, x_shape: Shape, *, code_size: int, z_size: int, raw_channels: int = 1, condition_size: int = 0
    ) -> Codec:
        """As `Network.build`; takes any shape."""
        if self.tied:
            check_tied(code_size, z_size, raw_channels, condition_size, self.linear_path)
        n_values = math.prod(x_shape)
        sizes = (n_values, *self.hidden)
        ups = [nn.Linear(a, b) for a, b in pairwise(sizes)]
        head = nn.Linear(sizes[-1] + condition_size, code_size)
        downs = self._downs(ups, head, (z_size + condition_size, *self.hidden[::-1], raw_channels * n_values))
        code_activation = None if self.code_activation is None else ACTIVATIONS[self.code_activation]()
        features = [self._activated(up) for up in ups]
        entrance = [nn.Flatten(), Dropout(self.input_dropout)] if self.input_dropout else [nn.Flatten()]
        decoder = [*(self._activated(down) for down in downs[:-1]), [downs[-1]]]
        return DeepCodec(
            x_shape,
            nn.Sequential(*entrance, *(module for stage in features for module in stage)),
            head,
            nn.Sequential(*(module for stage in decoder for module in stage)),
            z_size=z_size,
            raw_channels=raw_channels,
            linear_path=self.linear_path,
            code_activation=code_activation,
            code_dropout=0.0 if code_activation is None else self.dropout,
            layers=self._layers([*features, [head, code_activation or nn.Identity()]], decoder, x_shape, raw_channels),
        )

    def _downs(self, ups: list[nn.Linear], head: nn.Linear, sizes: tuple[int, ...]) -> list[nn.Module]:
        if self.tied:
            return [TransposedLinear(partner) for partner in (head, *ups[::-1])]
        return [nn.Linear(a, b) for a, b in pairwise(sizes)]

    def _activated(self, layer: nn.Module) -> list[nn.Module]:
        activated = [layer, ACTIVATIONS[self.activation]()]
        return [*activated, Dropout(self.dropout)] if self.dropout else activated

    def _layers(
        self, ups: list[list[nn.Module]], downs: list[list[nn.Module]], x_shape: Shape, raw_channels: int
    ) -> tuple[Layer, ...]:
        """Layer by layer, without dropout; the lowest takes x in its own shape and gives raw numbers in theirs."""
        forth = [[nn.Flatten(), *_without_dropout(up)] for up in ups]
        back = [_without_dropout(down) for down in downs[::-1]]
        back[0].append(nn.Unflatten(1, (raw_channels * x_shape[0], *x_shape[1:])))
        return tuple(Layer(nn.Sequential(*up), nn.Sequential(*down)) for up, down in zip(forth, back, strict=True))


def _without_dropout(modules: list[nn.Module]) -> list[nn.Module]:
    # A layer that is trained by itself has its corruption; what is left out in the whole network is left in here.
    return [module for module in modules if not isinstance(module, Dropout)]
