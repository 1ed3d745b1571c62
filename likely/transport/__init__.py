"""Transport: paths from noise to data along a field, how densities change on the way, and paths to what is known."""

from likely.transport.divergence import Trace, rademacher
from likely.transport.guidance import guided
from likely.transport.path import GaussianPath

__all__ = ["GaussianPath", "Trace", "guided", "rademacher"]
