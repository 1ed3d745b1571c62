"""Autoencoder."""

from collections.abc import Sequence
from typing import final

from torch import Tensor

from likely.contract import Batch, Decoder, Encoder, Layered, Objective, Reconstructor, Shape
from likely.distortions import Distortion, measure_of
from likely.likelihoods import Gaussian, Likelihood
from likely.networks import Layer, Network, choose_z_size, default_network, start_as_pca
from likely.penalties import Penalty
from likely.pretraining import Greedy


@final
class Autoencoder(Layered, Encoder, Decoder, Reconstructor):
    """A code from which x comes back with the least distortion.

    With a linear path in its network it starts as PCA and learns what PCA leaves.

    Args:
        x_shape: of one row.
        z_size: size of the code; by default chosen by the network, or the shape.
        network: encoder and decoder; by default chosen by the shape.
        distortion: what is minimized: minus a log-likelihood, or what is no likelihood and says so; by default
            squared error (`Gaussian(scale=1.0)`), on any data.
        penalty: what the code costs besides: sparsity, or how much it moves with x.
        pretraining: trains layer by layer before the whole.

    Reference: Reducing the Dimensionality of Data with Neural Networks (Hinton & Salakhutdinov, 2006)
    """

    def __init__(
        self,
        x_shape: Shape,
        z_size: int | None = None,
        *,
        network: Network | None = None,
        distortion: Likelihood | Distortion | None = None,
        penalty: Penalty | None = None,
        pretraining: Greedy | None = None,
    ) -> None:
        super().__init__(x_shape)
        self.z_size = choose_z_size(z_size, network, self.x_shape)
        self.z_shape = (self.z_size,)
        self.distortion = Gaussian(scale=1.0) if distortion is None else distortion
        squared = isinstance(self.distortion, Gaussian) and self.distortion.scale is not None
        linear_path = squared and pretraining is None and penalty is None
        self.network = default_network(self.x_shape, linear_path=linear_path) if network is None else network
        self.penalty, self.pretraining = penalty, pretraining
        self.codec = self.network.build(
            self.x_shape, code_size=self.z_size, z_size=self.z_size, raw_channels=self.distortion.raw_channels
        )
        self.measure = measure_of(self.distortion, self.x_shape)
        self.price = None if penalty is None else penalty.build(self.x_shape, self.z_size)
        if pretraining is not None:
            self.codec.layers()  # refuses a network that cannot be cut, before anything is trained

    def initialize(self, batch: Batch) -> None:
        """Starts a linear path as PCA of the rows."""
        if self.distortion.raw_channels == 1:
            start_as_pca(self.codec, batch, self.z_size)

    def layers(self) -> Sequence[Layer]:
        """As `Layered.layers`."""
        return self.codec.layers()

    def _bottleneck(self, z: Tensor) -> Tensor:
        return z if self.price is None else self.price.bottleneck(z)

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        z, raw = self.codec.through(x, bottleneck=self._bottleneck)
        distortion = self.measure(raw, x)
        terms = {self.measure.term: distortion}
        if self.price is None:
            return Objective(distortion, terms)
        penalty = self.price(self.codec, x, z)
        return Objective(distortion + penalty, terms | {"penalty": penalty})

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._bottleneck(self.codec.encode(x))

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        mean: Tensor = self.measure.mean(self.codec.decode(z))
        return mean

    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        mean: Tensor = self.measure.mean(self.codec.through(x, bottleneck=self._bottleneck)[1])
        return mean
