"""Autoencoder."""

from typing import final

import torch
from torch import Tensor, nn

from likely.contract import Batch, Decoder, Encoder, GradientFitted, Objective, Reconstructor, Shape
from likely.likelihoods import Gaussian, Likelihood
from likely.networks import Network, default_network, default_z_size
from likely.principal import principal


@final
class Autoencoder(GradientFitted, Encoder, Decoder, Reconstructor):
    """A code from which x comes back with the least distortion.

    With a linear path in its network it starts as PCA and learns what PCA leaves.

    Args:
        x_shape: of one row.
        z_size: size of the code; by default chosen by the shape.
        network: encoder and decoder; by default chosen by the shape.
        distortion: minus its log-likelihood is what is minimized; by default squared error
            (`Gaussian(scale=1.0)`), on any data.

    Reference: Reducing the Dimensionality of Data with Neural Networks (Hinton & Salakhutdinov, 2006)
    """

    def __init__(
        self,
        x_shape: Shape,
        z_size: int | None = None,
        *,
        network: Network | None = None,
        distortion: Likelihood | None = None,
    ) -> None:
        super().__init__(x_shape)
        self.z_size = default_z_size(self.x_shape) if z_size is None else z_size
        self.z_shape = (self.z_size,)
        self.distortion = Gaussian(scale=1.0) if distortion is None else distortion
        squared = isinstance(self.distortion, Gaussian) and self.distortion.scale is not None
        self.network = default_network(self.x_shape, linear_path=squared) if network is None else network
        raw_channels = self.distortion.raw_channels
        self.codec = self.network.build(
            self.x_shape, code_size=self.z_size, z_size=self.z_size, raw_channels=raw_channels
        )
        self.observation = self.distortion.build(self.x_shape)

    def initialize(self, batch: Batch) -> None:
        """Starts a linear path as PCA of the rows."""
        if self.codec.linear_encoder is None or self.distortion.raw_channels > 1:
            return
        found = principal([batch], self.z_size)
        # Codes of unit variance: the deep decoder's layers expect inputs of that size.
        scale = found.variances.sqrt().clamp_min(1e-6 * float(found.variances.max().sqrt()) + 1e-12)
        encoder, decoder = nn.Linear(len(found.mean), self.z_size), nn.Linear(self.z_size, len(found.mean))
        with torch.no_grad():
            encoder.weight.copy_(found.components / scale[:, None])
            encoder.bias.copy_(-(found.components @ found.mean) / scale)
            decoder.weight.copy_(found.components.T * scale)
            decoder.bias.copy_(found.mean)
        self.codec.start_linear(encoder, decoder)

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        distortion = -self.observation(self.codec.decode(self.codec.encode(x))).log_prob(x)
        return Objective(distortion, {"distortion": distortion})

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self.codec.encode(x)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        mean: Tensor = self.observation(self.codec.decode(z)).mean
        return mean

    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._decode(self._encode(x, condition), condition)
