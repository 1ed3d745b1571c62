"""An estimator refuses, before it learns, a model that cannot do what it is for."""

import numpy as np
import pytest

from likely import Unsupported
from likely.estimators import DensityEstimator, FeatureExtractor, NoveltyDetector, PretrainedClassifier


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (NoveltyDetector("gan"), "gan cannot say how unlikely a row is"),
        (DensityEstimator("rbm"), "rbm has no density"),
        (DensityEstimator("gan"), "gan has no density"),
        (FeatureExtractor("gan"), "gan has no code"),
        (PretrainedClassifier("made"), "made has no code"),
    ],
    ids=repr,
)
def test_a_model_that_cannot(estimator, reason):
    with pytest.raises(Unsupported, match=f"{reason}.*`likely models`"):
        estimator.fit(np.random.default_rng(0).normal(size=(60, 3)), np.arange(60) % 2)
