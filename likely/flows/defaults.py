"""Which design a shape calls for."""

from likely.contract import Shape
from likely.flows.design import Design
from likely.flows.vectors import NeuralSpline, RealNVP


def default_design(x_shape: Shape) -> Design:
    """Autoregressive splines for vectors, and several scales of couplings for images."""
    return NeuralSpline() if len(x_shape) == 1 else RealNVP()
