"""Generative stochastic network."""

import itertools
import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor
from torch.distributions import Independent

from likely import rng
from likely.contract import (
    Batch,
    Decoder,
    Encoder,
    GradientFitted,
    ImputesMissing,
    MarkovSampler,
    Objective,
    Operator,
    Reconstructor,
    Shape,
    drawn_rows,
    repeated,
)
from likely.corruptions import Corruption, GaussianNoise, SaltAndPepper, missing_values, start
from likely.likelihoods import Bernoulli, Gaussian, Likelihood, without_outliers
from likely.networks import Network, default_network

N_MARGINAL = 64
"""How many training values of each place are kept, for chains to begin with."""

N_FILLED = 32
"""Chains whose mean stands where a value of a row is missing."""

MAX_NUMBERS_AT_ONCE = 2**25
"""A likelihood over levels has a number for each level of each value: rows are filled in so many at a time."""


@final
class GSN(GradientFitted, Encoder, Decoder, Reconstructor, MarkovSampler, ImputesMissing):
    """A Markov chain that was taught to stay with the data: corrupt the row, draw a row from p(x | corrupted), again.

    A denoising autoencoder whose output is a distribution learns p(x | corrupted x). Where it is right, the chain of
    both steps has the distribution of the data for its only stationary one. Training walks back: the chain goes on
    from each training row for `walkback` steps, and is asked after each for the row that it left, so that places to
    which it strays, and where no row is, lead back as well.

    Chains begin far from any row, at values that were drawn each by itself out of what training rows have at its
    place, so that nothing of a training row is in a draw but what the network learned. Rows are drawn by chains of
    their own; missing values are drawn by the same chain with all else held fast. `encode` and `decode` are those of
    the autoencoder.

    Args:
        x_shape: of one row.
        z_size: size of the code; by default as wide as the network's layers, as nothing shall be thrown away.
        network: encoder and decoder; by default chosen by the shape.
        noise: how the chain leaves a row. The less, the nearer its draws come to rows, and the longer it takes from
            one to quite another. By default each bit by a coin in one of five places, 0.15 of the range of an image
            or signal, 0.3 standard deviations of a column.
        walkback: steps of the chain from each training row; with 1 a denoising autoencoder.
        likelihood: of x given what is left of it; `likely.fit` chooses it by the data's domain.
        burn_in: steps of each chain before its state counts as drawn.
        fill_steps: steps of each chain that fills in what is missing.
        condition_shape: of a condition that encoder and decoder see, or None.

    Raises:
        ValueError: if a number of steps is smaller than 1.

    Reference: Deep Generative Stochastic Networks Trainable by Backprop (Bengio et al., 2014), arXiv:1306.1091; GSNs:
        Generative Stochastic Networks (Alain et al., 2016), arXiv:1503.05571; for walkback, Generalized Denoising
        Auto-Encoders as Generative Models (Bengio et al., 2013), arXiv:1305.6663, algorithm 1
    """

    def __init__(
        self,
        x_shape: Shape,
        z_size: int | None = None,
        *,
        network: Network | None = None,
        noise: Corruption | None = None,
        walkback: int = 2,
        likelihood: Likelihood | None = None,
        burn_in: int = 200,
        fill_steps: int = 20,
        condition_shape: Shape | None = None,
    ) -> None:
        super().__init__(x_shape, condition_shape)
        for name, steps in (("walkback", walkback), ("burn_in", burn_in), ("fill_steps", fill_steps)):
            if steps < 1:
                raise ValueError(f"GSN: {name} must be at least 1, got {steps}")
        self.walkback, self.burn_in, self.fill_steps = walkback, burn_in, fill_steps
        self.likelihood = Gaussian() if likelihood is None else likelihood
        self.noise = _default_noise(self.likelihood, self.x_shape) if noise is None else noise
        self.noise.check(self.x_shape)
        self.network = default_network(self.x_shape, linear_path=False) if network is None else network
        n_values = math.prod(self.x_shape)
        own = self.network.own_z_size(self.x_shape)
        self.z_size = z_size if z_size is not None else min(512, max(64, 4 * n_values)) if own is None else own
        self.z_shape = (self.z_size,)
        self.codec = self.network.build(
            self.x_shape,
            code_size=self.z_size,
            z_size=self.z_size,
            raw_channels=self.likelihood.raw_channels,
            condition_size=0 if self.condition_shape is None else math.prod(self.condition_shape),
        )
        self.observation = self.likelihood.build(self.x_shape)
        self.ordinary = without_outliers(self.likelihood).build(self.x_shape)
        self.register_buffer("marginals", torch.zeros(N_MARGINAL, *self.x_shape))

    def initialize(self, batch: Batch) -> None:
        """Keeps some values of each place, in an order of its own, so that no row of the memory is a training row."""
        rows = drawn_rows(batch.x, N_MARGINAL, "marginals")
        order = rng.uniform_like(rows.flatten(1)).argsort(0)
        self.get_buffer("marginals").copy_(self._of_rows(rows, order))

    def given(self, corrupted: Tensor, condition: Tensor | None = None) -> Independent:
        """p(x | corrupted x): corrupted (batch, *x_shape), as `likely.corruptions.start` gives it, nothing missing."""
        observation: Independent = self.observation(self._raw(corrupted, condition))
        return observation

    def _raw(self, corrupted: Tensor, condition: Tensor | None) -> Tensor:
        return self.codec.through(corrupted, condition, bottleneck=lambda z: z)[1]

    def _corrupted(self, x: Tensor) -> Tensor:
        operator = self.noise.draw(x)
        return start(operator.apply(x), operator)

    # The objective: every step of a walk is asked for the row that it began with.

    def _objective(self, x: Tensor, condition: Tensor | None, player: str) -> Objective:
        state, costs = x, []
        for step in range(self.walkback):
            raw = self._raw(self._corrupted(state), condition)
            costs.append(-self.observation(raw).log_prob(x))
            if step + 1 < self.walkback:
                with torch.no_grad():
                    # Where raw is not finite the cost says so; drawing from it would be an error.
                    state = self.ordinary(raw.detach().nan_to_num()).sample().to(x.dtype)
        total = torch.stack(costs).sum(0)
        return Objective(total, {"distortion": costs[0]} | ({"walkback": total - costs[0]} if costs[1:] else {}))

    # The chain.

    def _begin(self, n: int, condition: Tensor | None) -> Tensor:
        marginals = self.get_buffer("marginals")
        choice = rng.integers(len(marginals), n, math.prod(self.x_shape), like=marginals)
        return self._of_rows(marginals, choice)

    def _step(self, state: Tensor, condition: Tensor | None) -> Tensor:
        # What a likelihood takes for outliers, so that a fit bears with them, is nothing to go on from.
        draw: Tensor = self.ordinary(self._raw(self._corrupted(state), condition)).sample()
        return draw.to(state.dtype)

    def _of_rows(self, rows: Tensor, choice: Tensor) -> Tensor:
        """Rows (n, *x_shape) whose values are each those of the row that `choice` (n, values) names; a column whole."""
        blocks = self.likelihood.blocks(self.x_shape[0]) if len(self.x_shape) == 1 else ()
        if any(width > 1 for width in blocks):
            first = [start for start, width in zip(_starts(blocks), blocks, strict=True) for _ in range(width)]
            choice = choice[:, torch.tensor(first, device=choice.device)]
        return rows.flatten(1).gather(0, choice).view(-1, *self.x_shape)

    # What is read off it.

    def _encode(self, x: Tensor, condition: Tensor | None) -> Tensor:
        return self.codec.encode(x, condition)

    def _decode(self, z: Tensor, condition: Tensor | None) -> Tensor:
        mean: Tensor = self.observation(self.codec.decode(z, condition)).mean
        return mean

    def _reconstruct(self, x: Tensor, condition: Tensor | None) -> Tensor:
        mean: Tensor = self.given(x, condition).mean
        return mean

    # What is missing: the same chain, with what is there put back after each step.

    def _restore(self, y: Tensor, operator: Operator, condition: Tensor | None) -> Tensor:
        kept = missing_values(y, operator)
        per_value = max(self.likelihood.raw_channels, getattr(self.likelihood, "levels", 1))
        size = max(1, MAX_NUMBERS_AT_ONCE // (N_FILLED * math.prod(self.x_shape) * per_value))
        conditions = [None] * len(y) if condition is None else condition.split(size)
        pieces = [self._mean_of_fills(*rows) for rows in zip(y.split(size), conditions, strict=False)]
        return kept.project(torch.cat(pieces), y)

    def _mean_of_fills(self, y: Tensor, condition: Tensor | None) -> Tensor:
        """The mean of p(x | state) over the later steps of `N_FILLED` chains, whose noise all rows share."""
        known, given = repeated(y, N_FILLED), repeated(condition, N_FILLED)
        which = torch.arange(N_FILLED, device=y.device).repeat_interleave(len(y))
        total = torch.zeros_like(y)
        with rng.stream(0, "restoration"):
            begun = self._begin(N_FILLED, None)
            state = torch.where(known.isnan(), begun[which], known)
            for step in range(self.fill_steps):
                operator = self.noise.draw(begun).rows(which)
                raw = self._raw(start(operator.apply(state), operator), given)
                draw = self.ordinary.draw(raw, rng.uniform_like(begun)[which])
                state = torch.where(known.isnan(), draw, known)
                if step >= self.fill_steps // 2:
                    total += self.ordinary(raw).mean.view(N_FILLED, *y.shape).mean(0)
        return total / (self.fill_steps - self.fill_steps // 2)

    def _draw_restorations(self, y: Tensor, operator: Operator, condition: Tensor | None, n_samples: int) -> Tensor:
        missing_values(y, operator)
        known, given = repeated(y, n_samples), repeated(condition, n_samples)
        state = torch.where(known.isnan(), self._begin(len(known), given), known)
        for _ in range(self.fill_steps):
            state = torch.where(known.isnan(), self._step(state, given), known)
        return state.view(n_samples, *y.shape)


def _default_noise(likelihood: Likelihood, x_shape: Shape) -> Corruption:
    if isinstance(likelihood, Bernoulli):
        return SaltAndPepper(0.2)
    return GaussianNoise(0.3 if len(x_shape) == 1 else 0.15)


def _starts(widths: Sequence[int]) -> list[int]:
    return [0, *itertools.accumulate(widths)][:-1]
