"""Bijections: maps that can be undone, and say how they stretch space."""

from likely.bijections.autoregressive import MaskedAffine
from likely.bijections.bijection import Bijection, Chain, Inverse
from likely.bijections.coupling import AffineCoupling
from likely.bijections.permutation import Permutation

__all__ = ["AffineCoupling", "Bijection", "Chain", "Inverse", "MaskedAffine", "Permutation"]
