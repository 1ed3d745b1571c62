"""Designs: which bijections a flow is a chain of."""

import abc
import math

from likely.bijections import Bijection
from likely.contract import Shape


class Design(abc.ABC):
    """A chain of bijections from rows to the base of a flow. Its subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def build(self, x_shape: Shape, context_size: int) -> Bijection:
        """From x (batch, *x_shape) to base variables u (batch, n), n the number of values of x.

        Args:
            x_shape: of one row.
            context_size: how many numbers of a context all layers see.

        Raises:
            ValueError: if the design takes no rows of this shape; names one that does.
        """


def check_vector(design: Design, x_shape: Shape, *, at_least: int = 1) -> int:
    """How many values a vector has.

    Raises:
        ValueError: for other shapes, and for vectors of fewer values; names the design that takes them.
    """
    name, n = type(design).__name__, math.prod(x_shape)
    if len(x_shape) != 1:
        raise ValueError(f"{name} is of vectors, got rows of shape {x_shape}; images have design=RealNVP() and Glow()")
    if n < at_least:
        raise ValueError(
            f"{name} couples values, and there are too few: {n}; set design=NeuralSpline(coupling=False) or MAF()"
        )
    return n
