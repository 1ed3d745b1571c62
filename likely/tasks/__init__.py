"""Tasks: what is done with a fitted model, dispatched on what it can do, never on its name."""

from likely.tasks.calibration import Calibration
from likely.tasks.novelty import DENSITY_SAMPLES, Measure, log_density, measure_of, surprise

__all__ = ["DENSITY_SAMPLES", "Calibration", "Measure", "log_density", "measure_of", "surprise"]
