"""What the estimators share: a model that is fitted to X and answers in float64."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from likely.contract import Encoder, Model, TakesMissing
from likely.errors import Unsupported, UserError
from likely.fitting import Calibrate, fit
from likely.registry import Spec, model_class
from likely.training import TrainConfig


class Learner(BaseEstimator):
    """Holds a model's Spec until there is data, and the fitted model afterwards.

    Attributes:
        fitted_: the fitted model; whatever it can do is there, beyond what scikit-learn has a name for.
        n_features_in_: the number of columns of X.
        feature_names_in_: their names, where X had some.
    """

    default_model: ClassVar[str]

    def __init__(
        self, model: str | Spec | None = None, *, train: TrainConfig | None = None, random_state: Any = None
    ) -> None:
        self.model = model
        self.train = train
        self.random_state = random_state

    def _spec(self) -> Spec:
        model = self.default_model if self.model is None else self.model
        if not isinstance(model, str | Spec):
            raise UserError(f"model must be a name or a likely.Spec, got {type(model).__name__}")
        return Spec(model) if isinstance(model, str) else model

    def _config(self) -> TrainConfig:
        config = TrainConfig() if self.train is None else self.train
        if self.random_state is None:
            return config
        return dataclasses.replace(config, seed=int(check_random_state(self.random_state).randint(2**31)))

    def _takes_missing(self) -> bool:
        return issubclass(model_class(self._spec().resolve().name), TakesMissing)

    def _learn(self, X: Any, calibrate: Calibrate) -> np.ndarray:
        """Fits the model; no rows are kept for a test, which is the caller's to make. Returns X as it was read."""
        X = self._validated(X, reset=True)
        self.fitted_ = fit(self._spec(), X, train=self._config(), calibrate=calibrate, test=0.0)
        self._settle()
        return X

    def _settle(self) -> None:
        # Scores of the same row differ by rounding between batches; in float64 nobody can tell.
        self._precise = self.fitted_.to("cpu", torch.float64)
        self._precise.warns = False  # as scikit-learn's estimators: folds of a cross-validation hold what others do not

    def _check(self, able: Callable[[type[Model]], bool], lack: str, others: str) -> None:
        """Refuses, before anything is learned, a model that cannot do what the estimator is for."""
        name = self._spec().resolve().name
        if not able(model_class(name)):
            raise Unsupported(f"{name} {lack}; `likely models` shows which models {others}")

    def _check_encodes(self) -> None:
        self._check(lambda kind: issubclass(kind, Encoder), "has no code", "encode")

    def _validated(self, X: Any, *, reset: bool = False) -> np.ndarray:
        checked: np.ndarray = validate_data(self, X, reset=reset, **self._demands(1 + reset))
        return checked

    def _validated_pair(self, X: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
        """Rows to fit to, and one number or name for each."""
        checked: tuple[np.ndarray, np.ndarray] = validate_data(self, X, y, **self._demands(2))
        return checked

    def _demands(self, n_rows: int) -> dict[str, Any]:
        finite = "allow-nan" if self._takes_missing() else True
        return {
            "dtype": "numeric",
            "ensure_all_finite": finite,
            "allow_nd": True,
            "ensure_min_samples": n_rows,
        }

    def _ready(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        return self._validated(X)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._takes_missing()
        return tags
