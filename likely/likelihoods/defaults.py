"""The likelihood of data for which nobody names one."""

from collections.abc import Sequence
from dataclasses import replace

from likely.likelihoods.bits import Bernoulli, ContinuousBernoulli
from likely.likelihoods.columns import Columns
from likely.likelihoods.levels import Categorical, DiscretizedLogisticMixture
from likely.likelihoods.likelihood import Likelihood
from likely.likelihoods.mixtures import GaussianMixture
from likely.likelihoods.reals import Gaussian

SMALLEST_LEVELS_AS_LOGISTICS = 33
"""From this many levels on, the default is a mixture of logistics: a softmax would need a number per level."""

LARGEST_LEVELS_AS_SOFTMAX = 256
"""Up to this many levels a model by the chain rule has a softmax, whose every level is free: a mixture loses nats."""


def default_likelihood(domain: str, levels: int, *, widths: Sequence[int] = (), exact: bool = False) -> Likelihood:
    """The likelihood for a domain when nobody names one.

    Args:
        domain: "binary", "unit", "levels" or "real".
        levels: how many whole values there are.
        widths: of a table's columns, as `Columns` has them; () for anything else.
        exact: whether it is for a model that multiplies values up by the chain rule, where what one value's
            likelihood cannot say nothing else makes up for, and not for one that mixes over codes.
    """
    reals = GaussianMixture() if exact else Gaussian(outliers=0.01)
    if any(width > 1 for width in widths):
        return Columns(tuple(widths), reals)
    match domain:
        case "binary":
            return Bernoulli()
        case "unit":
            return ContinuousBernoulli()
        case "levels" if levels <= LARGEST_LEVELS_AS_SOFTMAX if exact else levels < SMALLEST_LEVELS_AS_LOGISTICS:
            return Categorical(levels)
        case "levels":
            return DiscretizedLogisticMixture(levels)
        case _:
            return reals


def without_outliers(likelihood: Likelihood) -> Likelihood:
    """The same likelihood, reading the same raw numbers, of a world in which there are no outliers.

    For whoever draws again and again: what a fit has to bear with is nothing to go on from (see `ordinary_draw`).
    """
    match likelihood:
        case Columns():
            return replace(likelihood, reals=without_outliers(likelihood.reals))
        case Gaussian() | GaussianMixture():
            return replace(likelihood, outliers=0.0)
    return likelihood
