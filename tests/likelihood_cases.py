"""Every likelihood with data it takes, for tests that all of them pass."""

import torch

from likely.likelihoods import (
    Bernoulli,
    Categorical,
    Columns,
    ContinuousBernoulli,
    DiscretizedLogisticMixture,
    Gaussian,
    GaussianMixture,
)

SHAPE = (2, 3, 2)
WIDTHS = (1, 3, 1, 2, 3)
PARTS = [
    Bernoulli(),
    ContinuousBernoulli(),
    Gaussian(),
    Gaussian(scale=0.3),
    Gaussian(outliers=0.1),
    GaussianMixture(components=3),
    GaussianMixture(components=2, outliers=0.0),
    Categorical(5),
    DiscretizedLogisticMixture(5),
    Columns(WIDTHS),
    Columns(WIDTHS, GaussianMixture(components=2)),
    Columns((2, 3, 2)),
]


def shape_of(part):
    return (sum(part.widths),) if isinstance(part, Columns) else SHAPE


def values_of(part, n=7):
    if isinstance(part, Columns):
        return torch.cat([_column(width, n) for width in part.widths], 1)
    if isinstance(part, (Gaussian, GaussianMixture)):
        return torch.randn(n, *SHAPE)
    if isinstance(part, ContinuousBernoulli):
        return torch.rand(n, *SHAPE)
    n_levels = getattr(part, "levels", 2)
    return torch.randint(n_levels, (n, *SHAPE)) / (n_levels - 1)


def _column(width, n):
    return torch.randn(n, 1) if width == 1 else torch.eye(width)[torch.randint(width, (n,))]


def raw_for(part, n=7, dtype=torch.float32):
    first, *rest = shape_of(part)
    return torch.randn(n, part.raw_channels * first, *rest).to(dtype)
