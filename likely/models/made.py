"""Masked autoencoder for distribution estimation."""

import math
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

from likely import rng
from likely.chain_rule import ChainRuleModel, as_context, draw_in_order, reading_order
from likely.contract import Objective, Shape
from likely.errors import UserError
from likely.likelihoods import GaussianMixture, Likelihood
from likely.networks.activations import Activation
from likely.networks.made import MaskedMLP, OrdersApart

N_HELD_OUT_ORDERS = 8
"""Rows held out are dealt to so many orders at a time: cheap, and of little variance."""

MAX_WEIGHTS = 2**24
"""A default network has no more weights than this in one layer, as far as a width of `LEAST_WIDTH` lets it."""

LEAST_WIDTH, USUAL_WIDTH, MOST_WIDTH = 64, 256, 1024


@final
class MADE(ChainRuleModel):
    """Masked autoencoder: all conditionals of the chain rule from one pass, by masks on the weights.

    With several orders of the values, the model is the mixture of what it says in each: log_prob is exact, at the cost
    of one pass per order. A step lowers the objective of an order that is drawn or, where each order has a network of
    its own, of every order on its share of the rows: in mean an upper bound of that of the mixture. Draws of rows are
    each in an order of their own. A mixture of orders has no one beginning, so that only one order goes on from one.
    Images are read pixel by pixel, line by line.

    Args:
        x_shape: of one row.
        hidden: widths of the hidden layers; by default chosen by the shape. Without any it is a fully visible
            sigmoid belief network.
        n_orders: how many orders of the values, the first as they stand.
        shared: whether one network serves all orders, as published; else each has its own, of as many weights, which
            learns from its share of the rows of each step: better where training cannot go on for very long.
        direct: adds connections from input to output past the hidden layers.
        activation: after each hidden layer.
        dropout: the share of hidden values that is left out at each training step; without, thousands of rows are
            learned by heart. Many orders leave out enough.
        likelihood: of each place given those before it; `likely.fit` chooses it by the data's domain.
        condition_shape: of a condition that all places see, or None.

    Raises:
        ValueError: if `n_orders` is smaller than 1, a width not positive, or `dropout` no share.

    Reference: MADE: Masked Autoencoder for Distribution Estimation (Germain et al., 2015), arXiv:1502.03509
    """

    network: MaskedMLP | OrdersApart

    def __init__(
        self,
        x_shape: Shape,
        *,
        hidden: tuple[int, ...] | None = None,
        n_orders: int = 1,
        shared: bool = True,
        direct: bool = True,
        activation: Activation = "relu",
        dropout: float = 0.3,
        likelihood: Likelihood | None = None,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        if n_orders < 1:
            raise ValueError(f"n_orders must be at least 1, got {n_orders}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be a share from 0 to below 1, got {dropout}")
        self.likelihood = GaussianMixture() if likelihood is None else likelihood
        n_outputs = self.likelihood.raw_channels * math.prod(self.x_shape)
        self.hidden = default_hidden(self.x_shape, n_outputs) if hidden is None else tuple(hidden)
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden must be widths of at least 1, got {self.hidden}")
        self.n_orders, self.shared = n_orders, shared
        self.direct, self.activation, self.dropout = direct, activation, dropout
        self.observation = self.likelihood.build(self.x_shape)
        kind = MaskedMLP if shared else OrdersApart
        self.network = kind(
            self.x_shape,
            self.likelihood.raw_channels,
            reading_order(self.x_shape, self.likelihood),
            hidden=self.hidden,
            n_orders=n_orders,
            direct=direct and n_outputs * math.prod(self.x_shape) <= MAX_WEIGHTS,
            activation=activation,
            dropout=dropout,
            context_size=0 if self.condition_shape is None else math.prod(self.condition_shape),
        )

    def _log_prob_at_once(self, x: Tensor, condition: Tensor | None) -> Tensor:
        each = [self._log_prob_in_order(x, condition, order) for order in range(self.n_orders)]
        return torch.stack(each).logsumexp(0) - math.log(self.n_orders) if self.n_orders > 1 else each[0]

    def _log_prob_in_order(self, x: Tensor, condition: Tensor | None, order: int | Tensor) -> Tensor:
        log_prob: Tensor = self.observation(self.network(x, as_context(condition), order)).log_prob(x)
        return log_prob

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        if self.n_orders == 1:
            return super()._objective(x, condition, player)
        orders = self._dealt_orders(x)
        n = len(orders)
        conditions = [None] * n if condition is None else condition.tensor_split(n)
        dealt = zip(x.tensor_split(n), conditions, orders, strict=True)
        nll = -torch.cat([self._log_prob_in_order(*rows) for rows in dealt])
        return Objective(nll, {"nll": nll})

    def _dealt_orders(self, x: Tensor) -> Sequence[int | Tensor]:
        """The orders that so many parts of a batch are learned in."""
        if not self.shared:
            return range(min(len(x), self.n_orders))
        n = 1 if self.training else min(len(x), self.n_orders, N_HELD_OUT_ORDERS)
        return rng.integers(self.n_orders, n, like=x).split(1)

    def _complete(
        self,
        y: Tensor,
        noise: Tensor,
        condition: Tensor | None,
        temperature: float,
        on_step: Callable[[int, int], None],
    ) -> Tensor:
        if self.n_orders == 1:
            return super()._complete(y, noise, condition, temperature, on_step)
        _check_all_or_none(y)
        chosen, noise = self._orders_of(noise)
        x, context = y.clone(), as_context(condition)
        groups = [int(order) for order in chosen.unique()]
        for i, order in enumerate(groups):
            rows = chosen == order
            given = None if context is None else context[rows]

            def told(done: int, total: int, group: int = i) -> None:
                on_step(group * total + done, len(groups) * total)

            network = self.network.in_order(order)
            x[rows] = draw_in_order(network, self.likelihood, y[rows], noise[rows], given, temperature, told)
        return x

    def _orders_of(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The order of each row, (batch,), and noise that is uniform given it.

        The first number of a row decides, and how far it lies within the share of its order is uniform again.
        """
        scaled = noise.flatten(1)[:, 0] * self.n_orders
        chosen = scaled.long().clamp_max(self.n_orders - 1)
        left = noise.flatten(1).clone()
        left[:, 0] = (scaled - chosen).clamp_max(1 - torch.finfo(noise.dtype).eps)
        return chosen, left.view(noise.shape)


def default_hidden(x_shape: Shape, n_outputs: int) -> tuple[int, ...]:
    """Two layers for a shape, narrower where there are very many outputs."""
    n = math.prod(x_shape)
    width = min(MOST_WIDTH, max(USUAL_WIDTH, 2 ** math.ceil(math.log2(4 * n))))
    width = min(width, max(LEAST_WIDTH, MAX_WEIGHTS // n_outputs))
    return (width, width)


def _check_all_or_none(y: Tensor) -> None:
    """Refuses rows of which only a part is known."""
    missing = y.isnan().flatten(1)
    partly = missing.any(1) & ~missing.all(1)
    if partly.any():
        raise UserError(
            f"MADE with several orders draws whole rows: row {int(partly.int().argmax())} is known in part, and a "
            "mixture of orders has no one beginning; fit made with n_orders=1 to go on from beginnings"
        )
