"""Tasks: what is done with a fitted model, dispatched on what it can do, never on its name."""

from likely.tasks.calibration import Calibration
from likely.tasks.novelty import (
    DENSITY_SAMPLES,
    Measure,
    can_judge,
    how_estimated,
    log_density,
    measure_of,
    rows_enough,
    surprise,
)

__all__ = [
    "DENSITY_SAMPLES",
    "Calibration",
    "Measure",
    "can_judge",
    "how_estimated",
    "log_density",
    "measure_of",
    "rows_enough",
    "surprise",
]
