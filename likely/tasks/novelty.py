"""Novelty: how surprising a row is to a model."""

import math
from enum import Enum

from torch import Tensor

from likely.contract import BoundedDensity, Energy, EstimatedDensity, ExactDensity, Model, Reconstructor
from likely.errors import Unsupported

DENSITY_SAMPLES = 16
"""Importance samples per row where a density is known by a bound."""

ESTIMATE_SAMPLES = 2
"""Lines along which a density that is estimated looks, where nobody says how many: each costs a derivative."""

MAX_ESTIMATED_VALUES = 60_000
LEAST_ESTIMATED, MOST_ESTIMATED = 100, 500
"""So many values, within so many rows, tell how surprising rows are where a model has to follow each step by step."""


class Measure(Enum):
    """What kind of number a surprise is; `mark` stands before it in tables."""

    EXACT = "="
    BOUND = "<="
    ESTIMATE = "estimate"
    ENERGY = "~"
    SQUARED_ERROR = "squared error"

    @property
    def mark(self) -> str:
        """ "=", "<=" or "~" for log-probabilities; empty for what is none."""
        return {Measure.SQUARED_ERROR: "", Measure.ESTIMATE: "~"}.get(self, self.value)

    @property
    def is_density(self) -> bool:
        """Whether minus the number is a log-probability, or a bound or an estimate of one."""
        return self in (Measure.EXACT, Measure.BOUND, Measure.ESTIMATE)


def can_judge(kind: type[Model]) -> bool:
    """Whether models of a class can say how unlikely a row is."""
    return issubclass(kind, ExactDensity | BoundedDensity | Energy | Reconstructor)


def measure_of(model: Model) -> Measure:
    """The kind of number that `surprise` gives for a model.

    Raises:
        Unsupported: if the model can neither judge nor reconstruct rows.
    """
    match model:
        case ExactDensity():
            return Measure.EXACT
        case EstimatedDensity():
            return Measure.ESTIMATE
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


def how_estimated(model: Model, n_samples: int | None = None) -> str:
    """How `log_density` comes about where it is an estimate, in words; empty where it is none."""
    if not isinstance(model, EstimatedDensity):
        return ""
    if model.method == "exact trace":
        return "an estimate to the tolerance of a solver, with the exact trace of the field's derivative"
    lines = ESTIMATE_SAMPLES if n_samples is None else n_samples
    return f"an estimate, with Hutchinson's for the trace of the field's derivative, along {lines} random lines"


def rows_enough(model: Model, n: int) -> int:
    """Of how many of n rows to ask the density, so that it takes a minute: all, but where each is followed by steps."""
    if not (isinstance(model, EstimatedDensity) and model.method == "Hutchinson"):
        return n
    affordable = MAX_ESTIMATED_VALUES // math.prod(model.x_shape)
    return min(n, max(LEAST_ESTIMATED, min(MOST_ESTIMATED, affordable)))


def surprise(model: Model, x: Tensor, condition: Tensor | None = None, *, n_samples: int | None = None) -> Tensor:
    """How unlikely each row is to a model.

    Args:
        model: fitted.
        x: (batch, *x_shape).
        condition: (batch, *condition_shape), or None.
        n_samples: importance samples where a density is known by a bound, lines where it is an estimate; by default
            `DENSITY_SAMPLES` or `ESTIMATE_SAMPLES`.

    Returns:
        (batch,), larger is stranger: minus the log-probability or its bound in nats, an energy, or the squared
        error of the reconstruction summed over the row; in the units of x as the model takes it.

    Raises:
        Unsupported: if the model can neither judge nor reconstruct rows.
    """
    match measure_of(model), model:
        case ((Measure.EXACT | Measure.BOUND | Measure.ESTIMATE), _):
            return -log_density(model, x, condition, n_samples=n_samples)
        case Measure.ENERGY, Energy():
            return model.energy(x, condition)
        case Measure.SQUARED_ERROR, Reconstructor():
            return (model.reconstruct(x, condition) - x).square().flatten(1).sum(1)
    raise AssertionError("measure_of is total")


def log_density(model: Model, x: Tensor, condition: Tensor | None = None, *, n_samples: int | None = None) -> Tensor:
    """log p(x) of each row, exact, a bound or an estimate as the model has it: (batch,), nats; as `surprise`.

    Raises:
        Unsupported: if the model knows no density.
    """
    match model:
        case ExactDensity():
            return model.log_prob(x, condition)
        case BoundedDensity():
            usual = ESTIMATE_SAMPLES if isinstance(model, EstimatedDensity) else DENSITY_SAMPLES
            return model.log_prob_bound(x, condition, n_samples=usual if n_samples is None else n_samples)
    raise Unsupported(
        f"{type(model).__name__} knows no density; `likely models` shows which models do (= exact, <= a bound, "
        "~ an estimate)"
    )
