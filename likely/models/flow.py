"""Normalizing flows."""

import math
from typing import final

import torch
from torch import Tensor

from likely import rng
from likely.bijections import Chain, Logit
from likely.contract import Batch, Decoder, Encoder, ExactDensity, GradientFitted, Objective, Sampler, Shape
from likely.flows import Design, default_design

MAX_START_VALUES = 2**22
"""Of the rows that starting values are taken from: their activations fit into memory."""


@final
class Flow(GradientFitted, Encoder, Decoder, Sampler, ExactDensity):
    """Normalizing flow: x = f^-1(u), u ~ N(0, I), so that log p(x) = log N(f(x); 0, I) + log|det df/dx|.

    f is a chain of bijections, each of which may see a condition. The code of a row is its u, of as many values, and
    decoding is exact.

    Args:
        x_shape: of one row.
        design: which bijections; by default chosen by the shape.
        bounds: the lowest and the highest value that rows have, where there are such: the density is then zero beyond,
            or nearly so. `likely.fit` fills them in by the data's domain.
        condition_shape: of a condition that all layers see, or None.

    Raises:
        ValueError: if the design takes no rows of this shape, or `bounds` are not rising.

    Reference: Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015), arXiv:1505.05770, equation 5;
        Density estimation using Real NVP (Dinh et al., 2017), arXiv:1605.08803, equation 2
    """

    def __init__(
        self,
        x_shape: Shape,
        *,
        design: Design | None = None,
        bounds: tuple[float, float] | None = None,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        self.design = default_design(self.x_shape) if design is None else design
        self.bounds = None if bounds is None else (float(bounds[0]), float(bounds[1]))
        self.z_shape = (math.prod(self.x_shape),)
        context_size = 0 if self.condition_shape is None else math.prod(self.condition_shape)
        to_base = self.design.build(self.x_shape, context_size)
        self.to_base = to_base if self.bounds is None else Chain(Logit(*self.bounds), to_base)
        self.register_buffer("origin", torch.zeros(self.z_shape), persistent=False)

    def initialize(self, batch: Batch) -> None:
        """As `GradientFitted.initialize`: bijections that start from data do."""
        n_rows = max(2, MAX_START_VALUES // self.z_shape[0])
        context = None if batch.condition is None else batch.condition[:n_rows].flatten(1)
        training = self.training
        with torch.no_grad():
            self.eval().to_base.start(batch.x[:n_rows], context)
        self.train(training)

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        nll = -self._log_prob(x, condition)
        return Objective(nll, {"nll": nll})

    def _log_prob(self, x: Tensor, condition: Tensor | None) -> Tensor:
        u, log_det = self.to_base(x, _context(condition))
        log_base: Tensor = -0.5 * (u.square().sum(1) + self.z_shape[0] * math.log(2 * math.pi))
        return log_base + log_det

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        u: Tensor = self.to_base(x, _context(condition))[0]
        return u

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        x: Tensor = self.to_base.inverse(z, _context(condition))[0]
        return x

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self._decode(rng.normal(n, *self.z_shape, like=self.get_buffer("origin")), condition)


def _context(condition: Tensor | None) -> Tensor | None:
    return None if condition is None else condition.flatten(1)
