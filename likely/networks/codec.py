"""The pair every autoencoder is built on: x to a code, a code to raw numbers over x."""

import abc
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from likely.contract import Batch, Shape
from likely.networks.activations import ACTIVATIONS, Activation
from likely.networks.dropout import Dropout
from likely.principal import start_of

Bottleneck = Callable[[Tensor], Tensor]
"""What is done to a code, (batch, code_size), before it is decoded."""


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
            ValueError: if the network does not fit x_shape, or a size.
        """

    def own_z_size(self, x_shape: Shape) -> int | None:
        """The size of the code where the network itself fixes it, because the code is a map over x; else None."""
        return None


class Layer(NamedTuple):
    """One layer of an autoencoder by itself: modules that share their weights with the whole."""

    up: nn.Module
    """From what the layers below give (x, for the first) to this layer's code."""
    down: nn.Module
    """From this layer's code to what `up` took (raw numbers over x, for the first)."""


class Codec(nn.Module, abc.ABC):
    """An encoder and a decoder that know each other."""

    @abc.abstractmethod
    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, *x_shape) to (batch, code_size)."""

    @abc.abstractmethod
    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """(batch, z_size) to (batch, raw_channels * x_shape[0], *x_shape[1:])."""

    @abc.abstractmethod
    def through(self, x: Tensor, condition: Tensor | None = None, *, bottleneck: Bottleneck) -> tuple[Tensor, Tensor]:
        """Through the code and back, with whatever else the encoder hands to the decoder (pooling indices).

        Args:
            x: (batch, *x_shape).
            condition: (batch, *condition_shape), or None.
            bottleneck: applied to the code before it is decoded.

        Returns:
            The code behind the bottleneck (batch, z_size), and raw numbers over x.
        """

    @abc.abstractmethod
    def encoder_parameters(self) -> tuple[nn.Parameter, ...]:
        """Those that `encode` depends on; a tied decoder's are among them."""

    @abc.abstractmethod
    def layers(self) -> tuple[Layer, ...]:
        """The pair cut into layers, from x to the code, that can be trained one by one.

        Raises:
            ValueError: if this network cannot be cut; names one that can.
        """


class DeepCodec(Codec):
    """An encoder and a decoder, each a deep path and, where asked for, a linear one added to it.

    The linear path lets training start from principal components (`start_linear`): the deep path starts at
    zero and learns what is left, so the pair begins as good as PCA and departs from it only as the data pays.

    Args:
        x_shape: of one row.
        features: (batch, *x_shape) to (batch, features).
        head: features (and a condition) to the code.
        decoder: code (and a condition) to raw numbers, in any shape of the right size.
        z_size: how many numbers the decoder takes.
        raw_channels: how many numbers it gives per value of x.
        linear_path: adds the linear maps.
        code_activation: applied to the code last.
        code_dropout: the share of a code's values that is left out at each training step.
        layers: the same modules pair by pair, for training layer by layer.
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
        code_activation: nn.Module | None = None,
        code_dropout: float = 0.0,
        layers: tuple[Layer, ...] = (),
    ) -> None:
        super().__init__()
        self.raw_shape = (raw_channels * x_shape[0], *x_shape[1:])
        self.features, self.head, self.decoder = features, head, decoder
        self.code_activation = nn.Identity() if code_activation is None else code_activation
        self.code_dropout = Dropout(code_dropout)
        n_values = math.prod(x_shape)
        self.linear_encoder = nn.Linear(n_values, head.out_features) if linear_path else None
        self.linear_decoder = nn.Linear(z_size, raw_channels * n_values) if linear_path else None
        # One step of Adam moves every weight alike, so a sum over many inputs by much: wide maps learn gently.
        self.encoder_gain, self.decoder_gain = n_values**-0.5, z_size**-0.5
        self._layers = layers  # in a tuple, so that no weight is saved twice

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """As `Codec.encode`."""
        code: Tensor = self.head(beside(self.features(x), condition))
        if self.linear_encoder is not None:
            code = code + self.encoder_gain * self.linear_encoder(x.flatten(1))
        activated: Tensor = self.code_dropout(self.code_activation(code))
        return activated

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """As `Codec.decode`."""
        raw: Tensor = self.decoder(beside(z, condition)).view(-1, *self.raw_shape)
        if self.linear_decoder is None:
            return raw
        return raw + self.decoder_gain * self.linear_decoder(z).view(-1, *self.raw_shape)

    def through(self, x: Tensor, condition: Tensor | None = None, *, bottleneck: Bottleneck) -> tuple[Tensor, Tensor]:
        """As `Codec.through`: nothing but the code is handed over."""
        z = bottleneck(self.encode(x, condition))
        return z, self.decode(z, condition)

    def encoder_parameters(self) -> tuple[nn.Parameter, ...]:
        """As `Codec.encoder_parameters`."""
        return parameters_of(self.features, self.head, self.linear_encoder)

    def layers(self) -> tuple[Layer, ...]:
        """As `Codec.layers`."""
        if self.linear_encoder is not None:
            raise ValueError("a network with a linear path starts as PCA as a whole; give one with linear_path=False")
        if not self._layers:
            raise ValueError("this network cannot be trained layer by layer; MLP and Convolutional can")
        return self._layers

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


def start_as_pca(codec: Codec, batch: Batch, z_size: int) -> None:
    """Starts a linear path as PCA of the rows, its codes of unit variance; does nothing where there is none."""
    if not isinstance(codec, DeepCodec) or codec.linear_encoder is None:
        return
    found = start_of(batch, z_size)
    if found is None:
        return
    # Codes of unit variance: the deep decoder's layers expect inputs of that size.
    scale = found.variances.sqrt().clamp_min(1e-6 * float(found.variances.max().sqrt()) + 1e-12)
    encoder, decoder = nn.Linear(len(found.mean), z_size), nn.Linear(z_size, len(found.mean))
    with torch.no_grad():
        encoder.weight.copy_(found.components / scale[:, None])
        encoder.bias.copy_(-(found.components @ found.mean) / scale)
        decoder.weight.copy_(found.components.T * scale)
        decoder.bias.copy_(found.mean)
    codec.start_linear(encoder, decoder)


def dense_code_layer(codec: Codec) -> tuple[nn.Linear, Activation] | None:
    """The layer and its activation, where the whole encoder is one dense layer with an activation; else None."""
    if not isinstance(codec, DeepCodec) or codec.linear_encoder is not None:
        return None
    names = [name for name, kind in ACTIVATIONS.items() if type(codec.code_activation) is kind]
    deep = next(codec.features.parameters(), None) is not None
    return None if deep or not names else (codec.head, names[0])


def parameters_of(*modules: nn.Module | None) -> tuple[nn.Parameter, ...]:
    """The parameters of some modules, one after another."""
    return tuple(parameter for module in modules if module is not None for parameter in module.parameters())


def last_layer(network: nn.Module) -> nn.Module:
    """The last module of `network` that holds parameters of its own."""
    return [module for module in network.modules() if next(module.parameters(recurse=False), None) is not None][-1]


def beside(value: Tensor, condition: Tensor | None) -> Tensor:
    """Features or codes (batch, n) with the numbers of a condition after them."""
    return value if condition is None else torch.cat([value, condition.flatten(1)], 1)
