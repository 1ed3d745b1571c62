"""scikit-learn's own checks, without an exception, over every estimator and the models it takes."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from likely.estimators import DensityEstimator, FeatureExtractor, NoveltyDetector, PretrainedClassifier
from likely.registry import Spec

MODELS = {
    NoveltyDetector: ("pca", "ppca", "autoencoder", "vae"),
    FeatureExtractor: ("pca", "ppca", "autoencoder", "denoising_autoencoder", "vae"),
    DensityEstimator: ("ppca", "vae"),
    PretrainedClassifier: ("autoencoder", "vae"),
}
ESTIMATORS = [
    *(estimator() for estimator in MODELS),
    *(estimator(Spec(name)) for estimator, names in MODELS.items() for name in names),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn(estimator, check):
    check(estimator)
