"""Codes as maps of data: which neighbors they keep, how many dimensions the data has, and what distances still tell.

All take rows of at most a few thousand, for they look at every pair of them.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from likely.evaluation.density import Estimate
from likely.evaluation.neighbors import flat_rows, nearest_others, squared_distances

N_NEIGHBORS = 5
N_DRAWS = 3
"""Random choices of dimensions that a point of a curve is the mean of."""


def trustworthiness(x: ArrayLike, z: ArrayLike, *, k: int = N_NEIGHBORS) -> np.ndarray:
    """Whether the neighbors that a code shows are neighbors in the data: 1 where none is made up.

    1 - 2 / (k (2n - 3k - 1)) * sum over the k nearest rows in z of max(0, rank in x - k), for each row; the mean over
    rows is the measure of the reference. Rows that are equally near in x share the best of their ranks.

    Args:
        x: (n, ...), the data.
        z: (n, ...), the codes of the same rows.
        k: how many neighbors are looked at; less than n / 2.

    Returns:
        (n,), each at most 1; about 0.5 in mean where neighbors in z are any rows.

    Raises:
        ValueError: if there is not one code per row, or k is too large for n.

    Reference:
        Neighborhood preservation in nonlinear projection methods: an experimental study (Venna & Kaski, 2001),
        equation 1
    """
    data, code = _pair(x, z, k)
    distance = squared_distances(data)
    shown = squared_distances(code).topk(k, largest=False).indices
    too_far = torch.zeros(len(data), dtype=torch.float64)
    for j in range(k):
        own = distance.gather(1, shown[:, j : j + 1])
        too_far += ((distance < own).sum(1) + 1 - k).clamp_min(0)
    n = len(data)
    return np.asarray((1 - 2 / (k * (2 * n - 3 * k - 1)) * too_far).numpy())


def continuity(x: ArrayLike, z: ArrayLike, *, k: int = N_NEIGHBORS) -> np.ndarray:
    """Whether neighbors in the data are neighbors in the code: 1 where none is torn away.

    It is `trustworthiness` with data and code in each other's place; arguments, errors and reference are its own.

    Returns:
        (n,), each at most 1.
    """
    return trustworthiness(z, x, k=k)


def _pair(x: ArrayLike, z: ArrayLike, k: int) -> tuple[Tensor, Tensor]:
    data, code = flat_rows(x), flat_rows(z)
    if len(data) != len(code):
        raise ValueError(f"one code per row is needed, got {len(data)} rows and {len(code)} codes")
    if not 1 <= k < len(data) / 2:
        raise ValueError(f"k must be at least 1 and less than half of the {len(data)} rows, got {k}")
    return data, code


def intrinsic_dimension(x: ArrayLike, *, k: int = 2) -> Estimate:
    """How many numbers it takes to say where on its manifold a row lies.

    The density is taken as constant within the k nearest neighbors of a row; then the logarithms of
    r_k / r_1, ..., r_k / r_(k-1) are exponential with rate d, and d = 1 / their mean over all rows. k = 2 is TwoNN by
    maximum likelihood, which sees the finest scale, noise included; a larger k looks farther, varies less, and is the
    estimator of Levina and Bickel with the mean of MacKay and Ghahramani. High dimensions come out too low, for
    neighbors are far and the manifold has an edge: 2,000 rows of a ball of 5 dimensions give about 4.7, of 12 about 11.
    Rows on a grid (whole numbers) have ties, which raise the dimension.

    Args:
        x: (n, ...). Rows that equal another one in every value count once.
        k: neighbors; at least 2.

    Returns:
        The dimension and its standard error, as if rows were independent: as neighbors are shared it is too small, by
        a fifth for k = 2 and by more for a larger k. 0 where all rows are equal, NaN where no more than k rows differ,
        inf where all neighbors are equally far.

    Raises:
        ValueError: if k is smaller than 2 or there are no rows.

    Reference:
        Estimating the intrinsic dimension of datasets by a minimal neighborhood information (Facco et al., 2017);
        Maximum likelihood estimation of intrinsic dimension (Levina & Bickel, 2004), equation 8; Comments on
        'Maximum likelihood estimation of intrinsic dimension' (MacKay & Ghahramani, 2005)
    """
    if k < 2:
        raise ValueError(f"k must be at least 2, got {k}")
    rows = np.asarray(x, np.float64)
    if not len(rows):
        raise ValueError("intrinsic dimension needs rows, got none")
    distinct = flat_rows(np.unique(rows.reshape(len(rows), -1), axis=0))
    if len(distinct) <= k:
        return Estimate(0.0 if len(distinct) == 1 else math.nan, math.nan)
    distance, _ = nearest_others(distinct, k)
    logs = (distance[:, -1:] / distance[:, :-1]).log().mean(1).numpy()
    if not logs.mean() > 0:
        return Estimate(math.inf, math.nan)
    dimension = 1 / logs.mean()
    return Estimate(float(dimension), float(dimension**2 * logs.std(ddof=1) / math.sqrt(len(logs))))


def distance_contrast(x: ArrayLike) -> np.ndarray:
    """How much nearer the nearest other row is than other rows are in mean: 1 - nearest / mean, for each row.

    It falls to 0 as independent dimensions are added: all rows become equally far, and the nearest one means nothing.

    Args:
        x: (n, ...), at least two rows.

    Returns:
        (n,), between 0 (all others are equally far) and 1 (another row is the same).

    Raises:
        ValueError: if there are fewer than two rows.

    Reference:
        When is "nearest neighbor" meaningful? (Beyer et al., 1999); the ratio with the mean is that of
        On the difficulty of nearest neighbor search (He et al., 2012)
    """
    rows = flat_rows(x)
    if len(rows) < 2:
        raise ValueError(f"a contrast needs at least 2 rows, got {len(rows)}")
    return np.asarray(_contrast(squared_distances(rows)).numpy())


def _contrast(squared: Tensor) -> Tensor:
    nearest = squared.amin(1).sqrt()
    mean = squared.clone().fill_diagonal_(0.0).sqrt_().sum(1) / (len(squared) - 1)
    return torch.where(mean > 0, 1 - nearest / mean, 0.0)


@dataclass(frozen=True)
class Growth:
    """What distances tell as they are taken over more and more dimensions.

    Attributes:
        dimensions: 1, 2, 4, ... and last all that there are.
        contrast: the mean of `distance_contrast` at each.
        accuracy: the share of rows whose label the nearest other rows tell, at each; empty without labels.
    """

    dimensions: tuple[int, ...]
    contrast: tuple[float, ...]
    accuracy: tuple[float, ...] = ()


def growing_dimensions(
    x: ArrayLike, labels: ArrayLike | None = None, *, k: int = N_NEIGHBORS, n_draws: int = N_DRAWS, seed: int = 0
) -> Growth:
    """The curse of dimensionality, measured: distances over few random dimensions of x, over more, and over all.

    For m = 1, 2, 4, ... and d, m of the d values of a row that vary are chosen at random, the same for all rows;
    distances are Euclidean over these alone, as they are: no dimension is scaled. Each number is the mean over
    `n_draws` choices and over all rows, each row judged by all others (leave one out); labels are told by a vote of k.

    Args:
        x: (n, ...). Values that are the same in all rows are left out: they are no dimensions.
        labels: (n,), or None.
        k: neighbors that vote; fewer where there are fewer rows.
        n_draws: choices of dimensions for a point; one where it takes all of them.
        seed: of the choices.

    Returns:
        Contrast and accuracy by number of dimensions.

    Raises:
        ValueError: if there are fewer than two rows, or not one label per row.
    """
    rows = flat_rows(x)
    varies = (rows != 0).any(0)
    rows = rows[:, varies] if varies.any() else rows[:, :1]
    if len(rows) < 2:
        raise ValueError(f"distances need at least 2 rows, got {len(rows)}")
    random = np.random.default_rng(seed)
    # Rows often come sorted by label, and of neighbors that are equally far the first ones vote.
    order = random.permutation(len(rows))
    rows, classes = rows[torch.from_numpy(order)], _classes(labels, order)
    width = rows.shape[1]
    sizes = [*(2**i for i in range(math.ceil(math.log2(width)))), width] if width > 1 else [1]
    points = [_point(rows, classes, size, k, n_draws if size < width else 1, random) for size in sizes]
    contrasts, accuracies = zip(*points, strict=True)
    return Growth(tuple(sizes), contrasts, accuracies if classes is not None else ())


def _point(
    rows: Tensor, classes: Tensor | None, size: int, k: int, n_draws: int, random: np.random.Generator
) -> tuple[float, float]:
    contrasts, accuracies = [], []
    for _ in range(n_draws):
        chosen = torch.from_numpy(random.choice(rows.shape[1], size, replace=False))
        squared = squared_distances(rows[:, chosen])
        contrasts.append(float(_contrast(squared).mean()))
        accuracies.append(math.nan if classes is None else _vote(squared, classes, k))
    return float(np.mean(contrasts)), float(np.mean(accuracies))


def _vote(squared: Tensor, classes: Tensor, k: int) -> float:
    nearest = squared.topk(min(k, len(squared) - 1), largest=False).indices
    votes = torch.nn.functional.one_hot(classes[nearest]).sum(1)
    return float((votes.argmax(1) == classes).double().mean())


def _classes(labels: ArrayLike | None, order: np.ndarray) -> Tensor | None:
    if labels is None:
        return None
    names = np.asarray(labels)
    if len(names) != len(order):
        raise ValueError(f"one label per row is needed, got {len(order)} rows and {len(names)} labels")
    return torch.from_numpy(np.unique(names, return_inverse=True)[1].reshape(-1)[order])
