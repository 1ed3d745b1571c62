"""Probabilistic principal component analysis."""

import math
from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor

from likely import rng
from likely.contract import Batch, ClosedFormFitted, Decoder, Encoder, ExactDensity, Reconstructor, Sampler, Shape
from likely.networks import default_z_size
from likely.principal import principal

MIN_RELATIVE_NOISE = 1e-6
"""Floor of the noise variance, as a share of the mean variance of a value: fewer rows than values leave none."""


@final
class PPCA(ClosedFormFitted, Encoder, Decoder, Reconstructor, Sampler, ExactDensity):
    """A Gaussian with a low-rank covariance: x = mean + W z + noise, z ~ N(0, I), noise ~ N(0, noise_variance I).

    The codes are posterior means; `log_prob` equals scikit-learn's `PCA.score_samples`.

    Args:
        x_shape: of one row.
        z_size: rank of the covariance; by default chosen by the shape.

    Reference: Probabilistic Principal Component Analysis (Tipping & Bishop, 1999)
    """

    def __init__(self, x_shape: Shape, z_size: int | None = None) -> None:
        super().__init__(x_shape)
        self.z_size = default_z_size(self.x_shape) if z_size is None else z_size
        self.z_shape = (self.z_size,)
        n_values = math.prod(self.x_shape)
        self.register_buffer("mean", torch.zeros(n_values))
        self.register_buffer("components", torch.zeros(self.z_size, n_values))
        self.register_buffer("variances", torch.ones(self.z_size))
        self.register_buffer("noise_variance", torch.ones(()))
        self.mean: Tensor
        self.components: Tensor
        self.variances: Tensor
        self.noise_variance: Tensor

    def _solve(self, batches: Iterable[Batch]) -> None:
        found = principal(batches, self.z_size)
        total = float(found.variances.sum()) + found.noise_variance * (len(found.mean) - self.z_size)
        noise = max(found.noise_variance, MIN_RELATIVE_NOISE * total / len(found.mean))
        self.mean.copy_(found.mean)
        self.components.copy_(found.components)
        self.variances.copy_(found.variances.clamp_min(noise if self.z_size < len(found.mean) else 0))
        self.noise_variance.copy_(torch.tensor(noise, dtype=torch.float64))  # beyond float32 it becomes infinite

    @property
    def _scales(self) -> Tensor:
        """Length of each column of W: (z_size,)."""
        return (self.variances - self._noise).clamp_min(0).sqrt()

    @property
    def _noise(self) -> Tensor:
        # With as many components as values no direction is left for noise.
        return self.noise_variance * float(self.z_size < len(self.mean))

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        # E[z | x] = M^-1 W' (x - mean), and M = W'W + noise I is diagonal with entries `variances`.
        return (x.flatten(1) - self.mean) @ self.components.T * (self._scales / self.variances)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return (self.mean + z * self._scales @ self.components).view(-1, *self.x_shape)

    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._decode(self._encode(x, condition), condition)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        z = rng.normal(n, self.z_size, like=self.mean)
        x = self._decode(z, None)
        return x + self._noise.sqrt() * rng.normal_like(x)

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Tensor:
        centered = x.flatten(1) - self.mean
        along = centered @ self.components.T
        left = len(self.mean) - self.z_size
        distance = (along.square() / self.variances).sum(1)
        log_volume = self.variances.log().sum()
        if left:
            beside = (centered.square().sum(1) - along.square().sum(1)).clamp_min(0)
            distance = distance + beside / self.noise_variance
            log_volume = log_volume + left * self.noise_variance.log()
        return -0.5 * (distance + log_volume + len(self.mean) * math.log(2 * math.pi))
