"""The contract every model keeps, and every other floor relies on.

A model declares what it can do by the classes it inherits; nothing else is asked of it. Public methods are
final: they check shapes, dtype and condition once, and hold the documentation. A model writes the private
methods, the mathematics. Shapes: `batch` is always the first axis and always there. Densities are natural
logarithms, in nats, of x as the model is given it. Values (NaN, range) are checked where data enters, by
`likely.fitted`, not here.
"""

from likely.contract.annealing import AnnealedEnergy, AnnealingPath
from likely.contract.codes import Decoder, Encoder, Reconstructor
from likely.contract.densities import (
    MAX_ROWS_AT_ONCE,
    Belief,
    BoundedDensity,
    Density,
    DensityEstimate,
    Energy,
    EstimatedDensity,
    EstimateMethod,
    ExactDensity,
    LatentDensity,
)
from likely.contract.drawing import (
    DrawsMissing,
    ImputesMissing,
    MarkovSampler,
    Restorer,
    Sampler,
    Sequential,
    TakesMissing,
)
from likely.contract.fitting import ClosedFormFitted, GradientFitted, Layered, NoHeldOutObjective, Stacked
from likely.contract.model import Batch, Model, Objective, Operator, Player, Shape, drawn_rows, repeated

CAPABILITIES: tuple[type[Model], ...] = (
    Encoder,
    Decoder,
    Reconstructor,
    Sampler,
    ExactDensity,
    BoundedDensity,
    EstimatedDensity,
    Energy,
    Restorer,
    TakesMissing,
)
"""Every capability, in the order tables print them; what has one that includes another is listed by the former."""

__all__ = [
    "CAPABILITIES",
    "MAX_ROWS_AT_ONCE",
    "AnnealedEnergy",
    "AnnealingPath",
    "Batch",
    "Belief",
    "BoundedDensity",
    "ClosedFormFitted",
    "Decoder",
    "Density",
    "DensityEstimate",
    "DrawsMissing",
    "Encoder",
    "Energy",
    "EstimateMethod",
    "EstimatedDensity",
    "ExactDensity",
    "GradientFitted",
    "ImputesMissing",
    "LatentDensity",
    "Layered",
    "MarkovSampler",
    "Model",
    "NoHeldOutObjective",
    "Objective",
    "Operator",
    "Player",
    "Reconstructor",
    "Restorer",
    "Sampler",
    "Sequential",
    "Shape",
    "Stacked",
    "TakesMissing",
    "drawn_rows",
    "repeated",
]
