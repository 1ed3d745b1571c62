"""What models have in common that know p(x) by the chain rule: the product of p(values of a place | places before)."""

import abc
import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from likely.contract import ExactDensity, GradientFitted, Objective, Operator, Sequential, Shape, repeated
from likely.corruptions.noise import Kept
from likely.errors import UserError
from likely.likelihoods import Likelihood, Observation
from likely.networks.causal import CausalNetwork, pixel_places, vector_places
from likely.rng import stream

MAX_RAW_AT_ONCE = 2**26
"""So many raw numbers are made at once where no gradient is asked for: a softmax over 256 levels has many."""

MAX_ROWS_AT_ONCE = 256
"""Rows drawn at once: what is kept for each value of so many rows fits into memory."""


class ChainRuleModel(GradientFitted, Sequential, ExactDensity, abc.ABC):
    """p(x) as a product over places, all given by one pass of a causal network."""

    likelihood: Likelihood
    observation: Observation
    network: CausalNetwork

    @property
    def discrete(self) -> bool:
        """As the likelihood says."""
        return self.likelihood.discrete

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Tensor:
        if torch.is_grad_enabled():
            return self._log_prob_at_once(x, condition)
        size = max(1, MAX_RAW_AT_ONCE // (self.network.raw_channels * math.prod(self.x_shape)))
        conditions = [None] * len(x) if condition is None else condition.split(size)
        return torch.cat([self._log_prob_at_once(*rows) for rows in zip(x.split(size), conditions, strict=False)])

    def _log_prob_at_once(self, x: Tensor, condition: Tensor | None) -> Tensor:
        log_prob: Tensor = self.observation(self.network(x, as_context(condition))).log_prob(x)
        return log_prob

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        nll = -self._log_prob(x, condition)
        return Objective(nll, {"nll": nll})

    def _restore(self, y: Tensor, operator: Operator, condition: Tensor | None) -> Tensor:
        check_missing(type(self).__name__, y, operator, self.x_shape)
        # All rows share the noise, so that the answer for a row does not depend on its neighbors.
        with stream(0, "restoration"):
            noise = self._noise(1).expand(y.shape)
        return self.complete(y, noise, condition)

    def _draw_restorations(self, y: Tensor, operator: Operator, condition: Tensor | None, n_samples: int) -> Tensor:
        check_missing(type(self).__name__, y, operator, self.x_shape)
        begun, given = repeated(y, n_samples), repeated(condition, n_samples)
        return self.complete(begun, self._noise(len(begun)), given).view(n_samples, *y.shape)

    def _complete(
        self,
        y: Tensor,
        noise: Tensor,
        condition: Tensor | None,
        temperature: float,
        on_step: Callable[[int, int], None],
    ) -> Tensor:
        check_beginning(type(self).__name__, y, self.network.places)
        return draw_in_order(self.network, self.likelihood, y, noise, as_context(condition), temperature, on_step)


def reading_order(x_shape: Shape, likelihood: Likelihood) -> tuple[slice, ...]:
    """Places as one reads: columns of a vector as they stand, pixel after pixel of an image or a signal."""
    return vector_places(likelihood.blocks(x_shape[0])) if len(x_shape) == 1 else pixel_places(x_shape)


def draw_in_order(
    network: CausalNetwork,
    likelihood: Likelihood,
    y: Tensor,
    noise: Tensor,
    context: Tensor | None,
    temperature: float,
    on_step: Callable[[int, int], None],
) -> Tensor:
    """Goes through the places of rows in their order, and draws what is NaN there; shapes as `Sequential.complete`.

    At most `MAX_ROWS_AT_ONCE` go through together; `on_step` counts the places of all such parts.
    """
    parts = [slice(i, i + MAX_ROWS_AT_ONCE) for i in range(0, len(y), MAX_ROWS_AT_ONCE)]
    observations, n_places = likelihood.observations(network.places), len(network.places)
    drawn = [torch.empty_like(y[:0])]
    for i, rows in enumerate(parts):
        told = partial(_tell, on_step, i * n_places, len(parts) * n_places)
        given = None if context is None else context[rows]
        drawn.append(_drawn_at_once(network, observations, y[rows], noise[rows], given, temperature, told))
    return torch.cat(drawn)


def _tell(on_step: Callable[[int, int], None], before: int, total: int, done: int) -> None:
    on_step(before + done, total)


def _drawn_at_once(
    network: CausalNetwork,
    observations: Sequence[Observation],
    y: Tensor,
    noise: Tensor,
    context: Tensor | None,
    temperature: float,
    told: Callable[[int], None],
) -> Tensor:
    steps, x, known = network.begin(len(y), context), y.clone().flatten(1), ~y.isnan().flatten(1)
    noise, some_known = noise.reshape(x.shape), bool(known.any())
    for i, (place, observation) in enumerate(zip(network.places, observations, strict=True)):
        values = observation.draw(steps.raw(i), noise[:, place], temperature)
        if some_known:
            values = torch.where(known[:, place], x[:, place], values)
        steps.put(i, values)
        x[:, place] = values
        told(i + 1)
    return x.view(y.shape)


def check_missing(model: str, y: Tensor, operator: Operator, x_shape: Shape) -> None:
    """Refuses what is no row with values left out.

    Raises:
        UserError: if the operator does something else.
        ValueError: if y has not the shape of rows.
    """
    if not (isinstance(operator, Kept) and math.isnan(operator.fill)):
        raise UserError(
            f"{model} fills in what is missing at the end of rows, and cannot undo {type(operator).__name__}"
        )
    if y.shape[1:] != x_shape:
        wanted = ", ".join(["batch", *map(str, x_shape)])
        raise ValueError(f"y must have shape ({wanted}), got {tuple(y.shape)}")


class Gap(UserError):
    """A row in which a known value comes after a missing one, where values are drawn in an order.

    Args:
        model: the class that would go on from it.
        row: its number.
        missing: the first value that is missing, counted in the flattened row.
        known: the first one after it that is known.
        name: a value in words, by its number.
    """

    def __init__(self, model: str, row: int, missing: int, known: int, name: Callable[[int], str]) -> None:
        super().__init__(
            f"{model} goes on from a beginning, in the order it draws: in row {row} {name(missing)} is missing and "
            f"{name(known)}, which comes after it, is known; leave out all that comes after a missing value, "
            "or fill such gaps by a model that can: vae"
        )
        self.model, self.row, self.missing, self.known = model, row, missing, known

    def told(self, row: int, name: Callable[[int], str]) -> "Gap":
        """The same in the words of somebody who counts rows and names values otherwise."""
        return Gap(self.model, row, self.missing, self.known, name)


def check_beginning(model: str, y: Tensor, places: Sequence[slice]) -> None:
    """Refuses rows in which a known value comes after a missing one.

    Raises:
        Gap: naming the first such row, what is missing and what is known after it.
    """
    order = torch.cat([torch.arange(place.start, place.stop) for place in places]).to(y.device)
    missing = y.isnan().flatten(1)[:, order]
    bad = (missing[:, :-1] & ~missing[:, 1:]).any(1)
    if not bad.any():
        return
    row = int(bad.int().argmax())
    gap = missing[row]
    first = int(gap.int().argmax())
    after = first + int((~gap[first:]).int().argmax())
    raise Gap(model, row, int(order[first]), int(order[after]), partial(where, x_shape=tuple(y.shape[1:])))


def where(value: int, x_shape: Shape) -> str:
    """A value of a flattened row in words: "value 3", or "pixel (2, 5) of channel 0"."""
    if len(x_shape) == 1:
        return f"value {value}"
    channel, *at = (int(i) for i in torch.unravel_index(torch.tensor(value), x_shape))
    return f"pixel {tuple(at) if len(at) > 1 else at[0]} of channel {channel}"


def as_context(condition: Tensor | None) -> Tensor | None:
    """A condition (batch, *condition_shape) as networks take it: (batch, context_size)."""
    return None if condition is None else condition.flatten(1)
