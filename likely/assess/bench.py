"""A model and its baselines before the same rows."""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from likely.contract import Encoder, Model
from likely.data import Source
from likely.data.split import Split
from likely.data.subset import some_rows
from likely.fitted import Fitted
from likely.fitting import Recipe, fit_rows
from likely.registry import Spec
from likely.training import TrainConfig

MEANS = "column means"
"""The baseline that every model has to beat: each value by itself."""

MAX_VALUES = 50_000_000
MAX_ROWS = 10_000
"""Rows that are looked at pixel by pixel: at most so many, and so many values."""

N_SAMPLES = 1_000
"""Samples that are drawn to be judged."""


class Bench:
    """A model and its baselines before the same rows."""

    def __init__(self, fitted: Fitted, test: Source, train: Source | None) -> None:
        self.fitted, self.schema, self.name = fitted, fitted.schema, fitted.spec.name
        self.test, self.train = test, train
        self.model: Model = fitted.model

    @property
    def z_size(self) -> int:
        """How many numbers a code has, of the model or of a baseline that stands beside it."""
        return math.prod(self.model.z_shape) if isinstance(self.model, Encoder) else 16

    def baseline(self, name: str) -> dict[str, Fitted]:
        """PCA or PPCA of the same size by its row's name; empty where it cannot be, or is the model itself."""
        n_rows = 0 if self.train is None else len(self.train)
        if self.z_size >= min(self.schema.n_values, n_rows) or self.schema.missing or self.name == name:
            return {}
        return {f"{name.upper()} ({self.z_size})": self.closed_form(name, self.z_size)}

    @functools.lru_cache(maxsize=4)  # noqa: B019 - lives as long as one assessment
    def closed_form(self, name: str, z_size: int) -> Fitted:
        """PCA or PPCA of some size, of the training rows."""
        assert self.train is not None
        recipe = Recipe(Spec(name, z_size=z_size), self.train, self.schema, TrainConfig(), None)
        everything = np.arange(len(self.train))
        none = everything[:0]
        fitted = fit_rows(recipe, Split(everything, none, none, none))
        fitted.warns = False  # what rows hold that is new, the model itself has told
        return fitted

    def beside(self, name: str, ask: Callable[[Fitted], Any]) -> dict[str, Any]:
        """An answer of the model, and of one baseline."""
        return {row: ask(each) for row, each in ({self.name: self.fitted} | self.baseline(name)).items()}

    @functools.cached_property
    def some_test(self) -> Source:
        """As many test rows as can be looked at value by value."""
        return rows_to_look_at(self.test, self.schema.n_values)

    @functools.cached_property
    def some_train(self) -> Source | None:
        """As many training rows."""
        return None if self.train is None else rows_to_look_at(self.train, self.schema.n_values)

    def draws(self, fitted: Fitted) -> Tensor:
        """New rows as a sampler gives them, for whoever judges samples: (n, *x_shape), those without finite values out.

        The model under judgment draws once, however many look at its samples.
        """
        return self._own_draws if fitted is self.fitted else self._draws(fitted)

    @functools.cached_property
    def _own_draws(self) -> Tensor:
        return self._draws(self.fitted)

    def _draws(self, fitted: Fitted) -> Tensor:
        drawn = fitted.see_samples(min(N_SAMPLES, max(1, MAX_VALUES // self.schema.n_values)))
        return drawn[drawn.isfinite().flatten(1).all(1)]

    def seen(self, source: Source) -> np.ndarray:
        """Rows as the model sees them: (n, *x_shape), float64."""
        return self.fitted.see(source).double().numpy()

    def plain(self, source: Source) -> np.ndarray:
        """Rows whose differences mean something: raw values, or standard deviations where columns have units."""
        if self.schema.columns or self.schema.binarize:
            return self.seen(source)
        return np.asarray(source.read(np.arange(len(source))), np.float64)

    def again(self, fitted: Fitted, source: Source) -> np.ndarray:
        """Reconstructions of rows, to be held against `plain`."""
        if self.schema.columns or self.schema.binarize:
            return fitted.see_again(source).double().numpy()
        return np.asarray(fitted.reconstruct(source), np.float64)


def rows_to_look_at(source: Source, n_values: int) -> Source:
    """At most MAX_ROWS rows and MAX_VALUES values of a source, drawn at random."""
    return some_rows(source, min(MAX_ROWS, max(1, MAX_VALUES // n_values)))
