"""Copies: whether samples lie nearer to training rows than new rows of the data do."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from likely.evaluation.detection import auroc

CHUNK_ROWS = 1024
QUANTILE = 0.01


@dataclass(frozen=True)
class Copies:
    """How near samples come to training rows, beside how near held-out rows come to them.

    Attributes:
        sample_distances: (n,), Euclidean, from each sample to the training row nearest to it.
        nearest: (n,) int64, which training row that is, counted in the order they were given.
        held_out_distances: (m,), the same of held-out rows: what no copying looks like.
        threshold: the 1 % quantile of `held_out_distances`.
        share: of samples nearer to a training row than `threshold`. Without copying about 0.01.
        auroc: the chance that a sample lies nearer to a training row than a held-out row does, ties counted half.
            0.5: just as near. 1: copies. 0: all samples are farther off than real rows, which is bad in its own way.
        identical: the share of samples that equal a training row in every value.
    """

    sample_distances: np.ndarray
    nearest: np.ndarray
    held_out_distances: np.ndarray
    threshold: float
    share: float
    auroc: float
    identical: float


def find_copies(
    samples: np.ndarray, held_out: np.ndarray, training: np.ndarray | Iterable[np.ndarray], *, chunk: int = CHUNK_ROWS
) -> Copies:
    """Compares samples and held-out rows by their distance to the nearest training row.

    Args:
        samples: (n, ...).
        held_out: (m, ...), rows that the model did not learn from.
        training: (k, ...), or pieces of it. All in units in which a Euclidean distance means something.
        chunk: training rows that are looked at in one go.

    Raises:
        ValueError: if one of the three is empty, or their rows differ in shape.

    Reference:
        A non-parametric test to detect data-copying in generative models (Meehan et al., 2020), arXiv:2004.05675
    """
    if not len(samples) or not len(held_out):
        raise ValueError(f"samples and held-out rows are needed, got {len(samples)} and {len(held_out)}")
    both = np.concatenate([_flat(samples), _flat(held_out)])
    distances, nearest = nearest_rows(both, training, chunk=chunk)
    own, others = distances[: len(samples)], distances[len(samples) :]
    threshold = float(np.quantile(others, QUANTILE))
    is_sample = np.arange(len(both)) < len(samples)
    return Copies(
        sample_distances=own,
        nearest=nearest[: len(samples)],
        held_out_distances=others,
        threshold=threshold,
        share=float((own < threshold).mean()),
        auroc=auroc(-distances, is_sample),
        identical=float((own == 0).mean()),
    )


def nearest_rows(
    queries: np.ndarray, training: np.ndarray | Iterable[np.ndarray], *, chunk: int = CHUNK_ROWS
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest training row of each query, in memory that does not grow with the training rows.

    Args:
        queries: (n, ...).
        training: (k, ...), or pieces of it.
        chunk: training rows that are looked at in one go.

    Returns:
        (n,) Euclidean distances in the unit of the rows, and (n,) int64, counted in the order of `training`.

    Raises:
        ValueError: if there are no training rows, or they differ from the queries in shape.
    """
    wanted = torch.from_numpy(_flat(queries))
    center = wanted.mean(0)  # offsets shared by all rows would drown the differences in rounding
    best = torch.full((len(wanted),), torch.inf, dtype=torch.float64)
    index, start = torch.full((len(wanted),), -1), 0
    for piece in _pieces(training, chunk):
        rows = torch.from_numpy(_flat(piece))
        _check_width(wanted, rows)
        distance, found = _nearest(wanted, rows, center)
        nearer = distance < best
        best, index = torch.where(nearer, distance, best), torch.where(nearer, found + start, index)
        start += len(rows)
    if not start:
        raise ValueError("training rows are needed, got none")
    return best.numpy(), index.numpy()


def _nearest(queries: Tensor, rows: Tensor, center: Tensor) -> tuple[Tensor, Tensor]:
    a, b = queries - center, rows - center
    found = (b.square().sum(1) - 2 * a @ b.T).argmin(1)
    # The product finds the row; its distance is taken anew, so that a copy is at distance 0 and not at 1e-7.
    return (queries - rows[found]).square().sum(1).sqrt(), found


def _pieces(training: np.ndarray | Iterable[np.ndarray], chunk: int) -> Iterable[np.ndarray]:
    for block in [training] if isinstance(training, np.ndarray) else training:
        for start in range(0, len(block), chunk):
            yield block[start : start + chunk]


def _check_width(queries: Tensor, rows: Tensor) -> None:
    if queries.shape[1] != rows.shape[1]:
        raise ValueError(f"training rows have {rows.shape[1]} values, the others {queries.shape[1]}")


def _flat(rows: np.ndarray) -> np.ndarray:
    return np.require(rows, np.float64, "W").reshape(len(rows), -1)  # torch warns of read-only arrays
