"""FeatureExtractor."""

import math
from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from likely.contract import Decoder, Encoder
from likely.errors import Unsupported
from likely.estimators.learner import Learner


class FeatureExtractor(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Learner):
    """The code of each row as features for whatever comes next in a pipeline.

    Args:
        model: a model's name or a Spec, of a model that encodes; by default an autoencoder.
        train: how long, how fast and where; by default as `TrainConfig()`.
        random_state: decides split, order, starting weights and noise; None takes the seed of `train`.

    Example:
        >>> import numpy as np
        >>> from likely import Spec
        >>> X = np.random.default_rng(0).normal(size=(50, 3))
        >>> FeatureExtractor(Spec("pca", z_size=2)).fit_transform(X).shape
        (50, 2)
    """

    default_model = "autoencoder"

    def fit(self, X: Any, y: Any = None) -> "FeatureExtractor":
        """Learns the code from X (n, d) or (n, ...); y is ignored."""
        self._check_encodes()
        self._learn(X, "none")
        model = self.fitted_.model
        assert isinstance(model, Encoder)
        self._n_features_out = math.prod(model.z_shape)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The codes, (n, z_size) float64."""
        X = self._ready(X)
        codes = self._precise.encode(X)
        return codes.reshape(len(codes), -1)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """Rows from codes (n, z_size): the mean of a row given its code, in the units of the X of `fit`."""
        check_is_fitted(self)
        if not isinstance(self.fitted_.model, Decoder):
            raise Unsupported(f"{self.fitted_.spec.name} does not decode; `likely models` shows which models do")
        codes = np.asarray(X, dtype=np.float64)
        return np.asarray(self._precise.decode(codes.reshape(len(codes), *self.fitted_.model.z_shape)))
