"""Principal components: what PCA, probabilistic PCA and every linear starting point share."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from likely import rng
from likely.contract import Batch

MAX_COVARIANCE_SIZE = 4096
"""Widest x whose covariance matrix is formed (128 MiB in float64); wider x goes through subspace iteration."""

N_SUBSPACE_PASSES = 6
OVERSAMPLING = 16


@dataclass(frozen=True)
class Principal:
    """The leading directions of some rows, in float64.

    Attributes:
        n_rows: how many rows there were.
        mean: (d,).
        components: (k, d), orthonormal rows, by falling variance; the largest entry of each is positive.
        variances: (k,), with n - 1 in the denominator, as scikit-learn has it.
        noise_variance: the mean variance of the d - k directions that are left; 0 if none is.
    """

    n_rows: int
    mean: Tensor
    components: Tensor
    variances: Tensor
    noise_variance: float


def principal(batches: Iterable[Batch], k: int) -> Principal:
    """The k leading principal components of rows that come in batches, in one pass (a few, if x is very wide).

    Directions beyond the rank of the data come with variance zero.

    Args:
        batches: the rows in pieces, flattened here; gone through more than once, so no generator.
        k: how many components, at most d.

    Raises:
        ValueError: if there are fewer than two rows, or k is larger than d.

    Reference:
        Probabilistic Principal Component Analysis (Tipping & Bishop, 1999), equations 7 and 8;
        for wide x Finding Structure with Randomness (Halko et al., 2011), algorithm 4.4
    """
    n, mean, total = _mean_and_total(batches)
    d = len(mean)
    if n < 2:
        raise ValueError(f"principal components need at least 2 rows, got {n}")
    if k > d:
        raise ValueError(f"at most {d} components fit rows of {d} values, got {k}")
    if d <= MAX_COVARIANCE_SIZE:
        variances, components = _from_covariance(batches, mean, n, k)
    else:
        variances, components = _from_subspace(batches, mean, n, k)
    variances = variances.clamp_min(0)
    left = min(d, n - 1) - k  # scikit-learn averages over the rank, not over d
    noise = max((total / (n - 1) - float(variances.sum())) / left, 0.0) if left > 0 else 0.0
    return Principal(n, mean, _with_fixed_signs(components), variances, noise)


def start_of(batch: Batch, k: int) -> Principal | None:
    """As `principal` of one batch, where any k will do: beyond the d-th come zeros. None of a single row."""
    n, d = batch.x.flatten(1).shape
    if n < 2:
        return None
    found = principal([batch], min(k, d))
    missing = max(0, k - d)
    return replace(
        found, components=F.pad(found.components, (0, 0, 0, missing)), variances=F.pad(found.variances, (0, missing))
    )


def _rows(batch: Batch) -> Tensor:
    return batch.x.flatten(1).double()


def _mean_and_total(batches: Iterable[Batch]) -> tuple[int, Tensor, float]:
    n, mean, total = 0, torch.zeros(()), 0.0
    for batch in batches:
        x = _rows(batch)
        m, own = len(x), x.mean(0)
        shift = own - mean if n else torch.zeros_like(own)
        mean = mean + shift * (m / (n + m)) if n else own
        # Chan, Golub & LeVeque (1983): merging two pieces without cancellation.
        total += float((x - own).square().sum()) + float(shift.square().sum()) * n * m / (n + m)
        n += m
    return n, mean, total


def _from_covariance(batches: Iterable[Batch], mean: Tensor, n: int, k: int) -> tuple[Tensor, Tensor]:
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=mean.device)
    for batch in batches:
        centered = _rows(batch) - mean
        covariance.addmm_(centered.T, centered)
    variances, vectors = torch.linalg.eigh(covariance / (n - 1))
    return variances.flip(0)[:k], vectors.flip(1)[:, :k].T


def _from_subspace(batches: Iterable[Batch], mean: Tensor, n: int, k: int) -> tuple[Tensor, Tensor]:
    d = len(mean)
    width = min(k + OVERSAMPLING, d)
    with rng.stream("principal axes"):  # the same whoever asks: a solution, not a draw
        basis = torch.linalg.qr(rng.normal(d, width, like=mean)).Q
    for _ in range(N_SUBSPACE_PASSES):
        image = torch.zeros_like(basis)
        for batch in batches:
            centered = _rows(batch) - mean
            image.addmm_(centered.T, centered @ basis)
        small = basis.T @ image / (n - 1)
        variances, rotation = torch.linalg.eigh((small + small.T) / 2)
        leading = basis @ rotation.flip(1)
        basis = torch.linalg.qr(image).Q
    return variances.flip(0)[:k], leading[:, :k].T


def _with_fixed_signs(components: Tensor) -> Tensor:
    if not len(components):
        return components
    largest = components.gather(1, components.abs().argmax(1, keepdim=True))
    return components * torch.where(largest < 0, -1.0, 1.0)
