"""How much noise a surprise is made of: enough for what the noise does to it to be small beside how rows differ."""

import math
from collections.abc import Callable

import numpy as np

from likely.contract import BoundedDensity, EstimatedDensity, ExactDensity, Model
from likely.tasks.conformal import spread_of
from likely.tasks.novelty import DENSITY_SAMPLES, ESTIMATE_SAMPLES, rows_enough

SMALL = 0.1
"""The error of a surprise is small at this share of the spread of surprises."""

MOST_SAMPLES = 256
MOST_LINES = 8
"""No surprise is made of more importance samples or dequantizations, or of more random lines."""

N_ROWS = 100
N_REPEATS = 4
MAX_LOOKS = 3
"""So many rows are asked so often with other noise, and again with more noise at most so many times."""

Ask = Callable[[int, int], np.ndarray]
"""The surprise (n,) of some rows by so many samples of the noise of a seed."""


def usual_samples(model: Model, *, dequantized: bool) -> int | None:
    """The draws of noise that a surprise is made of where nobody asked for more; None where nothing is random.

    Args:
        model: that judges.
        dequantized: whether noise is added to rows (whole values, or gray ones that are read as probabilities).
    """
    match model:
        case ExactDensity():
            return 1 if dequantized else None
        case EstimatedDensity() if model.method == "Hutchinson":
            return ESTIMATE_SAMPLES
        case BoundedDensity() if not isinstance(model, EstimatedDensity):
            return DENSITY_SAMPLES
    return 1 if dequantized else None


def noise_of(model: Model, n_samples: int | None, dequantized: bool) -> tuple[int, int | None]:
    """How often rows are dequantized, and with how many samples of a model's own each time: together n_samples."""
    usual = usual_samples(model, dequantized=False)
    n = n_samples or usual_samples(model, dequantized=dequantized) or 1
    if not dequantized:
        return 1, n_samples or usual
    if usual is None:
        return n, n_samples if isinstance(model, BoundedDensity) else None
    n_draws = max(1, n // usual)
    return n_draws, math.ceil(n / n_draws)


def noise_rows(model: Model, n: int) -> int:
    """Of how many of n rows to ask how far noise moves their surprise."""
    return max(1, min(n, N_ROWS, rows_enough(model, n) // 10 if rows_enough(model, n) < n else n))


def enough_noise(model: Model, ask: Ask) -> tuple[int, float]:
    """How many draws of noise make the error of a surprise a tenth of the spread of surprises, and that error.

    Args:
        model: that judges.
        ask: by how many samples and with which seed; what a seed moves in all rows alike changes no rank.

    Returns:
        The draws, at most `MOST_SAMPLES` (`MOST_LINES`), and the standard deviation of a row's surprise over them.
    """
    own = usual_samples(model, dequantized=True) or 1
    most = MOST_LINES if isinstance(model, EstimatedDensity) else MOST_SAMPLES
    n, error = own, 0.0
    for _ in range(MAX_LOOKS):
        found = np.stack([ask(n, 1 + repeat) for repeat in range(N_REPEATS)])
        found = found[:, np.isfinite(found).all(0)]
        if found.shape[1] < 2:
            return n, 0.0
        alone = found - found.mean(1, keepdims=True)
        error, spread = math.sqrt(alone.var(0, ddof=1).mean()), spread_of(found.mean(0))
        if error <= SMALL * spread or n >= most or not spread:
            break
        n = min(most, math.ceil(n * max(2.0, (error / (SMALL * spread)) ** 2)))
    return n, error
