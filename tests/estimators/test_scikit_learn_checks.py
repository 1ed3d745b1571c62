"""scikit-learn's own checks, without an exception, over every estimator and every model of tables that it takes."""

import contextlib
from unittest import SkipTest

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from likely.contract import BoundedDensity, Encoder, ExactDensity
from likely.estimators import DensityEstimator, FeatureExtractor, NoveltyDetector, PretrainedClassifier
from likely.networks.residual_mlp import ResidualMLP
from likely.registry import MODELS, Spec, model_class
from likely.tasks import can_judge
from likely.training import TrainConfig, plan

BY_DEFAULT = {
    NoveltyDetector: ("pca", "ppca", "autoencoder", "vae"),
    FeatureExtractor: ("pca", "ppca", "autoencoder", "denoising_autoencoder", "vae"),
    DensityEstimator: ("ppca", "vae"),
    PretrainedClassifier: ("autoencoder", "vae"),
}
"""Told nothing of training, as a user would who passes nothing."""

OF_QUALITY = {"check_outliers_train", "check_outliers_fit_predict", "check_classifiers_train"}
"""Checks of what was learned: here training is as long as it is for a user, once for each estimator. For what the
others look at, a few steps do: that they are few is no argument of the estimator, so that it still has none."""

OF_IMAGES, OF_WHOLE_VALUES = {"pixel_rnn", "pixel_cnn", "gated_pixel_cnn"}, {"dequantizing_flow"}
OF_TABLES = sorted(MODELS.keys() - OF_IMAGES - OF_WHOLE_VALUES)

BRIEF = TrainConfig(epochs=1)
QUICKER = {"flow_matching": {"tolerance": 0.1, "network": ResidualMLP(8, 1)}}
"""Arguments with which a model of costly answers gives them faster."""


def trained_briefly():
    """Every model in one of the estimators that it can serve: what estimators do is theirs, whatever the model."""
    able = {
        NoveltyDetector: can_judge,
        FeatureExtractor: lambda kind: issubclass(kind, Encoder),
        DensityEstimator: lambda kind: issubclass(kind, ExactDensity | BoundedDensity),
    }
    for number, name in enumerate(OF_TABLES):
        serves = [estimator for estimator, is_able in able.items() if is_able(model_class(name))]
        estimator = serves[number % len(serves)] if serves else None
        if estimator is not None and name not in BY_DEFAULT[estimator]:
            yield estimator(Spec(name, **QUICKER.get(name, {})), train=BRIEF)


@parametrize_with_checks(
    [
        *(estimator() for estimator in BY_DEFAULT),
        *(
            estimator(Spec(name))
            for estimator, names in BY_DEFAULT.items()
            for name in names
            if name != estimator.default_model
        ),
    ]
)
def test_scikit_learn(estimator, check, monkeypatch):
    of_quality = check.func.__name__ in OF_QUALITY
    seen = check.keywords or estimator.model is not None  # the same rows in memory of another kind, another model
    if not of_quality or seen:
        enough = 500 if isinstance(estimator, PretrainedClassifier) else 100
        monkeypatch.setattr(plan, "ENOUGH_STEPS", enough if of_quality else 20)
        monkeypatch.setattr(plan, "DEFAULT_EPOCHS", 1)
    check(estimator)


@pytest.mark.parametrize("estimator", list(trained_briefly()), ids=repr)
def test_scikit_learn_after_brief_training(estimator):
    for copy, check in estimator_checks_generator(estimator):
        with contextlib.suppress(SkipTest):  # of what takes an environment variable, as those before show one by one
            check(copy)
