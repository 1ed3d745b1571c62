"""Straight paths from normal noise to data, and the field of those whose data is normal."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from likely.contract import Shape

MAX_ROTATED = 1024
"""Rows of more values are not rotated: the matrix would be larger than the network."""

LEAST_VARIANCE = 1e-8
"""Of a direction, as a share of the mean: what never varied may do so yet."""


class Marginal(NamedTuple):
    """The field of normal data at some times, and what is left of its surprise: all (batch, n).

    With w normal, `w / root` is of unit variance, and so is `(velocity - slope * w) / residual`.
    """

    slope: Tensor
    root: Tensor
    residual: Tensor


class GaussianPath(nn.Module):
    """From rows to coordinates in which data is of mean 0 and mean variance 1, and straight paths there from noise.

    A point is w_t = (1 - t) w_0 + t w_1 with w_0 from N(0, I) and w_1 from the data. Coordinates are rows moved and
    scaled by one number, and turned into their principal axes where that serves: shapes, so angles, stay as they are.
    Where the data is normal, its field is known in closed form; so of any data a network only has to learn what its
    mean and covariance leave: the residual, in units of its own spread.

    Args:
        x_shape: of one row.
        rotated: whether coordinates are along principal axes, each of its own variance; else variances are all 1.

    Reference: Flow Matching for Generative Modeling (Lipman et al., 2023), arXiv:2210.02747, equation 22 with no
        noise left at t = 1; for the units, Elucidating the Design Space of Diffusion-Based Generative Models (Karras et
        al., 2022), arXiv:2206.00364, section 5
    """

    location: Tensor
    scale: Tensor
    variances: Tensor
    rotation: Tensor | None

    def __init__(self, x_shape: Shape, *, rotated: bool) -> None:
        super().__init__()
        self.x_shape, self.n = tuple(x_shape), math.prod(x_shape)
        self.register_buffer("location", torch.zeros(self.n))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("variances", torch.ones(self.n))
        self.register_buffer("rotation", torch.eye(self.n) if rotated and self.n <= MAX_ROTATED else None)

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Takes mean and covariance from some rows (batch, *x_shape).

        Few rows underestimate how little some directions vary; the covariance is shrunk toward a sphere for it.

        Reference: Shrinkage Algorithms for MMSE Covariance Estimation (Chen et al., 2010), equation 23
        """
        rows = x.flatten(1).double()
        if self.rotation is None:  # neighbours look alike, so they share their mean
            rows = rows.view(len(x), self.x_shape[0], -1)
            mean = rows.mean((0, 2), keepdim=True)
            self.scale.copy_((rows - mean).square().mean().sqrt().clamp_min(1e-12))
            self.location.copy_(mean.expand_as(rows)[0].flatten())
            return
        self.location.copy_(rows.mean(0))
        centered = rows - rows.mean(0)
        values, vectors = torch.linalg.eigh(centered.T @ centered / len(rows))
        mean_variance = values.mean().clamp_min(1e-24)
        self.scale.copy_(mean_variance.sqrt())
        self.rotation.copy_(vectors)
        self.variances.copy_(_shrunk(values / mean_variance, len(rows)).clamp_min(LEAST_VARIANCE))

    def coordinates(self, x: Tensor) -> Tensor:
        """Of rows (batch, *x_shape): (batch, n)."""
        return self.turned((x.flatten(1) - self.location) / self.scale)

    def rows(self, w: Tensor) -> Tensor:
        """Of coordinates (batch, n): (batch, *x_shape)."""
        return (self.location + self.scale * self.unturned(w)).view(-1, *self.x_shape)

    def turned(self, directions: Tensor) -> Tensor:
        """Directions (batch, n) of rows as those of coordinates, neither moved nor scaled."""
        return directions if self.rotation is None else _product(directions, self.rotation)

    def unturned(self, directions: Tensor) -> Tensor:
        """The inverse of `turned`."""
        return directions if self.rotation is None else _product(directions, self.rotation.T)

    def log_det(self) -> Tensor:
        """(): log|det| of the map from rows to coordinates."""
        return -self.n * self.scale.log()

    def marginal(self, t: Tensor) -> Marginal:
        """What is known of normal data at times (batch,)."""
        t = t[:, None]
        variance = (1 - t).square() + t.square() * self.variances
        root = variance.sqrt()
        return Marginal((t * self.variances - (1 - t)) / variance, root, self.variances.sqrt() / root)

    def residual_target(self, t: Tensor, w_0: Tensor, w_1: Tensor) -> Tensor:
        """What a network has to give at w_t: (w_1 - w_0 - slope * w_t) / residual, without its cancellations."""
        t = t[:, None]
        spread = self.variances.sqrt()
        root = ((1 - t).square() + t.square() * self.variances).sqrt()
        return ((1 - t) * w_1 / spread - t * spread * w_0) / root


def _product(directions: Tensor, rotation: Tensor) -> Tensor:
    """In the precision of rows, whatever that of networks is: what they learn is a difference of coordinates."""
    with torch.autocast(directions.device.type, enabled=False):
        return directions @ rotation


def _shrunk(variances: Tensor, n_rows: int) -> Tensor:
    """Eigenvalues (n,) of mean 1, moved toward 1 as the oracle approximating shrinkage has it."""
    n = len(variances)
    squares, square = variances.square().sum(), variances.sum().square()
    share = ((1 - 2 / n) * squares + square) / ((n_rows + 1 - 2 / n) * (squares - square / n)).clamp_min(1e-12)
    share = share.clamp_max(1)
    return (1 - share) * variances + share
