"""Samples beside real rows: whether each is near some real row, and whether each real row is near some sample."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

CHUNK_ROWS = 1024
N_NEIGHBORS = 5


@dataclass(frozen=True)
class Fidelity:
    """What of samples is real, and what of the real is among the samples.

    A ball is about a row, and as wide as the distance to its k-th nearest row of its own kind.

    Attributes:
        precision: the share of samples that lie in the ball of some real row.
        recall: the share of real rows that lie in the ball of some sample.
        density: how many balls of real rows a sample lies in, over k; 1 in mean where both come of one distribution,
            more where samples crowd where real rows do.
        coverage: the share of real rows whose ball has a sample in it; 1 - 2^-k where both come of one distribution
            and there are many of either and as many of both.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def fidelity(samples: ArrayLike, real: ArrayLike, *, k: int = N_NEIGHBORS) -> Fidelity:
    """Precision, recall, density and coverage of samples.

    Args:
        samples: (n, ...), flattened here, in a space in which a Euclidean distance means something.
        real: (m, ...). Numbers of different sample sizes do not compare.
        k: which of its nearest others a row's ball reaches to.

    Returns:
        The four shares.

    Raises:
        ValueError: if there are not more than k rows of either kind, k is smaller than 1, or widths differ.

    Reference:
        Improved precision and recall metric for assessing generative models (Kynkäänniemi et al., 2019),
        arXiv:1904.06991, equations 1 and 2; Reliable fidelity and diversity metrics for generative models (Naeem et
        al., 2020), arXiv:2002.09797, equations 3 and 4
    """
    drawn, rows = _flat(samples), _flat(real)
    if k < 1 or min(len(drawn), len(rows)) <= k:
        raise ValueError(f"more than k={k} rows of either kind are needed, k at least 1; got {len(drawn)}, {len(rows)}")
    if drawn.shape[1] != rows.shape[1]:
        raise ValueError(f"samples have {drawn.shape[1]} values and real rows {rows.shape[1]}")
    of_real, of_drawn = _radii(rows, k), _radii(drawn, k)
    balls = torch.zeros(len(drawn), dtype=torch.int64)  # of real rows, that a sample lies in
    recalled, covered = [], []
    for chunk, radius in zip(rows.split(CHUNK_ROWS), of_real.split(CHUNK_ROWS), strict=True):
        distance = _distances(chunk, drawn)
        within = distance <= radius[:, None]
        balls += within.sum(0)
        covered.append(within.any(1))
        recalled.append((distance <= of_drawn).any(1))
    share = [float(each.double().mean()) for each in (balls > 0, torch.cat(recalled), torch.cat(covered))]
    return Fidelity(share[0], share[1], float(balls.double().mean() / k), share[2])


def _radii(rows: Tensor, k: int) -> Tensor:
    """The distance from each row to its k-th nearest other: (n,)."""
    found = []
    for start in range(0, len(rows), CHUNK_ROWS):
        distance = _distances(rows[start : start + CHUNK_ROWS], rows)
        distance.diagonal(start).fill_(torch.inf)
        found.append(distance.kthvalue(k, 1).values)
    return torch.cat(found)


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # Differences, not products: equal rows are at distance 0, and a row on the edge of a ball is in it.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _flat(rows: ArrayLike) -> Tensor:
    array = np.require(np.asarray(rows), np.float64, "W")
    return torch.from_numpy(array.reshape(len(array), -1))
