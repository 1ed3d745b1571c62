"""Designs: which bijections a flow is a chain of."""

import abc
import math
from collections.abc import Iterable

from likely.bijections import Bijection, Chain, Flatten
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


def n_values(design: Design, x_shape: Shape, *, at_least: int = 1) -> int:
    """How many values rows have.

    Raises:
        ValueError: if there are fewer; names the designs that take them.
    """
    n = math.prod(x_shape)
    if n < at_least:
        raise ValueError(
            f"{type(design).__name__} couples values, and there are too few: {n}; set "
            "design=NeuralSpline(coupling=False) or MAF()"
        )
    return n


def of_vectors(x_shape: Shape, steps: Iterable[Bijection]) -> Chain:
    """A chain of bijections of vectors, for rows of any shape, whose values it takes as they lie in memory."""
    return Chain(*([] if len(x_shape) == 1 else [Flatten(x_shape)]), *steps)
