"""Spaces in which rows are compared: the features of a small classifier where there are labels, else of PCA.

They are pinned: the same rows and labels give the same features, to rounding, whatever model is judged. They come from
the data at hand, so distances compare models of one data set, and nothing else.
"""

import abc
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from likely.contract import Batch
from likely.networks.classifier import Classifier
from likely.principal import Principal, principal
from likely.rng import permutation, seeded, stream

N_SEEN = 30_000
MAX_SEEN_VALUES = 16_000_000
"""A classifier sees so many rows while it learns, some of them often, but no more values: seconds of a core."""

BATCH_SIZE, LEARNING_RATE, WEIGHT_DECAY = 100, 4e-3, 1e-2
MAX_CLASSES = 100
MIN_CLASS_ROWS = 10
"""With fewer rows a class in mean, labels teach no features."""

N_COMPONENTS = 32
CHUNK_ROWS = 1024


class Space(abc.ABC):
    """A map from rows as a schema gives them, (n, *x_shape), to features (n, d) float64."""

    title: str
    """What it is, in words that follow "in the space of"."""
    classes: tuple[str, ...] = ()
    """What it tells apart, in order; () where there were no labels."""

    @abc.abstractmethod
    def __call__(self, x: Tensor) -> np.ndarray:
        """Features of rows, (n, d)."""


def pinned_space(x: Tensor, labels: np.ndarray | None, *, n_seen: int | None = None) -> Space:
    """The space that rows and their labels make.

    Args:
        x: (n, *x_shape), rows that nothing is judged by.
        labels: (n,), or None.
        n_seen: how many rows the classifier sees while it learns, by default as many as take seconds.

    Returns:
        A `ClassifierSpace` where labels tell at least two and at most a hundred classes of ten rows or more in mean,
        else a `PrincipalSpace`.
    """
    if labels is not None:
        n_classes = len(np.unique(labels))
        if 2 <= n_classes <= MAX_CLASSES and len(labels) >= MIN_CLASS_ROWS * n_classes:
            return ClassifierSpace(x, labels, n_seen or max(1, min(N_SEEN, MAX_SEEN_VALUES // x[0].numel())))
    return PrincipalSpace(x)


class PrincipalSpace(Space):
    """Rows along their principal axes, as long as they are. It sees no more than means and covariances of values."""

    def __init__(self, x: Tensor) -> None:
        size = min(N_COMPONENTS, x[0].numel(), len(x) - 1)
        self.axes: Principal = principal([Batch(each) for each in x.split(CHUNK_ROWS)], size)
        self.title = f"the first {size} principal components"

    def __call__(self, x: Tensor) -> np.ndarray:
        """As `Space.__call__`."""
        moved = x.flatten(1).double() - self.axes.mean
        return np.asarray((moved @ self.axes.components.T).numpy())


@dataclass(frozen=True)
class _Standard:
    """What makes values have mean 0 and standard deviation 1."""

    location: Tensor
    scale: Tensor

    @classmethod
    def of(cls, values: Tensor) -> "_Standard":
        """Of each column (n, d); of one that hardly varies next to the others the scale is that of these."""
        spread = values.std(0)
        return cls(values.mean(0), spread.clamp_min(1e-2 * spread.mean()).clamp_min(1e-12))

    def __call__(self, values: Tensor) -> Tensor:
        return (values - self.location) / self.scale


class ClassifierSpace(Space):
    """The last hidden layer of a small classifier, each feature in its standard deviations."""

    def __init__(self, x: Tensor, labels: np.ndarray, n_seen: int) -> None:
        names, codes = np.unique(labels, return_inverse=True)
        self.classes = tuple(str(name) for name in names)
        self.title = f"a small classifier of {len(self.classes)} classes"
        flat = x.float().reshape(-1, 1)
        self._input = _Standard(flat.mean(0), flat.std(0).clamp_min(1e-12))
        with seeded("pinned features"):
            self._network = Classifier(tuple(x.shape[1:]), len(self.classes))
        with stream("pinned features", "training"):
            self._learn(x, torch.from_numpy(codes.reshape(-1)), n_seen)
        self._output = _Standard.of(self._features(x))

    def __call__(self, x: Tensor) -> np.ndarray:
        """As `Space.__call__`."""
        return np.asarray(self._output(self._features(x)).numpy())

    def predict(self, x: Tensor) -> np.ndarray:
        """Which of `classes` each row looks like most: (n,) int64."""
        with torch.inference_mode():
            pieces = [self._network(self._input(each.float())).argmax(1) for each in x.split(CHUNK_ROWS)]
        return np.asarray(torch.cat(pieces).numpy())

    def _features(self, x: Tensor) -> Tensor:
        with torch.inference_mode():
            pieces = [self._network.body(self._input(each.float())) for each in x.split(CHUNK_ROWS)]
        return torch.cat(pieces).double()

    def _learn(self, x: Tensor, codes: Tensor, n_seen: int) -> None:
        """AdamW over one rise and fall of the learning rate: a number of steps, not a time, so that it is pinned."""
        network, n_steps = self._network.train(), max(20, n_seen // BATCH_SIZE)
        optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=n_steps)
        for rows in _orders(len(x), n_steps):
            loss = cross_entropy(network(self._input(x[rows].float())), codes[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
        network.eval()


def _orders(n: int, n_steps: int) -> list[Tensor]:
    """Which rows each step sees: (n_steps, at most BATCH_SIZE), epoch after epoch in another order."""
    n_epochs = -(-n_steps * BATCH_SIZE // n)
    order = np.concatenate([permutation(n, "pinned features", epoch) for epoch in range(n_epochs)])
    return list(torch.from_numpy(order[: n_steps * BATCH_SIZE]).split(BATCH_SIZE))
