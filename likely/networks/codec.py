"""The pair every autoencoder is built on: x to a code, a code to raw numbers over x."""

import abc
import math

import torch
from torch import Tensor, nn

from likely.contract import Shape


class Network(abc.ABC):
    """A value that says how an encoder and a decoder are made; its subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def build(
        self, x_shape: Shape, *, code_size: int, z_size: int, raw_channels: int = 1, condition_size: int = 0
    ) -> "Codec":
        """Makes the pair.

        Args:
            x_shape: of one row, without batch.
            code_size: how many numbers the encoder gives (2 * z_size where it gives a location and a scale).
            z_size: how many numbers the decoder takes.
            raw_channels: how many numbers the decoder gives per value of x, as its likelihood reads them.
            condition_size: how many numbers of a condition stand beside the features and beside z.

        Raises:
            ValueError: if the network does not fit x_shape.
        """


class Codec(nn.Module):
    """An encoder and a decoder, each the sum of a deep path and, where asked for, a linear one.

    The linear path lets training start from principal components (`start_linear`): the deep path starts at
    zero and learns what is left, so the pair begins as good as PCA and departs from it only as the data pays.
    """

    def __init__(
        self,
        x_shape: Shape,
        features: nn.Module,
        head: nn.Linear,
        decoder: nn.Module,
        *,
        z_size: int,
        raw_channels: int,
        linear_path: bool,
    ) -> None:
        super().__init__()
        self.raw_shape = (raw_channels * x_shape[0], *x_shape[1:])
        self.features, self.head, self.decoder = features, head, decoder
        n_values = math.prod(x_shape)
        self.linear_encoder = nn.Linear(n_values, head.out_features) if linear_path else None
        self.linear_decoder = nn.Linear(z_size, raw_channels * n_values) if linear_path else None
        # One step of Adam moves every weight alike, so a sum over many inputs by much: wide maps learn gently.
        self.encoder_gain, self.decoder_gain = n_values**-0.5, z_size**-0.5

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, *x_shape) to (batch, code_size)."""
        code: Tensor = self.head(_beside(self.features(x), condition))
        return code if self.linear_encoder is None else code + self.encoder_gain * self.linear_encoder(x.flatten(1))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, z_size) to (batch, raw_channels * x_shape[0], *x_shape[1:])."""
        raw: Tensor = self.decoder(_beside(z, condition)).view(-1, *self.raw_shape)
        if self.linear_decoder is None:
            return raw
        return raw + self.decoder_gain * self.linear_decoder(z).view(-1, *self.raw_shape)

    @torch.no_grad()
    def start_linear(self, encoder: nn.Linear, decoder: nn.Linear) -> None:
        """Makes the pair equal to two linear maps, of the linear path's own sizes; the deep paths start at zero."""
        if self.linear_encoder is None or self.linear_decoder is None:
            raise ValueError("this network was built without a linear path")
        for own, given, gain in (
            (self.linear_encoder, encoder, self.encoder_gain),
            (self.linear_decoder, decoder, self.decoder_gain),
        ):
            own.weight.copy_(given.weight / gain)
            own.bias.copy_(given.bias / gain)
        for layer in (self.head, last_layer(self.decoder)):
            for parameter in layer.parameters():
                parameter.zero_()


def last_layer(network: nn.Module) -> nn.Module:
    """The last module of `network` that holds parameters of its own."""
    return [module for module in network.modules() if next(module.parameters(recurse=False), None) is not None][-1]


def _beside(value: Tensor, condition: Tensor | None) -> Tensor:
    return value if condition is None else torch.cat([value, condition.flatten(1)], 1)
