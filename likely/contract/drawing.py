"""New rows, and rows from what is left of them."""

import abc
from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from likely import rng
from likely.contract.model import Model, Operator


class Sampler(Model):
    """Draws new rows."""

    @final
    @torch.no_grad()
    def sample(self, n: int, condition: Tensor | None = None) -> Tensor:
        """Draws from p(x), or from p(x | condition): real draws, not decoder means.

        Args:
            n: how many rows.
            condition: (n, *condition_shape), or None. A conditional model that is given none draws from the
                conditions it saw in training.

        Returns:
            (n, *x_shape).
        """
        condition = self.draw_conditions(n) if condition is None else condition
        self._check_condition(condition, n)
        return self._sample(n, condition)

    @abc.abstractmethod
    def _sample(self, n: int, condition: Tensor | None) -> Tensor: ...


class MarkovSampler(Sampler):
    """Draws new rows by a Markov chain, whose states one after another can be looked at.

    A row is the last state of a chain of its own after `burn_in` steps, so that rows are independent of each other
    whatever the chain mixes like. How far a chain has gone from where it began, `likely.evaluation.mixing` measures.
    """

    burn_in: int
    """Steps that each row's chain goes before it counts as drawn."""

    @final
    @torch.no_grad()
    def chain(self, n: int, n_steps: int, condition: Tensor | None = None, *, skip: int = 0) -> Tensor:
        """Consecutive states of n independent chains from where they begin, or from `skip` steps later on.

        Args:
            n: how many chains.
            n_steps: how many steps of each.
            condition: (n, *condition_shape), or None, as in `sample`; it stays the same along a chain.
            skip: steps that are gone before the first that is given; `burn_in` for what counts as drawn.

        Returns:
            (n_steps, n, *x_shape): the rows after skip + 1 steps, after skip + 2 and so on.

        Raises:
            ValueError: if `n_steps` is smaller than 1 or `skip` than 0, or the condition is wrong.
        """
        if n_steps < 1 or skip < 0:
            raise ValueError(f"n_steps must be at least 1 and skip at least 0, got {n_steps} and {skip}")
        condition = self.draw_conditions(n) if condition is None else condition
        self._check_condition(condition, n)
        state = self._begin(n, condition)
        states = []
        for step in range(skip + n_steps):
            state = self._step(state, condition)
            if step >= skip:
                states.append(self._observe(state, condition))
        return torch.stack(states)

    @abc.abstractmethod
    def _begin(self, n: int, condition: Tensor | None) -> Tensor:
        """Where n chains begin: (n, *state_shape)."""

    @abc.abstractmethod
    def _step(self, state: Tensor, condition: Tensor | None) -> Tensor:
        """One step of each chain: a draw of the next state given the state, both (n, *state_shape)."""

    def _observe(self, state: Tensor, condition: Tensor | None) -> Tensor:
        """The rows (n, *x_shape) that states show; the states themselves unless a model says otherwise."""
        return state

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        state = self._begin(n, condition)
        for _ in range(self.burn_in):
            state = self._step(state, condition)
        return self._observe(state, condition)


class Restorer(Model):
    """Finds x from what an operator left of it."""

    corruption: Any = None
    """What it learned to undo (`likely.corruptions.Corruption`); None where it was taught no operator of its own."""

    @final
    def restore(self, y: Tensor, operator: Operator, condition: Tensor | None = None) -> Tensor:
        """What x was before `operator` turned it into y.

        Args:
            y: (batch, *y_shape), the operator's output.
            operator: what became of x.
            condition: (batch, *condition_shape), or None.

        Returns:
            (batch, *x_shape).
        """
        self._check_condition(condition, len(y))
        return self._restore(y, operator, condition)

    @abc.abstractmethod
    def _restore(self, y: Tensor, operator: Operator, condition: Tensor | None) -> Tensor: ...


class DrawsMissing(Restorer):
    """Draws what could stand where values are missing, so that a restoration has its uncertainty."""

    @final
    @torch.no_grad()
    def draw_restorations(
        self, y: Tensor, operator: Operator, condition: Tensor | None = None, *, n_samples: int = 1
    ) -> Tensor:
        """Draws of x given y = operator(x): of p(x_missing | x_observed), beside what was observed.

        Args:
            y: (batch, *x_shape), NaN where something is missing.
            operator: what became of x.
            condition: (batch, *condition_shape), or None.
            n_samples: draws per row.

        Returns:
            (n_samples, batch, *x_shape).
        """
        self._check_condition(condition, len(y))
        return self._draw_restorations(y, operator, condition, n_samples)

    @abc.abstractmethod
    def _draw_restorations(self, y: Tensor, operator: Operator, condition: Tensor | None, n_samples: int) -> Tensor: ...


class ImputesMissing(DrawsMissing):
    """Fills in by `restore` the mean of what it could draw where values are missing."""


class Sequential(Sampler, DrawsMissing):
    """Knows each value given those before it, so that it draws one after another and goes on from any beginning.

    `restore` gives one draw, the same whenever it is asked the same; what is missing must come last.
    """

    n_orders: int = 1
    """In how many orders it draws, each row in one; with more than one it goes on from no beginning but none at all."""

    @final
    def draw(
        self,
        n: int,
        condition: Tensor | None = None,
        *,
        temperature: float = 1.0,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Rows from nothing, as `sample`: (n, *x_shape); the other arguments as `complete`."""
        condition = self.draw_conditions(n) if condition is None else condition
        noise = self._noise(n)
        nothing = torch.full_like(noise, torch.nan)
        return self.complete(nothing, noise, condition, temperature=temperature, on_step=on_step)

    @final
    @torch.no_grad()
    def complete(
        self,
        y: Tensor,
        noise: Tensor,
        condition: Tensor | None = None,
        *,
        temperature: float = 1.0,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Rows of which a beginning is known, gone on with: exact draws of p(rest | beginning).

        Args:
            y: (batch, *x_shape), NaN where a value is to be drawn: wherever it likes to be in a row's order, as long
                as all after it is NaN as well.
            noise: (batch, *x_shape), uniform on [0, 1): each value is where its distribution function reaches it.
            condition: (batch, *condition_shape), or None.
            temperature: below 1 likelier draws, above 1 more various ones; only 1 draws from the model.
            on_step: told after each place how many are done, of how many.

        Returns:
            (batch, *x_shape).

        Raises:
            ValueError: if a shape is wrong, `temperature` is not positive, or a known value comes after a missing one.
        """
        self._check("y", y, self.x_shape, condition)
        if noise.shape != y.shape:
            raise ValueError(f"noise must have the shape of y, {tuple(y.shape)}, got {tuple(noise.shape)}")
        if not temperature > 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        return self._complete(y, noise, condition, temperature, on_step or (lambda done, total: None))

    @abc.abstractmethod
    def _complete(
        self,
        y: Tensor,
        noise: Tensor,
        condition: Tensor | None,
        temperature: float,
        on_step: Callable[[int, int], None],
    ) -> Tensor: ...

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self.draw(n, condition)

    @final
    def _noise(self, n: int) -> Tensor:
        return rng.uniform(n, *self.x_shape, like=next(self.parameters()))


class TakesMissing(Model):
    """NaN in x means missing: masked out of the objective and of the density, never invented."""
