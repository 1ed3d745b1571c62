"""Neural autoregressive distribution estimation."""

import math
from typing import final

from likely.chain_rule import ChainRuleModel, reading_order
from likely.contract import Shape
from likely.likelihoods import GaussianMixture, Likelihood
from likely.networks.nade import Hidden, NADENetwork

LEAST_WIDTH, MOST_WIDTH = 256, 512


@final
class NADE(ChainRuleModel):
    """Neural autoregressive distribution estimator: hidden units that all conditionals share, their sums updated.

    A row's density, a step of training and a draw each cost O(values * hidden). Densities of reals have a learned
    factor for each place, as their hidden sums grow (RNADE). Images are read pixel by pixel, line by line.

    Args:
        x_shape: of one row.
        hidden: how many hidden units; by default chosen by the shape.
        activation: of the hidden units; the published one is the sigmoid, which learns several times slower.
        dropout: the share of hidden units that a row does without at each training step, the same for all its places.
        likelihood: of each place given those before it; `likely.fit` chooses it by the data's domain.
        condition_shape: of a condition that all places see, or None.

    Raises:
        ValueError: if `hidden` is not positive, or `dropout` no share.

    Reference: The Neural Autoregressive Distribution Estimator (Larochelle & Murray, AISTATS 2011); for reals, RNADE
        (Uria et al., 2013), arXiv:1306.0186
    """

    network: NADENetwork

    def __init__(
        self,
        x_shape: Shape,
        hidden: int | None = None,
        *,
        activation: Hidden = "relu",
        dropout: float = 0.2,
        likelihood: Likelihood | None = None,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        self.hidden = default_width(self.x_shape) if hidden is None else hidden
        if self.hidden < 1:
            raise ValueError(f"hidden must be at least 1, got {hidden}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must be a share from 0 to below 1, got {dropout}")
        self.activation, self.dropout = activation, dropout
        self.likelihood = GaussianMixture() if likelihood is None else likelihood
        self.observation = self.likelihood.build(self.x_shape)
        self.network = NADENetwork(
            self.x_shape,
            self.likelihood.raw_channels,
            reading_order(self.x_shape, self.likelihood),
            hidden=self.hidden,
            activation=activation,
            rescaled=not self.likelihood.discrete,
            dropout=dropout,
            context_size=0 if self.condition_shape is None else math.prod(self.condition_shape),
        )


def default_width(x_shape: Shape) -> int:
    """Hidden units for a shape: about as many as there are values, and enough for a few."""
    return min(MOST_WIDTH, max(LEAST_WIDTH, 2 ** math.ceil(math.log2(math.prod(x_shape)))))
