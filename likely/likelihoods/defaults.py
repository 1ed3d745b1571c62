"""The likelihood of data for which nobody names one."""

from likely.likelihoods.bits import Bernoulli, ContinuousBernoulli
from likely.likelihoods.levels import Categorical, DiscretizedLogisticMixture
from likely.likelihoods.likelihood import Likelihood
from likely.likelihoods.reals import Gaussian

SMALLEST_LEVELS_AS_LOGISTICS = 33
"""From this many levels on, the default is a mixture of logistics: a softmax would need a number per level."""


def default_likelihood(domain: str, levels: int) -> Likelihood:
    """The likelihood for a domain when nobody names one."""
    match domain:
        case "binary":
            return Bernoulli()
        case "unit":
            return ContinuousBernoulli()
        case "levels" if levels < SMALLEST_LEVELS_AS_LOGISTICS:
            return Categorical(levels)
        case "levels":
            return DiscretizedLogisticMixture(levels)
        case _:
            return Gaussian(outliers=0.01)
