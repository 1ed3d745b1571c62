"""A model: what every one of them is, and what goes in and comes out."""

import abc
import inspect
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar, final

import torch
from torch import Tensor, nn

from likely import rng
from likely.rng import some_of

Shape = tuple[int, ...]
Rows = TypeVar("Rows", Tensor, Tensor | None)

N_SEEN_CONDITIONS = 1024
"""How many training conditions a conditional model remembers, to sample from when it is given none."""


class Batch(NamedTuple):
    """Some rows: x (batch, *x_shape) and, for conditional models, condition (batch, *condition_shape)."""

    x: Tensor
    condition: Tensor | None = None


@dataclass(frozen=True)
class Objective:
    """What one step minimizes, row by row: `total` (batch,) and its named addends, each (batch,).

    Nothing is reduced over the batch here. Terms named `distortion`, `rate` and `nll` are nats; other terms
    are what their names say.
    """

    total: Tensor
    terms: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Player:
    """One optimizer's share of a model: its parameters, its steps per batch, and its own optimizer settings."""

    parameters: tuple[nn.Parameter, ...]
    steps: int = 1
    optimizer: Mapping[str, Any] = field(default_factory=dict)


class Operator(Protocol):
    """What became of x on its way to y = apply(x); it holds its randomness, so it gives the same y twice."""

    def apply(self, x: Tensor) -> Tensor: ...


class Model(nn.Module, abc.ABC):
    """A model of x, given a condition where `condition_shape` says so.

    Every argument of a subclass's constructor is kept under its own name, so that `config()` can rebuild it.
    """

    def __init__(self, x_shape: Shape, condition_shape: Shape | None = None) -> None:
        super().__init__()
        self.x_shape: Shape = tuple(x_shape)
        self.condition_shape: Shape | None = None if condition_shape is None else tuple(condition_shape)
        if self.condition_shape is not None:
            self.register_buffer("seen_conditions", torch.zeros(N_SEEN_CONDITIONS, *self.condition_shape))

    @final
    def config(self) -> dict[str, Any]:
        """The constructor's arguments by name: all that persistence needs besides the weights."""
        return {name: getattr(self, name) for name in list(inspect.signature(type(self).__init__).parameters)[1:]}

    @final
    def remember_conditions(self, conditions: Tensor) -> None:
        """Keeps some of (batch, *condition_shape) training conditions to draw from, in whatever order they come."""
        self.get_buffer("seen_conditions").copy_(drawn_rows(conditions, N_SEEN_CONDITIONS, "conditions"))

    @final
    def draw_conditions(self, n: int) -> Tensor | None:
        """Conditions (n, *condition_shape) as often as they were seen in training; None where the model takes none."""
        if self.condition_shape is None:
            return None
        seen = self.get_buffer("seen_conditions")
        return seen[rng.integers(len(seen), n, like=seen)]

    @final
    def _check(self, name: str, value: Tensor, shape: Shape, condition: Tensor | None) -> None:
        model = type(self).__name__
        if value.ndim != len(shape) + 1 or value.shape[1:] != shape:
            wanted = ", ".join(["batch", *map(str, shape)])
            raise ValueError(f"{model}: {name} must have shape ({wanted}), got {tuple(value.shape)}")
        own = next(itertools.chain(self.parameters(), self.buffers()), value)
        if value.dtype != own.dtype:
            raise ValueError(f"{model}: {name} must be {own.dtype}, as the model is, got {value.dtype}")
        self._check_condition(condition, len(value))

    @final
    def _check_condition(self, condition: Tensor | None, n_rows: int) -> None:
        model = type(self).__name__
        if self.condition_shape is None:
            if condition is not None:
                raise ValueError(f"{model} takes no condition, got one of shape {tuple(condition.shape)}")
        elif condition is None:
            raise ValueError(f"{model} needs a condition of shape {(n_rows, *self.condition_shape)}, got none")
        elif condition.shape != (n_rows, *self.condition_shape):
            wanted, got = (n_rows, *self.condition_shape), tuple(condition.shape)
            raise ValueError(f"{model}: condition must have shape {wanted}, got {got}")


def drawn_rows(rows: Tensor, n: int, *key: int | str) -> Tensor:
    """n of some rows (m, ...), drawn at random: no order that they come in makes some of them more likely than others.

    Where n is larger than m, each row comes n // m times, or once more. A pure function of rows, n and key.
    """
    order = torch.from_numpy(some_of(len(rows), n, *key)).to(rows.device)
    return rows[order[torch.arange(n, device=rows.device) % len(order)]]


def repeated(rows: Rows, k: int) -> Rows:
    """Rows (batch, ...) k times, (k * batch, ...), so that each stands beside each of its k draws; None stays None."""
    return rows if rows is None else rows.repeat(k, *[1] * (rows.ndim - 1))
