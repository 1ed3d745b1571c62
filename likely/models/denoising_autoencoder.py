"""Denoising autoencoder."""

import math
from typing import final

from torch import Tensor

from likely.contract import (
    Batch,
    Decoder,
    Encoder,
    GradientFitted,
    Objective,
    Operator,
    Reconstructor,
    Restorer,
    Shape,
)
from likely.corruptions import Corruption, GaussianNoise, finish, start
from likely.distortions import Distortion, measure_of
from likely.likelihoods import Gaussian, Likelihood
from likely.networks import FullResolution, Network, choose_z_size, default_network, start_as_pca
from likely.networks.defaults import MAX_DENSE_VALUES

TINY_IMAGE = 256
"""Images of at most so many values are looked at pixel by pixel, larger ones in windows of 2 x 2."""


@final
class DenoisingAutoencoder(GradientFitted, Encoder, Decoder, Reconstructor, Restorer):
    """A code of what is left of x from which x comes back with the least distortion, not what is left of it.

    Each step draws the corruption anew: y = A(x), the network is given y (where A is linear, the smallest x that A
    maps to y) and has to give x. To restore is the same, then the nearest x that A maps to y.

    Args:
        x_shape: of one row.
        z_size: size of the code; by default chosen by the network, or the shape.
        corruption: what it learns to undo; by default noise of every strength up to a quarter of white, or of a
            column's standard deviation.
        network: encoder and decoder; by default chosen by the shape: for images and long signals one without a
            bottleneck.
        distortion: what is minimized: minus a log-likelihood, or what is no likelihood and says so; by default
            squared error (`Gaussian(scale=1.0)`), on any data.

    Reference: Extracting and Composing Robust Features with Denoising Autoencoders (Vincent et al., 2008); Stacked
        Denoising Autoencoders (Vincent et al., 2010)
    """

    def __init__(
        self,
        x_shape: Shape,
        z_size: int | None = None,
        *,
        corruption: Corruption | None = None,
        network: Network | None = None,
        distortion: Likelihood | Distortion | None = None,
    ) -> None:
        super().__init__(x_shape)
        self.corruption = GaussianNoise(0.25, min_scale=0.0) if corruption is None else corruption
        self.corruption.check(self.x_shape)
        self.distortion = Gaussian(scale=1.0) if distortion is None else distortion
        self.network = _default_network(self.x_shape, z_size, self.distortion) if network is None else network
        self.z_size = choose_z_size(z_size, self.network, self.x_shape)
        self.z_shape = (self.z_size,)
        self.codec = self.network.build(
            self.x_shape, code_size=self.z_size, z_size=self.z_size, raw_channels=self.distortion.raw_channels
        )
        self.measure = measure_of(self.distortion, self.x_shape)

    def initialize(self, batch: Batch) -> None:
        """Starts a linear path as PCA of the rows as they were."""
        if self.distortion.raw_channels == 1:
            start_as_pca(self.codec, batch, self.z_size)

    def _raw(self, x: Tensor) -> Tensor:
        return self.codec.through(x, bottleneck=lambda z: z)[1]

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        operator = self.corruption.draw(x)
        distortion = self.measure(self._raw(start(operator.apply(x), operator)), x)
        return Objective(distortion, {self.measure.term: distortion})

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self.codec.encode(x)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        mean: Tensor = self.measure.mean(self.codec.decode(z))
        return mean

    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        mean: Tensor = self.measure.mean(self._raw(x))
        return mean

    def _restore(self, y: Tensor, operator: Operator, condition: Tensor | None) -> Tensor:
        begun = start(y, operator)
        self._check("y", begun, self.x_shape, condition)
        return finish(self._reconstruct(begun, condition), y, operator)


def _default_network(x_shape: Shape, z_size: int | None, distortion: Likelihood | Distortion) -> Network:
    """Of what is to be restored nothing can be thrown away, unless a size of the code is asked for."""
    squared = isinstance(distortion, Gaussian) and distortion.scale is not None
    n_values = math.prod(x_shape)
    small = n_values <= MAX_DENSE_VALUES
    if not squared or z_size is not None or len(x_shape) == 1 or (len(x_shape) == 2 and small):
        return default_network(x_shape, linear_path=squared)
    return FullResolution(32 if small else 48, 2 if small else 3, factor=1 if n_values <= TINY_IMAGE else 2)
