"""Bijections: maps that can be undone, and say how they stretch space."""

from likely.bijections.autoregressive import Autoregressive
from likely.bijections.bijection import Bijection, Chain, Inverse
from likely.bijections.coupling import Coupling
from likely.bijections.normalization import ActNorm
from likely.bijections.permutation import Permutation
from likely.bijections.splines import Spline
from likely.bijections.transformers import Additive, Affine, Transformer

__all__ = [
    "ActNorm",
    "Additive",
    "Affine",
    "Autoregressive",
    "Bijection",
    "Chain",
    "Coupling",
    "Inverse",
    "Permutation",
    "Spline",
    "Transformer",
]
