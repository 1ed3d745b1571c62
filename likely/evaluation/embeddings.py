"""The classical ways to a map of data, to hold a code against: Isomap, LLE and t-SNE, as scikit-learn has them."""

import warnings

import numpy as np
from numpy.typing import ArrayLike
from sklearn.manifold import TSNE, Isomap, LocallyLinearEmbedding

EMBEDDINGS = {"isomap": "Isomap", "lle": "LLE", "tsne": "t-SNE"}
"""What a person types, and what a page prints."""

N_NEIGHBORS = 10
PERPLEXITY = 30.0
CHUNK_ROWS = 2_000


class Embedding:
    """Isomap or locally linear embedding: learned from rows, and then a map for any rows.

    Args:
        name: "isomap" or "lle".
        rows: (n, ...), at most a few thousand: both methods solve for the eigenvectors of an n x n matrix.
        size: of the code; at most n - 2.

    Raises:
        ValueError: if the name is another one, or the size does not fit the rows.

    Reference:
        A global geometric framework for nonlinear dimensionality reduction (Tenenbaum et al., 2000);
        Nonlinear dimensionality reduction by locally linear embedding (Roweis & Saul, 2000)
    """

    def __init__(self, name: str, rows: ArrayLike, size: int) -> None:
        if name not in ("isomap", "lle"):
            raise ValueError(f"an embedding for new rows is isomap or lle, got {name!r}")
        x = _flat(rows)
        _check_size(len(x), size)
        neighbors = min(N_NEIGHBORS, len(x) - 1)
        if name == "isomap":
            self._learned = Isomap(n_neighbors=neighbors, n_components=size, eigen_solver="dense")
        else:
            # The iterative solver starts at random, and gives up on rows that lie in pieces.
            self._learned = LocallyLinearEmbedding(n_neighbors=neighbors, n_components=size, eigen_solver="dense")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # rows in several pieces are joined by their shortest bridges
            self._learned.fit(x)

    def __call__(self, rows: ArrayLike) -> np.ndarray:
        """The codes of rows (n, ...): (n, size)."""
        x = _flat(rows)
        pieces = [self._learned.transform(x[start : start + CHUNK_ROWS]) for start in range(0, len(x), CHUNK_ROWS)]
        return np.nan_to_num(np.concatenate(pieces))


def embed_tsne(rows: ArrayLike, size: int = 2, *, seed: int = 0) -> np.ndarray:
    """t-SNE: codes of these rows and of no others.

    Up to three dimensions by the method of Barnes and Hut; beyond them exactly, in time that grows with the square of
    the rows: a minute for a thousand.

    Args:
        rows: (n, ...).
        size: of the code; at most n - 2.
        seed: of the start, where that is not the principal plane.

    Returns:
        (n, size).

    Raises:
        ValueError: if the size does not fit the rows.

    Reference:
        Visualizing data using t-SNE (van der Maaten & Hinton, 2008)
    """
    x = _flat(rows)
    _check_size(len(x), size)
    mapped = TSNE(
        size,
        perplexity=min(PERPLEXITY, (len(x) - 1) / 3),
        init="pca" if size <= x.shape[1] else "random",
        method="barnes_hut" if size <= 3 else "exact",
        random_state=seed,
    )
    return np.asarray(mapped.fit_transform(x), np.float64)


def _flat(rows: ArrayLike) -> np.ndarray:
    x = np.asarray(rows, np.float64)
    return x.reshape(len(x), -1)


def _check_size(n: int, size: int) -> None:
    if not 1 <= size <= n - 2:
        raise ValueError(f"a map of {n} rows has 1 to {n - 2} dimensions, got {size}")
