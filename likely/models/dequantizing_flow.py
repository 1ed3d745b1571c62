"""Flows of whole values."""

import math
from typing import final

import torch
from torch import Tensor

from likely import rng
from likely.bijections import Chain, Logit
from likely.contract import (
    MAX_ROWS_AT_ONCE,
    Batch,
    BoundedDensity,
    Decoder,
    Encoder,
    GradientFitted,
    Objective,
    Sampler,
    Shape,
    repeated,
)
from likely.flows import Design, default_design
from likely.flows.dequantization import Dequantization, UniformDequantization

MAX_START_VALUES = 2**22
"""Of the rows that starting values are taken from: their activations fit into memory."""


@final
class DequantizingFlow(GradientFitted, Encoder, Decoder, Sampler, BoundedDensity):
    """A flow whose density, integrated over the bin of each level, is the probability of whole values.

    P(x) = integral of p(x + u) over u in [0, 1)^n, x in levels 0 to levels - 1. What is known of it is a bound, by
    noise u ~ q(u | x): E[log p(x + u) - log q(u | x)] <= log P(x), tighter with more draws, and with a q that is
    learned. What the flow leaves beyond the ends (little, once it is trained) is drawn as the levels at the ends; the
    bound counts it for nothing. The code of a row is the base variable of the middles of its bins; decoding gives the
    bin that holds.

    Args:
        x_shape: of one row, whose values are k / (levels - 1).
        levels: how many whole values there are; `likely.fit` finds it in the data.
        design: of the flow; by default chosen by the shape.
        dequantization: the family of q(u | x); by default uniform.
        condition_shape: of a condition that all layers see, or None.

    Raises:
        ValueError: if there are fewer than 2 levels, or the design takes no rows of this shape.

    Reference: Flow++: Improving Flow-Based Generative Models with Variational Dequantization and Architecture Design
        (Ho et al., 2019), arXiv:1902.00275, section 3.1; uniform, A note on the evaluation of generative models (Theis
        et al., 2016), arXiv:1511.01844, section 3.1
    """

    def __init__(
        self,
        x_shape: Shape,
        *,
        levels: int = 256,
        design: Design | None = None,
        dequantization: Dequantization | None = None,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        if levels < 2:
            raise ValueError(f"levels must be at least 2, got {levels}")
        self.levels = levels
        self.design = default_design(self.x_shape) if design is None else design
        self.dequantization = UniformDequantization() if dequantization is None else dequantization
        self.z_shape = (math.prod(self.x_shape),)
        context_size = 0 if self.condition_shape is None else math.prod(self.condition_shape)
        self.to_base = Chain(Logit(0.0, 1.0), self.design.build(self.x_shape, context_size))
        self.dequantizer = self.dequantization.build(self.x_shape, context_size)
        self.register_buffer("origin", torch.zeros(self.z_shape), persistent=False)

    @property
    def discrete(self) -> bool:
        """Its numbers are of probabilities."""
        return True

    def initialize(self, batch: Batch) -> None:
        """As `GradientFitted.initialize`: bijections that start from data do."""
        n_rows = max(2, MAX_START_VALUES // self.z_shape[0])
        x, context = batch.x[:n_rows], _context(None if batch.condition is None else batch.condition[:n_rows])
        training = self.training
        with torch.no_grad():
            self.eval()
            u, _ = self.dequantizer(self.dequantizer.noise(len(x), x), x, context)
            self.to_base.start(self._spread(x, u), context)
        self.train(training)

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        log_p, log_q = self._parts(x, self.dequantizer.noise(len(x), x), condition)
        return Objective(log_q - log_p, {"nll": -log_p, "dequantization": log_q})

    def _log_prob_bound(self, x: Tensor, condition: Tensor | None, n_samples: int) -> Tensor:
        noise = self.dequantizer.noise(n_samples, x)
        pieces = noise.split(max(1, MAX_ROWS_AT_ONCE // max(1, len(x))))
        log_weight = torch.cat([self._log_weight(x, piece, condition) for piece in pieces])
        return log_weight.logsumexp(0) - math.log(n_samples)

    def _log_weight(self, x: Tensor, noise: Tensor, condition: Tensor | None) -> Tensor:
        """log p(x + u) - log q(u | x), (k, batch), by noise (k, *x_shape) that all rows share."""
        k = len(noise)
        shared = noise.repeat_interleave(len(x), 0)
        log_p, log_q = self._parts(repeated(x, k), shared, repeated(condition, k))
        return (log_p - log_q).view(k, -1)

    def _parts(self, x: Tensor, noise: Tensor, condition: Tensor | None) -> tuple[Tensor, Tensor]:
        """log p(x + u), with bins of size 1, and log q(u | x), each (batch,)."""
        context = _context(condition)
        u, log_q = self.dequantizer(noise, x, context)
        base, log_det = self.to_base(self._spread(x, u), context)
        n = self.z_shape[0]
        log_base = -0.5 * (base.square().sum(1) + n * math.log(2 * math.pi))
        return log_base + log_det - n * math.log(self.levels), log_q

    def _spread(self, x: Tensor, u: Tensor) -> Tensor:
        """Level k and u in its bin as (k + u) / levels."""
        return (x * (self.levels - 1) + u) / self.levels

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        z: Tensor = self.to_base(self._spread(x, torch.full_like(x, 0.5)), _context(condition))[0]
        return z

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        spread = self.to_base.inverse(z, _context(condition))[0]
        level = (spread * self.levels).floor().clamp(0, self.levels - 1)
        return level.to(z.dtype) / (self.levels - 1)

    def _sample(self, n: int, condition: Tensor | None) -> Tensor:
        return self._decode(rng.normal(n, *self.z_shape, like=self.get_buffer("origin")), condition)


def _context(condition: Tensor | None) -> Tensor | None:
    return None if condition is None else condition.flatten(1)
