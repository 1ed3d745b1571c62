"""Novelty: how surprising a row is to a model."""

from enum import Enum

from torch import Tensor

from likely.contract import BoundedDensity, Energy, ExactDensity, Model, Reconstructor
from likely.errors import Unsupported

DENSITY_SAMPLES = 16
"""Importance samples per row where a density is known by a bound."""


class Measure(Enum):
    """What kind of number a surprise is; `mark` stands before it in tables."""

    EXACT = "="
    BOUND = "<="
    ENERGY = "~"
    SQUARED_ERROR = "squared error"

    @property
    def mark(self) -> str:
        """ "=", "<=" or "~" for log-probabilities; empty for what is none."""
        return "" if self is Measure.SQUARED_ERROR else self.value

    @property
    def is_density(self) -> bool:
        """Whether minus the number is a log-probability, or a bound of one."""
        return self in (Measure.EXACT, Measure.BOUND)


def measure_of(model: Model) -> Measure:
    """The kind of number that `surprise` gives for a model.

    Raises:
        Unsupported: if the model can neither judge nor reconstruct rows.
    """
    match model:
        case ExactDensity():
            return Measure.EXACT
        case BoundedDensity():
            return Measure.BOUND
        case Energy():
            return Measure.ENERGY
        case Reconstructor():
            return Measure.SQUARED_ERROR
    raise Unsupported(
        f"{type(model).__name__} cannot say how unlikely a row is: that takes a density, an energy or a "
        "reconstruction; `likely models` shows which models have one"
    )


def surprise(model: Model, x: Tensor, condition: Tensor | None = None, *, n_samples: int = DENSITY_SAMPLES) -> Tensor:
    """How unlikely each row is to a model.

    Args:
        model: fitted.
        x: (batch, *x_shape).
        condition: (batch, *condition_shape), or None.
        n_samples: importance samples, where a density is known by a bound.

    Returns:
        (batch,), larger is stranger: minus the log-probability or its bound in nats, an energy, or the squared
        error of the reconstruction summed over the row; in the units of x as the model takes it.

    Raises:
        Unsupported: if the model can neither judge nor reconstruct rows.
    """
    match measure_of(model), model:
        case ((Measure.EXACT | Measure.BOUND), _):
            return -log_density(model, x, condition, n_samples=n_samples)
        case Measure.ENERGY, Energy():
            return model.energy(x, condition)
        case Measure.SQUARED_ERROR, Reconstructor():
            return (model.reconstruct(x, condition) - x).square().flatten(1).sum(1)
    raise AssertionError("measure_of is total")


def log_density(
    model: Model, x: Tensor, condition: Tensor | None = None, *, n_samples: int = DENSITY_SAMPLES
) -> Tensor:
    """log p(x) of each row, exact or a bound as the model has it: (batch,), nats.

    Raises:
        Unsupported: if the model knows no density.
    """
    match model:
        case ExactDensity():
            return model.log_prob(x, condition)
        case BoundedDensity():
            return model.log_prob_bound(x, condition, n_samples=n_samples)
    raise Unsupported(
        f"{type(model).__name__} knows no density; `likely models` shows which models do (= exact, <= a bound)"
    )
