"""Linear maps by triangular matrices."""

from typing import final

import torch
from torch import Tensor, nn

from likely.bijections.bijection import Bijection, at_least_float32

MIN_SHRINKAGE = 1e-4


@final
class Triangular(Bijection):
    """y = A x + b, with A lower triangular and of positive diagonal: what a Gaussian with any covariance needs.

    log|det dy/dx| is the sum of the logarithms of the diagonal. Starts as the identity; `start` makes y white over the
    rows it is shown, by a covariance shrunk toward a multiple of the identity as far as the number of rows asks for.

    Args:
        n: how many values.

    Reference: the shrinkage, A well-conditioned estimator for large-dimensional covariance matrices (Ledoit & Wolf,
        2004)
    """

    def __init__(self, n: int) -> None:
        super().__init__()
        self.below = nn.Parameter(torch.zeros(n, n))
        self.log_diagonal = nn.Parameter(torch.zeros(n))
        self.shift = nn.Parameter(torch.zeros(n))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.forward`; a context changes nothing."""
        with torch.autocast(x.device.type, enabled=False):  # in bfloat16 it would be another map than its inverse
            y = at_least_float32(x) @ self._matrix().T + self.shift
        return y, self.log_diagonal.sum().expand(len(x))

    def inverse(self, y: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """As `Bijection.inverse`; a context changes nothing."""
        with torch.autocast(y.device.type, enabled=False):
            x = torch.linalg.solve_triangular(self._matrix(), (at_least_float32(y) - self.shift).T, upper=False).T
        return x, -self.log_diagonal.sum().expand(len(y))

    @torch.no_grad()
    def start(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """As `Bijection.start`."""
        rows = x.double()
        center = rows.mean(0)
        factor = torch.linalg.cholesky(shrunk_covariance(rows - center))
        whitening = torch.linalg.solve_triangular(
            factor, torch.eye(len(factor), dtype=rows.dtype, device=x.device), upper=False
        )
        diagonal = whitening.diagonal()
        self.log_diagonal.copy_(diagonal.log())
        # Relative to the diagonal of its row, as all of the matrix is.
        self.below.copy_((whitening / diagonal[:, None]).tril(-1))
        self.shift.copy_(-whitening @ center)
        return super().start(x, context)

    def _matrix(self) -> Tensor:
        unit = self.below.tril(-1) + torch.eye(len(self.shift), dtype=self.below.dtype, device=self.below.device)
        return self.log_diagonal.exp()[:, None] * unit


def shrunk_covariance(centered: Tensor) -> Tensor:
    """The covariance of rows (m, n) of mean zero, (n, n), mixed with a multiple of the identity; never singular.

    Reference: A well-conditioned estimator for large-dimensional covariance matrices (Ledoit & Wolf, 2004), lemma 3.2
        to 3.4
    """
    m, n = centered.shape
    covariance = centered.T @ centered / m
    mean = covariance.diagonal().mean().clamp_min(1e-12)
    identity = torch.eye(n, dtype=centered.dtype, device=centered.device)
    distance = (covariance - mean * identity).square().sum()
    # The sum over rows of |x x' - covariance|^2, expanded.
    noise = (centered.square().sum(1).square().sum() / m - covariance.square().sum()) / m
    share = (noise / distance.clamp_min(1e-12)).clamp(MIN_SHRINKAGE, 1)
    return (1 - share) * covariance + share * mean * identity
