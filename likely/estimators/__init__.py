"""scikit-learn estimators: one per task, any model."""

from likely.estimators.classifier import PretrainedClassifier
from likely.estimators.density import DensityEstimator
from likely.estimators.features import FeatureExtractor
from likely.estimators.novelty import NoveltyDetector

__all__ = ["DensityEstimator", "FeatureExtractor", "NoveltyDetector", "PretrainedClassifier"]
