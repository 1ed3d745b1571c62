"""Operators and the corruptions that draw them: the interface, and what every restorer does with an operator."""

import abc
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, final

import torch
from torch import Tensor

from likely import contract
from likely.contract import Shape


class Operator(abc.ABC):
    """One draw of a corruption; it holds its randomness, so it gives the same y twice.

    Its subclasses are frozen dataclasses; what differs from row to row is a tensor (batch, ...) there.
    """

    @abc.abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """What becomes of x (batch, *x_shape): y (batch, *y_shape)."""

    @final
    def rows(self, ids: Tensor | slice) -> Self:
        """The same operator for some of the rows that it was drawn for."""
        return self._changed(lambda value: value[ids])

    @final
    def to(self, device: torch.device | str) -> Self:
        """The same operator on another device."""
        return self._changed(lambda value: value.to(device))

    def _changed(self, change: Callable[[Tensor], Tensor]) -> Self:
        fields = dataclasses.fields(self)  # type: ignore[arg-type]
        tensors = {f.name: getattr(self, f.name) for f in fields if isinstance(getattr(self, f.name), Tensor)}
        return dataclasses.replace(self, **{name: change(value) for name, value in tensors.items()})  # type: ignore[type-var]


class LinearOperator(Operator):
    """y = A x, row by row, with an A that is known: so the x that could have become y are known as well."""

    x_shape: Shape

    @property
    def y_shape(self) -> Shape:
        """The shape of what is left of a row."""
        return self.x_shape

    @abc.abstractmethod
    def project(self, x: Tensor, y: Tensor) -> Tensor:
        """The point nearest to x (batch, *x_shape) that A maps to y (batch, *y_shape); NaN in y constrains nothing."""


@dataclass(frozen=True)
class Unseen(Operator):
    """A draw that nobody saw, as the noise of somebody's photograph: y says nothing for certain of x."""

    def apply(self, x: Tensor) -> Tensor:
        """x itself, which is what noise does in mean."""
        return x


class Corruption(abc.ABC):
    """What happens to rows. Its subclasses are frozen dataclasses."""

    @abc.abstractmethod
    def draw(self, x: Tensor) -> Operator:
        """What happens to these rows (batch, *x_shape), each by itself.

        Raises:
            ValueError: as `check`.
        """

    @abc.abstractmethod
    def behind(self, y: Tensor, x_shape: Shape) -> Operator:
        """The operator that y (batch, *y_shape) came from, as far as y tells.

        Where only NaN tells what is gone, and in what the shape tells, that is everything; of noise it is nothing.
        """

    def check(self, x_shape: Shape) -> None:
        """Refuses rows that this cannot happen to, by ValueError."""
        return

    def y_shape(self, x_shape: Shape) -> Shape:
        """The shape of what is left of a row."""
        return x_shape

    @property
    def factor(self) -> int:
        """How many values of x stand for one of y, along each axis of an image or signal."""
        return 1


def start(y: Tensor, operator: contract.Operator) -> Tensor:
    """What a restorer begins with: y itself, or the smallest x that a linear operator maps to it.

    Args:
        y: (batch, *y_shape).
        operator: what became of x.

    Returns:
        (batch, *x_shape), nothing missing.

    Raises:
        ValueError: if y has not the shape of what a linear operator gives.
    """
    if not isinstance(operator, LinearOperator):
        return y
    if y.shape[1:] != operator.y_shape:
        wanted = ", ".join(["batch", *map(str, operator.y_shape)])
        raise ValueError(f"y must have shape ({wanted}), as {type(operator).__name__} gives it, got {tuple(y.shape)}")
    return operator.project(y.new_zeros(len(y), *operator.x_shape), y)


def finish(x: Tensor, y: Tensor, operator: contract.Operator) -> Tensor:
    """A proposal (batch, *x_shape), moved as little as it takes to be one that a linear operator maps to y."""
    return operator.project(x, y) if isinstance(operator, LinearOperator) else x
