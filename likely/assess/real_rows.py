"""Real rows that samples are held against, in the form in which a caller gets both."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from likely.assess.features import ClassifierSpace, Space, pinned_space
from likely.contract import TakesMissing
from likely.data import Source, open_source
from likely.data.subset import Subset
from likely.data.unseen import Unseen
from likely.evaluation import (
    Estimate,
    Fidelity,
    TwoSample,
    fidelity,
    frechet_estimate,
    frechet_floor,
    kernel_mmd,
    two_sample_test,
)
from likely.fitted import Fitted
from likely.rng import permutation, some_of, stream, uniform_like

MAX_PAIRED = 1_000
"""Every pair of rows is looked at: at most so many of a kind. Means and covariances take all that there are."""

N_NEIGHBORS = 5


@dataclass(frozen=True)
class Measured:
    """What rows in the place of samples come to, beside the test rows.

    Attributes:
        told: whether a classifier tells them from test rows.
        frechet: the Fréchet distance in the pinned space, with its error.
        mmd: the squared discrepancy in the pinned space.
        near: precision, recall, density and coverage in the pinned space.
        shares: (classes,), how often the space's classifier sees each class; empty where there are no labels.
    """

    told: TwoSample
    frechet: Estimate
    mmd: Estimate
    near: Fidelity
    shares: np.ndarray


class RealRows:
    """Real rows in their parts, each (n, *x_shape): what samples are held against.

    Attributes:
        test: the rows that samples are compared with.
        floor: as many real rows to take the samples' place, of those that the model learned from.
        space: the pinned space, of the other rows that the model learned from.
        class_shares: how often the space's classifier sees each class among all of these; empty without labels.
    """

    def __init__(self, fitted: Fitted, test: Source, train: Source, n: int, *, n_seen: int | None = None) -> None:
        order = permutation(len(train), "floor")
        others = Subset(train, order[n:])
        learned = as_given(fitted, others)
        self.test = as_given(fitted, Subset(test, some_of(len(test), n, "judged")))
        self.floor = as_given(fitted, Subset(train, order[:n]))
        self.space: Space = pinned_space(learned, others.labels, n_seen=n_seen)
        self.class_shares = self.shares(torch.cat([self.test, self.floor, learned]))

    def measured(self, x: Tensor) -> Measured:
        """Rows (n, *x_shape) in the place of samples, beside the test rows: as many of these as there are of those."""
        x, test = x[: len(self.test)], self.test[: len(x)]
        own, real = self.space(x), self.space(test)
        few = slice(MAX_PAIRED)
        return Measured(
            two_sample_test(test[few].numpy(), x[few].numpy()),
            frechet_estimate(own, real),
            kernel_mmd(own[few], real[few]),
            fidelity(own[few], real[few], k=N_NEIGHBORS),
            self.shares(x),
        )

    def measured_floor(self) -> Measured:
        """The floor in the place of samples, with `floor_distance` for its Fréchet distance."""
        return replace(self.measured(self.floor), frechet=self.floor_distance())

    def floor_distance(self, n: int | None = None) -> Estimate:
        """The Fréchet distance of n real rows from n others, by default of all: the mean over halvings, and its spread.

        Of a single pair it may be many times too small or too large, by chance in how often either has each class.
        """
        return frechet_floor(self.space(torch.cat([self.test[:n], self.floor[:n]])))

    def shares(self, x: Tensor) -> np.ndarray:
        """How often the space's classifier sees each class among rows; empty where there are no labels."""
        if not isinstance(self.space, ClassifierSpace):
            return np.empty(0)
        return np.bincount(self.space.predict(x), minlength=len(self.space.classes)) / len(x)


def as_given(fitted: Fitted, source: Source) -> Tensor:
    """Rows as they are, in the scale of the model and with no noise in them: (n, *x_shape).

    What is read as the probability of a bit is drawn, each row by itself.
    """
    ids = np.arange(len(source))
    x = fitted.schema.to_model(
        source.read(ids),
        missing_ok=isinstance(fitted.model, TakesMissing),
        place=lambda i: source.place(int(ids[i])),
        unseen=Unseen(len(ids)),
    )
    if not fitted.schema.binarize:
        return x
    with stream("bits", source.name, len(source)):
        return fitted.schema.draw(x, uniform_like(x), False)


def as_handed_out(fitted: Fitted, drawn: Tensor) -> Tensor:
    """Draws (n, *x_shape) as a caller gets them, rounded and in range, in the scale of the model."""
    rows = open_source(fitted.schema.to_rows(drawn, draws=True))
    return fitted.schema.to_model(rows.read(np.arange(len(rows))))
