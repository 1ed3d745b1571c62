"""A code as large as x and larger: for restoring, where nothing may be thrown away."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from likely.contract import Shape
from likely.networks.activations import ACTIVATIONS, Activation
from likely.networks.codec import Bottleneck, Codec, Layer, Network, parameters_of
from likely.networks.convolutions import CONVOLUTIONS, ChannelsLast, ResidualBlock, check_is_map, cropped


def fold(x: Tensor, factor: int) -> Tensor:
    """Moves each window's values into channels: (batch, c, h, w) to (batch, c * factor**2, ceil(h / factor), ...).

    Sides that `factor` does not divide are continued by their last line.
    """
    n_dims = x.ndim - 2
    missing = [pad for side in reversed(x.shape[2:]) for pad in (0, -side % factor)]
    x = F.pad(x, missing, mode="replicate") if any(missing) else x
    for axis in range(n_dims):
        x = x.unflatten(2 + 2 * axis, (-1, factor))
    # (batch, c, h, f, w, f) to (batch, c, f, f, h, w)
    inner, outer = range(3, 3 + 2 * n_dims, 2), range(2, 2 + 2 * n_dims, 2)
    return x.permute(0, 1, *inner, *outer).flatten(1, 1 + n_dims)


def unfold(x: Tensor, factor: int, size: Shape) -> Tensor:
    """The inverse of `fold`: (batch, c, *size)."""
    n_dims = len(size)
    x = x.unflatten(1, (-1, *[factor] * n_dims))
    axes = [axis for i in range(n_dims) for axis in (2 + n_dims + i, 2 + i)]
    x = x.permute(0, 1, *axes)
    for axis in range(n_dims):
        x = x.flatten(2 + axis, 3 + axis)
    return cropped(x, size)


class FullResolutionCodec(Codec):
    """The code holds x as it came, beside the features; the decoder adds to that x what they say."""

    def __init__(self, features: nn.Module, decoder: nn.Module, x_shape: Shape, factor: int) -> None:
        super().__init__()
        self.features, self.decoder, self.x_shape, self.factor = features, decoder, x_shape, factor
        self.folded = x_shape[0] * factor ** (len(x_shape) - 1)
        self.map_size = tuple(math.ceil(side / factor) for side in x_shape[1:])

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """As `Codec.encode`: (batch, code_size), a map laid flat."""
        seen = fold(x, self.factor)
        return torch.cat([seen, self.features(seen).to(seen.dtype)], 1).flatten(1)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """As `Codec.decode`."""
        seen, features = z.unflatten(1, (-1, *self.map_size)).tensor_split([self.folded], 1)
        raw: Tensor = seen + self.decoder(features)
        return unfold(raw, self.factor, self.x_shape[1:])

    def through(self, x: Tensor, condition: Tensor | None = None, *, bottleneck: Bottleneck) -> tuple[Tensor, Tensor]:
        """As `Codec.through`: nothing but the code is handed over."""
        z = bottleneck(self.encode(x, condition))
        return z, self.decode(z, condition)

    def encoder_parameters(self) -> tuple[nn.Parameter, ...]:
        """As `Codec.encoder_parameters`."""
        return parameters_of(self.features)

    def layers(self) -> tuple[Layer, ...]:
        """As `Codec.layers`: this network cannot be cut."""
        raise ValueError("FullResolution is trained whole; train layer by layer with MLP or Convolutional")


@dataclass(frozen=True)
class FullResolution(Network):
    """Residual blocks without any bottleneck: the code is x itself, folded, beside `channels` maps of features.

    It starts as the identity and learns what to take away, as a restoring autoencoder should; a plain autoencoder
    learns nothing with it. Twice `blocks` residual blocks work at 1 / `factor` of the resolution, which costs
    factor**2 times less than at the full one.

    Attributes:
        channels: of each layer.
        blocks: residual blocks of two convolutions, in the encoder and again in the decoder.
        factor: the side of the windows that are folded into channels.
        activation: before each convolution of a block.

    Reference: Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising (Zhang et al., 2017),
        arXiv:1608.03981; for folding, FFDNet (Zhang et al., 2018), arXiv:1710.04026
    """

    channels: int = 48
    blocks: int = 3
    factor: int = 2
    activation: Activation = "relu"

    def build(
        self, x_shape: Shape, *, code_size: int, z_size: int, raw_channels: int = 1, condition_size: int = 0
    ) -> Codec:
        """As `Network.build`; x_shape is (channels, height, width), or (channels, length)."""
        check_is_map(x_shape, "FullResolution")
        own = self.own_z_size(x_shape)
        if code_size != own or z_size != own:
            raise ValueError(f"FullResolution fixes the size of the code: leave z_size out, or give {own}")
        if raw_channels != 1 or condition_size:
            raise ValueError("FullResolution gives one raw number per value of x, such as Gaussian(scale=1.0) reads")
        n_dims, folded = len(x_shape) - 1, self._folded(x_shape)
        act, convolution = ACTIVATIONS[self.activation], CONVOLUTIONS[n_dims]
        first = convolution(folded, self.channels, 3, padding=1)
        last = convolution(self.channels, folded, 3, padding=1)
        with torch.no_grad():
            for parameter in last.parameters():
                parameter.zero_()

        def blocks() -> list[nn.Module]:
            return [ResidualBlock(self.channels, n_dims, act) for _ in range(self.blocks)]

        features = nn.Sequential(ChannelsLast(), first, *blocks())
        return FullResolutionCodec(features, nn.Sequential(ChannelsLast(), *blocks(), last), x_shape, self.factor)

    def own_z_size(self, x_shape: Shape) -> int:
        """As `Network.own_z_size`."""
        check_is_map(x_shape, "FullResolution")
        return (self._folded(x_shape) + self.channels) * math.prod(math.ceil(s / self.factor) for s in x_shape[1:])

    def _folded(self, x_shape: Shape) -> int:
        return int(x_shape[0] * self.factor ** (len(x_shape) - 1))
