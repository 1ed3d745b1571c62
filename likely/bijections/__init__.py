"""Bijections: maps that can be undone, and say how they stretch space."""

from likely.bijections.autoregressive import Autoregressive
from likely.bijections.bijection import Bijection, Chain, Inverse
from likely.bijections.coupling import Coupling
from likely.bijections.flatten import Flatten
from likely.bijections.image_coupling import ImageCoupling
from likely.bijections.invertible_convolution import InvertibleConvolution
from likely.bijections.logit import Logit
from likely.bijections.marginals import Marginals
from likely.bijections.multi_scale import MultiScale, Scale
from likely.bijections.normalization import ActNorm
from likely.bijections.permutation import Permutation
from likely.bijections.splines import Spline
from likely.bijections.squeeze import Squeeze
from likely.bijections.transformers import Additive, Affine, Transformer
from likely.bijections.triangular import Triangular

__all__ = [
    "ActNorm",
    "Additive",
    "Affine",
    "Autoregressive",
    "Bijection",
    "Chain",
    "Coupling",
    "Flatten",
    "ImageCoupling",
    "Inverse",
    "InvertibleConvolution",
    "Logit",
    "Marginals",
    "MultiScale",
    "Permutation",
    "Scale",
    "Spline",
    "Squeeze",
    "Transformer",
    "Triangular",
]
