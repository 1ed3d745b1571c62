"""Standard values: numbers of a column less their location, in units of their scale, and far ones squeezed.

Where a column has far values, what lies u scales beyond its bend b goes on as a logarithm of a logarithm:
b + log(1 + log(1 + u)). With a bend of 5, -999 beside numbers around 0 is 7 scales off, and 1e30 is 9: a network meets
them without being overrun, and they do not outweigh all other rows. The map is smooth and one to one, and densities
carry its slope, so that nothing is lost or invented; up to the bend, which is beyond everything ordinary, it is a
straight line.
"""

import numpy as np
import torch
from torch import Tensor

Numbers = np.ndarray | float
"""One for all values, or one for each of the last axis."""

LARGEST = float(np.finfo(np.float64).max)


def standardized(values: np.ndarray, location: Numbers, scale: Numbers, bend: Numbers = np.inf) -> np.ndarray:
    """Numbers in standard values.

    Args:
        values: (n, ...) float64, in the caller's unit; NaN stays.
        location: of the column.
        scale: of the column.
        bend: how many scales off they are squeezed; infinite where they never are.
    """
    with np.errstate(over="ignore"):
        z: np.ndarray = (values - location) / scale
    far = np.abs(z) > bend
    if not far.any():
        return z
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        # log(1 + u), of u that overflows where a huge value is measured by a small scale.
        size = np.log(np.abs(values - location)) - np.log(scale)
        beyond = size + np.log1p((1 - bend) * np.exp(-size))
        return np.where(far, np.sign(z) * (bend + np.log1p(beyond)), z)


def in_units(z: np.ndarray, location: Numbers, scale: Numbers, bend: Numbers = np.inf) -> np.ndarray:
    """The inverse of `standardized`; what is beyond all numbers becomes the largest one."""
    values: np.ndarray = z * scale + location
    far = np.abs(z) > bend
    if not far.any():
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        size = scale * (bend - 1) + np.exp(np.expm1(np.abs(z) - bend) + np.log(scale))
        return np.where(far, np.clip(np.sign(z) * size + location, -LARGEST, LARGEST), values)


def log_slope_of_bend(z: Tensor, bend: Tensor) -> Tensor:
    """log of how much less standard values z change with numbers than without a bend: 0 up to it; float64."""
    t = (z.double().abs() - bend).clamp_min(0)
    return -(t + torch.expm1(t))
