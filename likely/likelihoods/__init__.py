"""Likelihoods p(x | raw): the only place that knows what a pixel or a column is.

A likelihood is a frozen dataclass, a value; `build` makes the module that reads a network's raw output as a
distribution over x, as x stands inside a model: bits as 0 and 1, gray levels k as k / (levels - 1), reals
standardized, categories one of them 1. There is no "MSE": it is a Gaussian with a fixed scale, and its constant.
"""

from likely.likelihoods.bits import Bernoulli, ContinuousBernoulli
from likely.likelihoods.columns import Columns
from likely.likelihoods.defaults import (
    LARGEST_LEVELS_AS_SOFTMAX,
    SMALLEST_LEVELS_AS_LOGISTICS,
    default_likelihood,
    without_outliers,
)
from likely.likelihoods.levels import Categorical, DiscretizedLogisticMixture
from likely.likelihoods.likelihood import (
    LIKELIHOODS,
    Likelihood,
    Observation,
    observed_log_prob,
    ordinary_draw,
    split_missing,
)
from likely.likelihoods.mixtures import GaussianMixture
from likely.likelihoods.reals import OUTLIER_SCALE, Gaussian

LIKELIHOODS |= {
    kind.__name__: kind
    for kind in (
        Bernoulli,
        ContinuousBernoulli,
        Gaussian,
        GaussianMixture,
        Categorical,
        DiscretizedLogisticMixture,
        Columns,
    )
}

__all__ = [
    "LARGEST_LEVELS_AS_SOFTMAX",
    "LIKELIHOODS",
    "OUTLIER_SCALE",
    "SMALLEST_LEVELS_AS_LOGISTICS",
    "Bernoulli",
    "Categorical",
    "Columns",
    "ContinuousBernoulli",
    "DiscretizedLogisticMixture",
    "Gaussian",
    "GaussianMixture",
    "Likelihood",
    "Observation",
    "default_likelihood",
    "observed_log_prob",
    "ordinary_draw",
    "split_missing",
    "without_outliers",
]
