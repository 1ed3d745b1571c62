"""DensityEstimator."""

from typing import Any

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from likely import arguments
from likely.contract import BoundedDensity, ExactDensity
from likely.estimators.learner import Learner


class DensityEstimator(DensityMixin, Learner):
    """log p of each row, exact, a bound or an estimate as `fitted_.density_mark` says, and new rows.

    Args:
        model: a model's name or a Spec, of a model with a density; by default a variational autoencoder.
        train: how long, how fast and where; by default as `TrainConfig()`.
        random_state: decides split, order, starting weights and noise; None takes the seed of `train`.

    Example:
        >>> import numpy as np
        >>> X = np.random.default_rng(0).normal(size=(50, 3))
        >>> DensityEstimator("ppca").fit(X).score_samples(X).shape
        (50,)
    """

    default_model = "vae"

    def fit(self, X: Any, y: Any = None) -> "DensityEstimator":
        """Learns the density of X (n, d) or (n, ...); y is ignored."""
        self._check(lambda kind: issubclass(kind, ExactDensity | BoundedDensity), "has no density", "have one")
        self._learn(X, "none")
        return self

    def score_samples(self, X: Any) -> np.ndarray:
        """log p of each row in nats, a density in the units of X: (n,) float64."""
        X = self._ready(X)
        return self._precise.log_prob(X)

    def score(self, X: Any, y: Any = None) -> float:
        """The mean of `score_samples`, in nats per row."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> np.ndarray:
        """New rows, drawn from the model: (n_samples, d)."""
        check_is_fitted(self)
        seed = int(check_random_state(random_state).randint(2**31))
        n = arguments.whole("n_samples", n_samples, 1)
        return np.asarray(self._precise.sample(n, seed=seed))
