"""Corruptions: what becomes of x on its way to y."""

import abc

from torch import Tensor


class Operator(abc.ABC):
    """One draw of a corruption; it holds its randomness, so it gives the same y twice."""

    @abc.abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """What becomes of x (batch, *x_shape)."""


class Corruption(abc.ABC):
    """What happens to rows. Its subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def draw(self, x: Tensor) -> Operator:
        """What happens to these rows (batch, *x_shape), each by itself."""
