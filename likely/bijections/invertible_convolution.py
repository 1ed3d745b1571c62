"""Invertible convolutions."""

import math
from typing import final

import torch
from torch import Tensor, nn

from likely import rng
from likely.bijections.bijection import Bijection, at_least_float32


@final
class InvertibleConvolution(Bijection):
    """y = W x at each pixel, W = P L (U + diag(sign * exp(log_scale))): a permutation that is learned.

    P is a permutation, L and U are triangular, so that log|det dy/dx| = pixels * sum(log_scale) costs nothing. Starts
    as a rotation by chance; P and the signs stay as drawn and are saved with the weights.

    Args:
        channels: how many.

    Reference: Glow: Generative Flow with Invertible 1x1 Convolutions (Kingma & Dhariwal, 2018), arXiv:1807.03039,
        equations 9 to 11
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(rng.normal(channels, channels)).Q
        permutation, lower, upper = torch.linalg.lu(rotation)
        scale = upper.diagonal()
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", scale.sign())
        self.lower = nn.Parameter(lower.tril(-1))
        self.upper = nn.Parameter(upper.triu(1))
        self.log_scale = nn.Parameter(scale.abs().log())

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`; a context changes nothing."""
        # Never in bfloat16: what is rounded here would not be what the determinant is of, nor come back.
        with torch.autocast(x.device.type, enabled=False):
            lower, upper = self._triangles()
            return self._applied(self.get_buffer("permutation") @ lower @ upper, x)

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`; a context changes nothing."""
        with torch.autocast(y.device.type, enabled=False):
            lower, upper = self._triangles()
            halfway = torch.linalg.solve_triangular(lower, self.get_buffer("permutation").mT, upper=False)
            x, log_det = self._applied(torch.linalg.solve_triangular(upper, halfway, upper=True), y)
            return x, -log_det

    def _triangles(self) -> tuple[Tensor, Tensor]:
        one = torch.eye(len(self.lower), dtype=self.lower.dtype, device=self.lower.device)
        scale = self.get_buffer("sign") * self.log_scale.exp()
        return self.lower.tril(-1) + one, self.upper.triu(1) + scale.diag()

    def _applied(self, matrix: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        x = at_least_float32(x)
        mixed = _convolve(x, matrix.to(x.dtype))
        return mixed, (math.prod(x.shape[2:]) * at_least_float32(self.log_scale).sum()).expand(len(x))


def _convolve(x: Tensor, matrix: Tensor) -> Tensor:
    n_dims = x.ndim - 2
    weight = matrix.view(*matrix.shape, *[1] * n_dims)
    return nn.functional.conv1d(x, weight) if n_dims == 1 else nn.functional.conv2d(x, weight)
