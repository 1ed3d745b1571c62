"""Corruptions: what becomes of x on its way to y, and which x could have become y.

A corruption draws an operator, which holds its randomness. So to restore is one algorithm for every model that can
propose: begin with `start`, let the model propose, end with `finish`.

Everything is in the units of a model's x: values of images lie between 0 and 1, so that noise of 25 gray levels has
a scale of 25/255; columns of tables have a standard deviation of one. Rows are drawn independently of each other.
"""

from likely.corruptions.losses import Downsampling, Erasing, Grayscale, Truncation, missing_values
from likely.corruptions.noise import GaussianNoise, SaltAndPepper, ZeroMasking
from likely.corruptions.operators import Corruption, LinearOperator, Operator, Unseen, finish, start

__all__ = [
    "Corruption",
    "Downsampling",
    "Erasing",
    "GaussianNoise",
    "Grayscale",
    "LinearOperator",
    "Operator",
    "SaltAndPepper",
    "Truncation",
    "Unseen",
    "ZeroMasking",
    "finish",
    "missing_values",
    "start",
]
