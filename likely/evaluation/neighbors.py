"""Who is near whom: distances between rows, and their nearest other rows."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors
from torch import Tensor


def flat_rows(rows: ArrayLike) -> Tensor:
    """Rows (n, ...) as (n, d) float64, less the first row: offsets shared by all would drown differences in rounding.

    It is a row and not the mean that is taken off, so that whole numbers stay whole and their ties stay ties.
    """
    x = torch.from_numpy(np.require(np.asarray(rows), np.float64, "W").reshape(len(np.asarray(rows)), -1))
    return x - x[:1]


def squared_distances(x: Tensor) -> Tensor:
    """Squared Euclidean distances of rows (n, d): (n, n), infinite from a row to itself."""
    gram = x @ x.T
    norms = gram.diagonal()
    return (norms[:, None] + norms - 2 * gram).clamp_min_(0.0).fill_diagonal_(torch.inf)


def nearest_others(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest other rows of each row of x (n, d): distances (n, k), nearest first, and their places (n, k)."""
    places = squared_distances(x).topk(k, largest=False).indices
    # The product finds the rows; distances are taken anew, so that small ones are not made of rounding.
    each = torch.stack([(x - x[places[:, j]]).square().sum(1).sqrt() for j in range(k)], 1)
    order = each.argsort(dim=1, stable=True)
    return each.gather(1, order), places.gather(1, order)


def neighbor_means(train_codes: ArrayLike | None, train_rows: ArrayLike, codes: ArrayLike, *, k: int = 5) -> np.ndarray:
    """Rows decoded without a decoder: the mean of the rows whose codes are the k nearest.

    Args:
        train_codes: (n, ...), or None where the codes are to be decoded from each other, each without itself.
        train_rows: (n, ...), the rows of `train_codes`, or of `codes` where that is None.
        codes: (m, ...), to be decoded.
        k: rows in a mean; fewer where there are fewer.

    Returns:
        (m, ...), in the unit of `train_rows`.

    Raises:
        ValueError: if there is not one row per code, or there is no code to decode from.
    """
    z, rows = _flat(codes), np.asarray(train_rows, np.float64)
    known = z if train_codes is None else _flat(train_codes)
    if len(known) != len(rows):
        raise ValueError(f"one row per code is needed, got {len(rows)} rows and {len(known)} codes")
    others = len(known) - (train_codes is None)
    if others < 1:
        raise ValueError("decoding by neighbors needs codes of other rows, got none")
    finder = NearestNeighbors(n_neighbors=min(k, others)).fit(known)
    nearest = finder.kneighbors(None if train_codes is None else z, return_distance=False)
    total = rows[nearest[:, 0]].copy()
    for j in range(1, nearest.shape[1]):  # one neighbor at a time, for k copies of all rows may not fit
        total += rows[nearest[:, j]]
    return np.asarray(total / nearest.shape[1])


def _flat(codes: ArrayLike) -> np.ndarray:
    z = np.asarray(codes, np.float64)
    return z.reshape(len(z), -1)
