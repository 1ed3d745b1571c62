"""Principal component analysis."""

import math
from collections.abc import Iterable
from typing import final

import torch
from torch import Tensor

from likely.contract import Batch, ClosedFormFitted, Decoder, Encoder, Reconstructor, Shape
from likely.networks import default_z_size
from likely.principal import principal


@final
class PCA(ClosedFormFitted, Encoder, Decoder, Reconstructor):
    """The linear code that loses the least squared error: z = U (x - mean), x = mean + U' z.

    Args:
        x_shape: of one row.
        z_size: how many components; by default chosen by the shape.

    Reference: On lines and planes of closest fit to systems of points in space (Pearson, 1901)
    """

    def __init__(self, x_shape: Shape, z_size: int | None = None) -> None:
        super().__init__(x_shape)
        self.z_size = default_z_size(self.x_shape) if z_size is None else z_size
        self.z_shape = (self.z_size,)
        n_values = math.prod(self.x_shape)
        self.register_buffer("mean", torch.zeros(n_values))
        self.register_buffer("components", torch.zeros(self.z_size, n_values))
        self.register_buffer("variances", torch.zeros(self.z_size))
        self.mean: Tensor
        self.components: Tensor
        self.variances: Tensor

    def _solve(self, batches: Iterable[Batch]) -> None:
        found = principal(batches, self.z_size)
        self.mean.copy_(found.mean)
        self.components.copy_(found.components)
        self.variances.copy_(found.variances)

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return (x.flatten(1) - self.mean) @ self.components.T

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        return (self.mean + z @ self.components).view(-1, *self.x_shape)

    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self._decode(self._encode(x, condition), condition)
