"""Spectral normalization: weights divided by their largest singular value, so that no layer stretches rows."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from likely import rng

ITERATIONS = 2
"""Of the power method at each training step of a critic: weights move little from one step to the next."""

STARTING_ITERATIONS = 20
"""Before the first step, when nothing is known of the weights."""


class SpectralNorm(nn.Module):
    """Divides a weight by its largest singular value, as the power method knows it so far.

    A convolution's weight (out, in, ...) counts as a matrix (out, in * ...). Nothing moves in `forward`: the
    generator's step, validation and answers all see the same critic twice. `iterate` is what moves.

    Reference: Spectral Normalization for Generative Adversarial Networks (Miyato et al., 2018), arXiv:1802.05957,
        algorithm 1
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        matrix = weight.detach().flatten(1)
        self.register_buffer("u", nn.functional.normalize(rng.normal_like(matrix[:, 0]), dim=0))
        self.register_buffer("v", nn.functional.normalize(rng.normal_like(matrix[0]), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        return weight / self.norm(weight)

    def norm(self, weight: Tensor) -> Tensor:
        """The largest singular value of a weight, (), as far as it is known, with its gradient."""
        # An average over training steps, which is kept of critics like of everything else, shortens both.
        u, v = nn.functional.normalize(self.u, dim=0), nn.functional.normalize(self.v, dim=0)
        # Value by value: as products of matrices these could run in bfloat16, and be off by a hundredth.
        return (u.unsqueeze(1) * v * weight.flatten(1)).sum()

    @torch.no_grad()
    def iterate(self, weight: Tensor, n: int) -> None:
        """n rounds of the power method."""
        matrix = weight.flatten(1)
        for _ in range(n):
            self.v.copy_(nn.functional.normalize(matrix.T @ self.u, dim=0))
            self.u.copy_(nn.functional.normalize(matrix @ self.v, dim=0))


def normalize_spectra(network: nn.Module) -> None:
    """Puts spectral normalization on every linear layer, convolution and embedding of a network, in place."""
    for layer in list(network.modules()):
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Embedding):
            parametrize.register_parametrization(layer, "weight", SpectralNorm(layer.weight))


def iterate(network: nn.Module, n: int = ITERATIONS) -> None:
    """Moves every spectral norm of a network toward that of its weights: after a training step of it, nowhere else."""
    for norm, weight in _normalized(network):
        norm.iterate(weight, n)


def spectral_norms(network: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Of each normalized weight: the norm it is divided by, (), and the weight itself as it was before."""
    return [(norm.norm(weight), weight) for norm, weight in _normalized(network)]


def _normalized(network: nn.Module) -> list[tuple[SpectralNorm, Tensor]]:
    found = []
    for layer in network.modules():
        if isinstance(layer, parametrize.ParametrizationList) and isinstance(layer[0], SpectralNorm):
            found.append((layer[0], layer.original))
    return found
